"""What is special about runs in MongoDB: a server that is away, refuses, restarts; documents to query."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId
from pymongo import MongoClient

from flywheel.config import MongoRuns
from flywheel.errors import ConfigError, StorageFull
from flywheel.models import Workload
from flywheel.orchestrator.request import configured, read_request
from flywheel.orchestrator.trouble import passing
from flywheel.stores.runs import Run, RunNotStorable, RunQuery, RunStoreAway, RunStoreFailed
from flywheel.stores.runs.document import new_run
from flywheel.stores.runs.mongo import MongoRunStore
from run_world import WORKLOAD, Clock, settings
from servers import testbed as start_server

SECRET = "s3cret-of-the-runs"


def a_run(workload: Workload = WORKLOAD) -> Run:
    body = {"workload_id": workload.workload_id, "client_id": workload.client_id}
    return new_run(workload, configured(read_request(body), settings()), Clock()(), {})


@pytest.fixture
def config(mongo_url: str) -> Iterator[MongoRuns]:
    config = MongoRuns(type="mongo", url=mongo_url, database=f"test-{uuid4().hex}")
    yield config
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.drop_database(config.database)


@pytest.fixture
def store(config: MongoRuns) -> Iterator[MongoRunStore]:
    store = MongoRunStore(config)
    yield store
    store.close()


def test_an_operator_can_query_the_documents(store, config):
    run = store.create(a_run())
    store.apply(run, run.but(status="running", error="it rained"))
    with MongoClient[dict[str, Any]](config.url) as client:
        found = client[config.database]["runs"].find_one({"status": "running", "candidates.stage": "waiting"})
        assert found["_id"] == run.id
        assert found["config"]["nims"][0]["model_name"] == "test/student"
        assert found["error"] == "it rained"
        assert client[config.database]["runs"].count_documents({"created_at": {"$gte": "2026-01-02"}}) == 1


def test_the_documents_of_the_blueprint_are_left_alone(store, config):
    with MongoClient[dict[str, Any]](config.url) as client:
        theirs = {"_id": ObjectId(), "workload_id": "w", "client_id": "c", "status": "completed"}
        client[config.database]["flywheel_runs"].insert_one(theirs)
        store.create(a_run())
        assert store.list(RunQuery()).total == 1
        assert list(client[config.database]["flywheel_runs"].find()) == [theirs]


def test_leases_end_by_the_clock_of_the_server(store):
    run = store.create(a_run())
    assert store.lease(run.id, "one", 0.3) == 0
    assert 0 < store.lease(run.id, "two", 30) <= 0.3
    time.sleep(0.35)
    assert store.lease(run.id, "two", 30) == 0
    assert not store.renew(run.id, "one", 30)


def test_of_many_threads_one_gets_the_lease(store):
    run = store.create(a_run())
    gate = threading.Barrier(8)
    waits: list[float] = []

    def take(number: int) -> None:
        gate.wait()
        waits.append(store.lease(run.id, f"worker-{number}", 30))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(waits) == 0
    assert all(29 < wait <= 30 for wait in sorted(waits)[1:])


@pytest.mark.parametrize(
    "overrides", [{"text": "x" * (17 << 20)}, {"number": 1 << 70}], ids=["17 MB", "70 bits"]
)
def test_what_mongodb_does_not_take_is_said_and_changes_nothing(store, overrides):
    run = store.create(a_run())
    with pytest.raises(RunNotStorable, match="cannot be stored"):
        store.apply(run, run.but(overrides=overrides))
    assert store.load(run.id) == run


def test_a_server_that_is_away_is_a_passing_trouble_without_secrets():
    config = MongoRuns(
        type="mongo",
        url="mongodb://127.0.0.1:1",
        username="flywheel",
        password_env="RUNS_PASSWORD",
        request_timeout=0.5,
    )
    store = MongoRunStore(config, environment={"RUNS_PASSWORD": SECRET})
    before = time.monotonic()
    with pytest.raises(RunStoreAway, match=r"mongodb://127\.0\.0\.1:1 does not answer") as caught:
        store.load("f" * 24)
    assert time.monotonic() - before < 3
    assert passing(caught.value)
    assert caught.value.status == 503
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error!s} {error!r}"
        error = error.__cause__
    assert SECRET not in f"{store!r} {vars(store)!r}"
    store.close()


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        store = MongoRunStore(MongoRuns(type="mongo", url=url, request_timeout=0.5))
        before = time.monotonic()
        with pytest.raises(RunStoreAway):
            store.load("f" * 24)
        assert time.monotonic() - before < 3
        store.close()


def test_a_password_that_is_not_there_is_named():
    config = MongoRuns(type="mongo", username="flywheel", password_env="RUNS_PASSWORD")
    with pytest.raises(ConfigError, match=r"runs\.password_env: .* RUNS_PASSWORD is not set"):
        MongoRunStore(config, environment={})
    with pytest.raises(ConfigError, match="runs: "):
        MongoRunStore(MongoRuns(type="mongo", url="mongodb://h:no-port"), environment={})


class Refusing:
    """A collection whose server answers every read with one error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def find_one(self, *_: Any, **__: Any) -> None:
        from pymongo.errors import OperationFailure

        raise OperationFailure("not like this", self._code)


@pytest.mark.parametrize(
    ("code", "expected", "passes"),
    [
        (18, RunStoreFailed, False),
        (13, RunStoreFailed, False),
        (14031, StorageFull, True),
        (10107, RunStoreAway, True),
        (11600, RunStoreAway, True),
        (2, RunStoreFailed, True),
    ],
)
def test_an_answer_of_the_server_becomes_one_of_our_errors(code, expected, passes):
    store = MongoRunStore(MongoRuns(type="mongo"))
    store._indexed, store._collection = True, Refusing(code)
    with pytest.raises(expected) as caught:
        store.load("f" * 24)
    assert passing(caught.value) == passes
    store.close()


def test_runs_survive_a_server_that_is_killed(tmp_path):
    folder = str(tmp_path / "mongo")
    with start_server("mongo", "--dir", folder) as facts:
        port = facts["url"].rsplit(":", 1)[1].strip("/")
        store = MongoRunStore(MongoRuns(type="mongo", url=facts["url"], request_timeout=1))
        run = store.create(a_run(), key="k", fingerprint="f")
        run = store.apply(run, run.but(num_records=7))
        time.sleep(1.5)  # The test bed's server commits each second; MongoDB would, with w=majority, at once.
        os.kill(facts["pid"], signal.SIGKILL)
        with pytest.raises(RunStoreAway):
            store.load(run.id)
    with start_server("mongo", "--dir", folder, "--port", port):
        assert store.load(run.id) == run
        assert store.create(a_run(), key="k", fingerprint="f").id == run.id
    store.close()
