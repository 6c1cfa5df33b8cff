"""What every store of schedules promises; each backend is one parameter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from flywheel.config import MongoRuns
from flywheel.stores.schedules import (
    Decided,
    EmbeddedScheduleStore,
    Schedule,
    ScheduleNotFound,
    ScheduleQuery,
    ScheduleStore,
    ScheduleStoreDamaged,
    StaleSchedule,
)
from flywheel.stores.schedules.document import (
    Budget,
    CandidatesTrigger,
    Claim,
    CronTrigger,
    DriftTrigger,
    RecordsTrigger,
    SchemasTrigger,
    new_schedule_id,
)
from flywheel.stores.schedules.mongo import MongoScheduleStore
from flywheel.stores.schedules.protocol import HISTORY_KEPT

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(params=["embedded", "mongo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScheduleStore]:
    made: ScheduleStore
    if request.param == "embedded":
        made = EmbeddedScheduleStore(tmp_path / "schedules.sqlite")
        yield made
    else:
        url = request.getfixturevalue("mongo_url")
        config = MongoRuns(type="mongo", url=url, database=f"test-{uuid4().hex}")
        made = MongoScheduleStore(config)
        yield made
        with MongoClient[dict[str, Any]](url) as client:
            client.drop_database(config.database)
    made.close()


def a_schedule(**changes: Any) -> Schedule:
    return Schedule(
        id=new_schedule_id(),
        client_id="support-app",
        workload_id="tool_router",
        name="nightly",
        triggers=(CronTrigger(type="cron", cron="0 3 * * *", timezone="Europe/Berlin"),),
        created_at=NOW,
        updated_at=NOW,
        since=NOW,
    ).but(**changes)


def a_decision(number: int = 0, **changes: Any) -> Decided:
    return Decided(at=NOW + timedelta(seconds=number), decision="held", says=f"number {number}").but(
        **changes
    )


def test_a_schedule_comes_back_as_it_was_stored(store):
    schedule = a_schedule(
        triggers=(
            CronTrigger(type="cron", cron="*/5 1-2 * * *"),
            RecordsTrigger(type="records", every=5000),
            DriftTrigger(type="drift", of="arguments", threshold=0.2),
            SchemasTrigger(type="schemas"),
            CandidatesTrigger(type="candidates"),
        ),
        budget=Budget(runs_per_week=3, gpu_hours_per_week=1.5),
        overrides={"training_config": {"epochs": 1}, "$odd.name": [{"": None}]},
        claim=Claim(key="k", at=NOW, trigger="t", says="naïve ☃", body={"a.b": 1}),
        last_decision=a_decision(),
    )
    assert store.create(schedule) == schedule
    assert store.load(schedule.id) == schedule


def test_a_schedule_that_is_not_there_says_so(store):
    absent = a_schedule()
    with pytest.raises(ScheduleNotFound, match=absent.id):
        store.load(absent.id)
    with pytest.raises(ScheduleNotFound):
        store.apply(absent, absent)
    with pytest.raises(ScheduleNotFound):
        store.delete(absent.id)


def test_of_many_threads_with_one_revision_exactly_one_wins(store):
    schedule = store.create(a_schedule())
    won: list[int] = []
    gate = threading.Barrier(8)

    def change(number: int) -> None:
        gate.wait()
        try:
            store.apply(schedule, schedule.but(name=str(number)))
        except StaleSchedule:
            return
        won.append(number)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    stored = store.load(schedule.id)
    assert (stored.name, stored.revision) == (str(won[0]), schedule.revision + 1)


def test_lists_are_in_the_order_of_creation_filtered_and_paged(store):
    made = [
        store.create(a_schedule(workload_id=name, client_id=client, enabled=enabled))
        for name, client, enabled in [
            ("a", "x", True),
            ("b", "x", False),
            ("a", "y", True),
            ("a", "x", True),
        ]
    ]

    def ids(**query: Any) -> list[str]:
        return [each.id for each in store.list(ScheduleQuery(**query)).schedules]

    assert ids() == [each.id for each in made]
    assert ids(workload_id="a", client_id="x") == [made[0].id, made[3].id]
    assert ids(enabled=False) == [made[1].id]
    page = store.list(ScheduleQuery(enabled=True, offset=1, limit=1))
    assert ([each.id for each in page.schedules], page.total) == ([made[2].id], 3)
    store.apply(made[1], made[1].but(enabled=True))
    assert ids(enabled=False) == []


def test_the_history_is_newest_first_and_bounded(store):
    one, other = store.create(a_schedule()), store.create(a_schedule())
    store.note(other.id, a_decision(7))
    for number in range(HISTORY_KEPT + 5):
        store.note(one.id, a_decision(number))
    kept = store.history(one.id)
    assert kept.total == len(kept.decisions) == HISTORY_KEPT
    assert kept.decisions[0] == a_decision(HISTORY_KEPT + 4)
    assert kept.decisions[-1] == a_decision(5)
    page = store.history(one.id, offset=2, limit=2)
    assert [each.says for each in page.decisions] == ["number 202", "number 201"]
    assert store.history(other.id).decisions == (a_decision(7),)


def test_a_deleted_schedule_leaves_no_history(store):
    schedule = store.create(a_schedule())
    store.note(schedule.id, a_decision())
    store.delete(schedule.id)
    store.note(schedule.id, a_decision())  # From a process that has not heard of it.
    assert store.history(schedule.id).total == 0
    assert store.list().total == 0


def test_schedules_survive_a_restart(tmp_path):
    first = EmbeddedScheduleStore(tmp_path / "schedules.sqlite")
    schedule = first.create(a_schedule())
    first.note(schedule.id, a_decision())
    first.close()
    second = EmbeddedScheduleStore(tmp_path / "schedules.sqlite")
    assert second.load(schedule.id) == schedule
    assert second.history(schedule.id).decisions == (a_decision(),)
    second.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "schedules.sqlite"
    path.write_bytes(b"\x00\x01 not a database " * 100)
    with pytest.raises(ScheduleStoreDamaged, match="not a usable store of schedules"):
        EmbeddedScheduleStore(path)
