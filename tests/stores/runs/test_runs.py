"""What every store of runs promises; each backend is one parameter."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from flywheel.config import MongoRuns
from flywheel.models import Workload
from flywheel.orchestrator.request import configured, read_request
from flywheel.stores.runs import (
    EmbeddedRunStore,
    IdempotencyKeyReused,
    Run,
    RunNotFound,
    RunQuery,
    RunStore,
    RunStoreDamaged,
    StaleRun,
)
from flywheel.stores.runs.document import new_run
from flywheel.stores.runs.mongo import MongoRunStore
from run_world import WORKLOAD, Clock, nim, settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["embedded", "mongo"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[RunStore]:
    made: RunStore
    if request.param == "embedded":
        made = EmbeddedRunStore(tmp_path / "runs.sqlite", clock=clock)
        yield made
    else:
        url = request.getfixturevalue("mongo_url")
        made = Aged(MongoRuns(type="mongo", url=url, database=f"test-{uuid4().hex}"), clock)
        yield made
        made.client.drop_database(made.runs.database.name)
        made.client.close()
    made.close()


class Aged(MongoRunStore):
    """The server's clock cannot be moved; when the test's is, the leases become older instead."""

    def __init__(self, config: MongoRuns, clock: Clock) -> None:
        super().__init__(config)
        self.client = MongoClient[dict[str, Any]](config.url)
        self.runs = self.client[config.database]["runs"]
        self.clock, self.seen = clock, clock.now

    @contextmanager
    def _runs(self) -> Iterator[Any]:
        passed, self.seen = self.clock.now - self.seen, self.clock.now
        if passed > 1:
            for run in self.runs.find({"lease.at": {"$exists": True}}):
                at = run["lease"]["at"] - timedelta(seconds=passed)
                self.runs.update_one({"_id": run["_id"]}, {"$set": {"lease.at": at}})
        with super()._runs() as runs:
            yield runs


def a_run(clock: Clock, workload: Workload = WORKLOAD, candidates: int = 1) -> Run:
    using = settings(*(nim(f"test/{n}") for n in range(candidates)))
    body = {"workload_id": workload.workload_id, "client_id": workload.client_id}
    return new_run(workload, configured(read_request(body), using), clock(), {})


def test_a_run_comes_back_as_it_was_stored(store, clock):
    run = a_run(clock).noting(clock(), "naïve ☃")
    assert store.create(run) == run
    assert store.load(run.id) == run


def test_a_run_that_is_not_there_says_so(store, clock):
    with pytest.raises(RunNotFound, match="ffff"):
        store.load("f" * 24)
    with pytest.raises(RunNotFound):
        store.apply(a_run(clock), a_run(clock))
    with pytest.raises(RunNotFound):
        store.lease("f" * 24, "me", 10)


def test_of_two_changes_to_one_revision_the_first_wins(store, clock):
    run = store.create(a_run(clock))
    changed = store.apply(run, run.but(num_records=1))
    assert changed.revision == run.revision + 1
    with pytest.raises(StaleRun):
        store.apply(run, run.but(num_records=2))
    assert store.load(run.id) == changed


def test_of_many_threads_with_one_revision_exactly_one_wins(store, clock):
    run = store.create(a_run(clock))
    won: list[int] = []
    gate = threading.Barrier(8)

    def change(number: int) -> None:
        gate.wait()
        try:
            store.apply(run, run.but(num_records=number))
        except StaleRun:
            return
        won.append(number)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.load(run.id).num_records == won[0]


def test_a_lease_keeps_others_away_until_it_expires(store, clock):
    run = store.create(a_run(clock))
    assert store.lease(run.id, "one", 30) == 0
    assert 29 < store.lease(run.id, "two", 30) <= 30
    assert store.renew(run.id, "one", 60)
    clock.now += 31
    assert store.lease(run.id, "two", 30) > 0
    clock.now += 31
    assert store.lease(run.id, "two", 30) == 0
    assert not store.renew(run.id, "one", 30)


def test_a_change_under_a_lost_lease_is_refused(store, clock):
    run = store.create(a_run(clock))
    store.lease(run.id, "one", 30)
    run = store.apply(run, run.but(num_records=1), owner="one")
    clock.now += 31
    store.lease(run.id, "two", 30)
    with pytest.raises(StaleRun):
        store.apply(run, run.but(num_records=2), owner="one")
    store.release(run.id, "one")  # It is not its own any more.
    assert store.lease(run.id, "three", 30) > 0
    store.release(run.id, "two")
    assert store.lease(run.id, "three", 30) == 0


def test_an_idempotency_key_makes_one_run(store, clock):
    first = store.create(a_run(clock), key="k", fingerprint="a")
    assert store.create(a_run(clock), key="k", fingerprint="a").id == first.id
    with pytest.raises(IdempotencyKeyReused, match="'k'"):
        store.create(a_run(clock), key="k", fingerprint="b")
    assert store.list().total == 1
    store.delete(first.id)
    assert store.create(a_run(clock), key="k", fingerprint="b").id != first.id


def test_lists_are_newest_first_filtered_and_paged(store, clock):
    other = Workload("shop", "search")
    runs = [store.create(a_run(clock, other if n % 2 else WORKLOAD)) for n in range(6)]
    store.apply(runs[5], runs[5].but(status="failed"))

    def ids(**query):
        return [run.id for run in store.list(RunQuery(**query)).runs]

    assert ids() == [run.id for run in reversed(runs)]
    assert ids(workload_id="search") == [runs[5].id, runs[3].id, runs[1].id]
    assert ids(client_id="support-app", limit=2, offset=1) == [runs[2].id, runs[0].id]
    assert ids(status="failed") == [runs[5].id]
    page = store.list(RunQuery(limit=2, offset=2))
    assert ([run.id for run in page.runs], page.total) == ([runs[3].id, runs[2].id], 6)
    assert ids(offset=99) == []


def test_slots_are_wanted_in_the_order_of_creation(store, clock):
    runs = [store.create(a_run(clock, candidates=2)) for _ in range(3)]
    assert [store.ahead(run.id) for run in runs] == [0, 2, 4]
    assert store.unfinished(slots=1) == (runs[0].id,)
    assert store.unfinished(slots=3) == (runs[0].id, runs[1].id)

    done = runs[0].but(candidates=tuple(c.but(stage="done") for c in runs[0].candidates))
    done = store.apply(runs[0], done)
    assert [store.ahead(run.id) for run in runs] == [0, 0, 2]
    store.apply(done, done.but(step="finished", status="completed"))
    assert store.unfinished(slots=1) == (runs[1].id,)
    store.apply(runs[2], runs[2].but(cancel_requested=True))
    assert store.unfinished(slots=1) == (runs[1].id, runs[2].id)


def test_runs_made_at_once_get_places_in_one_line(store, clock):
    gate = threading.Barrier(8)
    runs = [a_run(clock) for _ in range(24)]

    def create(number: int) -> None:
        gate.wait()
        for run in runs[number::8]:
            store.create(run)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.list().total == 24
    assert sorted(store.ahead(run.id) for run in runs) == list(range(24))


def test_many_threads_with_one_key_make_one_run(store, clock):
    gate = threading.Barrier(6)
    made: list[str] = []
    runs = [a_run(clock) for _ in range(6)]

    def create(number: int) -> None:
        gate.wait()
        made.append(store.create(runs[number], key="k", fingerprint="f").id)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert len(set(made)) == 1
    assert store.list().total == 1


def test_what_a_run_holds_may_be_named_anything(store, clock):
    odd = {"$set": {"a.b": [{"": 1, "%2E": "%"}]}, "null\0": None, "deep": {"$": {"..": 1.0}}}
    run = store.create(a_run(clock).but(overrides=odd))
    assert store.load(run.id).overrides == odd
    changed = store.apply(run, run.but(curation=odd))
    assert store.load(run.id) == changed


def test_a_run_rests_while_somebody_has_it_or_is_coming_back(store, clock):
    run = store.create(a_run(clock))
    assert store.rest(run.id) == 0
    store.lease(run.id, "one", 30)
    assert 29 < store.rest(run.id) <= 30
    store.release(run.id, "one", 60)
    assert store.rest(run.id) == 0, "a pending run waits for others"
    run = store.apply(run, run.but(status="running"))
    assert 59 < store.rest(run.id) <= 60
    assert store.lease(run.id, "two", 30) == 0, "a rest is no lease"
    store.release(run.id, "two", 60)
    clock.now += 61
    assert store.rest(run.id) == 0
    store.release(run.id, "one", 999)  # It is not its own any more.
    assert store.rest(run.id) == 0
    store.apply(run, run.but(step="finished", status="completed"))
    assert store.rest(run.id) == math.inf
    store.delete(run.id)
    assert store.rest(run.id) == math.inf


def test_neglected_is_what_nobody_has_and_nobody_comes_back_to(store, clock):
    pending, working, resting, forgotten, done = (store.create(a_run(clock)) for _ in range(5))
    blocked = store.create(a_run(clock))
    for run in (working, resting, forgotten):
        store.apply(run, run.but(status="running"))
        store.lease(run.id, "one", 30)
    store.release(resting.id, "one", 30)
    store.release(forgotten.id, "one")
    store.apply(done, done.but(step="finished", status="completed"))
    assert store.neglected(5, 10) == (pending.id, forgotten.id, blocked.id)
    assert store.neglected(4, 10) == (pending.id, forgotten.id)

    store.lease(pending.id, "one", 300)
    clock.now += 35
    assert store.neglected(4, 10) == (working.id, forgotten.id)
    clock.now += 10
    assert store.neglected(4, 10) == (working.id, resting.id, forgotten.id)


def test_runs_survive_a_restart(tmp_path, clock):
    first = EmbeddedRunStore(tmp_path / "runs.sqlite")
    run = first.create(a_run(clock))
    first.close()
    second = EmbeddedRunStore(tmp_path / "runs.sqlite")
    assert second.load(run.id) == run
    second.close()


def test_the_lease_of_a_process_that_is_gone_is_free_at_once(tmp_path, clock):
    path = tmp_path / "runs.sqlite"
    store = EmbeddedRunStore(path)
    run = store.create(a_run(clock))
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from flywheel.stores.runs import EmbeddedRunStore\n"
        "store = EmbeddedRunStore(Path(sys.argv[1]))\n"
        "assert store.lease(sys.argv[2], 'doomed', 3600) == 0\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(path), run.id], check=False, timeout=60)
    assert died.returncode == -9
    assert store.lease(run.id, "me", 30) == 0
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"\x00\x01 not a database " * 100)
    with pytest.raises(RunStoreDamaged, match="not a usable store of runs"):
        EmbeddedRunStore(path)
    assert path.read_bytes().startswith(b"\x00\x01 not")
