"""What every store of runs promises; each backend is one parameter."""

from __future__ import annotations

import contextlib
import math
import sqlite3
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
    Achievement,
    EmbeddedRunStore,
    EvaluationQuery,
    IdempotencyKeyReused,
    Run,
    RunMark,
    RunNotFound,
    RunQuery,
    RunStore,
    RunStoreDamaged,
    StaleRun,
    Standing,
)
from flywheel.stores.runs.brief import brief_of
from flywheel.stores.runs.document import Dataset, Decision, EvalType, Evaluation, Score, new_run
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


def decided(run: Run, value: float, metric: str = "similarity", kind: EvalType = "base-eval") -> Run:
    """The run as it is when its only candidate was measured and chosen."""
    (candidate,) = run.candidates
    score = Score(value=value, n=100, low=value - 0.1, high=value + 0.1)
    measured = candidate.with_work(Evaluation(eval_type=kind, status="completed", scores={metric: score}))
    decision = Decision(
        model_name=candidate.model_name,
        eval_type=kind,
        metric=metric,
        value=value,
        reason="it is the best",
        verdict=f"promote: {value}",
        table={"rows": [1, 2, 3]},
    )
    return run.but(candidates=(measured,), decision=decision, status="completed", step="finished")


def test_a_workload_stands_where_its_last_run_and_its_best_one_left_it(store, clock):
    def run(value: float | None = None, workload: Workload = WORKLOAD, **how: Any) -> Run:
        made = store.create(a_run(clock, workload))
        return made if value is None else store.apply(made, decided(made, value, **how))

    other = Workload("an-app", "tool_router")
    assert store.standings() == {}
    run(0.9, metric="another.metric $")  # Of another metric: it is not comparable, however high.
    best = run(0.8, kind="icl-eval")
    run(0.7)
    last = run()
    open_one = run(workload=other)

    found = store.standings()
    assert set(found) == {WORKLOAD, other}
    assert found[WORKLOAD].last == RunMark(id=last.id, status="pending", created_at=last.created_at)
    assert found[WORKLOAD].best == Achievement(
        run_id=best.id,
        model_name="test/0",
        eval_type="icl-eval",
        metric="similarity",
        value=0.8,
        low=0.8 - 0.1,
        high=0.8 + 0.1,
        n=100,
        verdict="promote: 0.8",
    )
    assert found[other] == Standing(
        last=RunMark(id=open_one.id, status="pending", created_at=open_one.created_at)
    )

    again = run(0.8)
    assert store.standings([WORKLOAD])[WORKLOAD].best.run_id == again.id  # Of equals the newest.
    assert set(store.standings([other, Workload("nobody", "nothing")])) == {other}
    assert store.standings([]) == {}


def test_a_run_that_chose_nobody_is_no_best_one(store, clock):
    run = store.create(a_run(clock))
    nothing = Decision(model_name=None, metric="similarity", reason="no evaluation has a similarity")
    store.apply(run, run.but(decision=nothing, status="failed", step="finished"))
    assert store.standings()[WORKLOAD].best is None


def test_a_run_whose_metric_has_an_odd_name_can_be_the_best(store, clock):
    run = store.create(a_run(clock))
    store.apply(run, decided(run, 0.5, metric="a.b $c %"))
    best = store.standings()[WORKLOAD].best
    assert (best.metric, best.n) == ("a.b $c %", 100)


def _made_older(path: Path) -> None:
    """The file as versions left it that knew no briefs."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        for index in ("runs_changed", "runs_leading"):
            db.execute(f"DROP INDEX {index}")
        for column in ("changed", "brief", "evaluations"):
            db.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 0")


def test_a_store_of_an_earlier_version_tells_its_best_runs_too(tmp_path, clock):
    path = tmp_path / "runs.sqlite"
    first = EmbeddedRunStore(path)
    run = first.create(a_run(clock))
    first.apply(run, decided(run, 0.5))
    first.close()
    _made_older(path)
    second = EmbeddedRunStore(path)
    assert second.standings()[WORKLOAD].best.run_id == run.id
    second.close()


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


# What lists show


def measured(run: Run, value: float, day: int = 1) -> Run:
    """The run with its base-eval completed on a day, and a decision for it."""
    candidate = run.candidates[0]
    at = run.created_at + timedelta(days=day)
    evaluation = candidate.evaluations[0].but(
        status="completed",
        model=candidate.model_name,
        started_at=at,
        finished_at=at,
        scores={"a.b$c": Score(value=value, n=10, low=value - 0.1, high=value + 0.1)},
    )
    decision = Decision(
        model_name=candidate.model_name,
        eval_type="base-eval",
        metric="a.b$c",
        value=value,
        reason="the best",
        verdict="promote: it is",
        table={"big": "x" * 1000},
        cost={"teacher": 9.0, "systems": {f"{candidate.model_name} base-eval": 0.5}},
    )
    dataset = Dataset(kind="eval", name="set-1", num_records=10, uri="hf://x/set-1", sha256="abc")
    others = [c.but(evaluations=(), customization=None) for c in run.candidates[1:]]
    changed = candidate.but(evaluations=(evaluation, *candidate.evaluations[1:]))
    return run.but(candidates=(changed, *others), decision=decision, datasets=(dataset,))


def test_briefs_say_what_the_documents_say(store, clock):
    first = store.create(a_run(clock))
    second = store.create(a_run(clock, Workload("other", "w")))
    second = store.apply(second, measured(second, 0.8).but(status="completed", step="finished"))
    page = store.briefs(RunQuery(limit=1))
    assert page.total == 2
    assert page.runs == (brief_of(second),)
    assert page.runs[0].percent == 100.0
    chosen = page.runs[0].decision
    assert (chosen.value, chosen.low, chosen.high, chosen.n) == (0.8, pytest.approx(0.7), 0.9, 10)
    assert store.briefs(RunQuery(client_id=first.client_id)).runs == (brief_of(first),)
    assert store.briefs(RunQuery(limit=5, offset=2)).runs == ()


def test_evaluations_of_all_runs_come_newest_first_and_filtered(store, clock):
    runs = [store.create(a_run(clock, Workload("app", f"w{n % 2}"))) for n in range(4)]
    for run, day in zip(runs, (3, 1, 4, 2), strict=True):
        store.apply(run, measured(run, day / 10, day))

    def days(**asked: Any) -> list[float]:
        page = store.evaluations(EvaluationQuery(**asked))
        return [each.scores["a.b$c"].value for each in page.evaluations]

    assert days() == [0.4, 0.3, 0.2, 0.1]
    assert days(limit=2, offset=1) == [0.3, 0.2]
    assert days(workload_id="w0", client_id="app") == [0.4, 0.3]
    assert days(model_name="test/0", eval_type="base-eval") == [0.4, 0.3, 0.2, 0.1]
    assert days(model_name="nobody") == []
    assert days(eval_type="icl-eval") == []
    page = store.evaluations(EvaluationQuery(limit=1))
    assert page.total == 4
    entry = page.evaluations[0]
    assert (entry.run_id, entry.cost_per_1000, entry.dataset.sha256) == (runs[2].id, 0.5, "abc")


def test_changes_are_told_from_a_mark_on(store, clock):
    old = store.create(a_run(clock))
    mark = store.changed(None)
    assert mark.runs == ()
    assert store.changed("nonsense").runs == ()
    new = store.create(a_run(clock))
    old = store.apply(old, old.but(num_records=1))
    told = store.changed(mark.mark)
    assert {(old.id, 1), (new.id, 0)} <= set(told.runs)
    new = store.apply(new, new.but(num_records=2))
    told = store.changed(told.mark)
    assert (new.id, 1) in told.runs
    store.delete(new.id)
    newest = store.create(a_run(clock))
    assert (newest.id, 0) in store.changed(told.mark).runs


def test_a_lease_is_no_change(store, clock):
    run = store.create(a_run(clock))
    mark = store.changed(None).mark
    store.lease(run.id, "me", 10)
    store.renew(run.id, "me", 20)
    store.release(run.id, "me")
    assert store.changed(mark).mark == mark


def test_a_file_of_an_earlier_version_gets_what_lists_show(tmp_path, clock):
    path = tmp_path / "runs.sqlite"
    store = EmbeddedRunStore(path, clock=clock)
    run = store.create(a_run(clock))
    run = store.apply(run, measured(run, 0.5))
    store.close()
    _made_older(path)
    store = EmbeddedRunStore(path, clock=clock)
    assert store.briefs().runs == (brief_of(run),)
    assert store.evaluations().total == 1
    store.close()


def test_documents_of_an_earlier_version_get_what_lists_show(mongo_url, clock):
    config = MongoRuns(type="mongo", url=mongo_url, database=f"test-{uuid4().hex}")
    store = MongoRunStore(config)
    run = store.create(a_run(clock))
    run = store.apply(run, measured(run, 0.5))
    store.close()
    with MongoClient[dict[str, Any]](mongo_url) as client:
        fields = dict.fromkeys(("brief", "evaluations", "shown", "touched"), "")
        client[config.database]["runs"].update_many({}, {"$unset": fields})
        store = MongoRunStore(config)
        assert store.briefs().runs == (brief_of(run),)
        assert store.evaluations().total == 1
        assert store.load(run.id) == run
        store.close()
        client.drop_database(config.database)
