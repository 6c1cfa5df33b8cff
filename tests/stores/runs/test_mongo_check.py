"""What the doctor and readiness see of a MongoDB, on a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from flywheel.config import MongoRuns
from flywheel.stores.runs.errors import RunStoreAway
from flywheel.stores.runs.mongo import MongoRunStore, _fitness
from flywheel.stores.runs.protocol import RunQuery


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


def test_a_server_that_is_well(store: MongoRunStore, config: MongoRuns) -> None:
    found = {finding.check: finding for finding in store.check(thorough=True)}
    assert all(finding.ok for finding in found.values())
    assert found["runs"].seen.startswith("MongoDB ")
    assert config.url in found["runs"].seen
    assert "the first run makes them" in found["runs indexes"].seen
    assert [finding.check for finding in store.check()] == ["runs"]


def test_a_missing_index_is_advice_and_a_full_set_is_well(store: MongoRunStore, config: MongoRuns) -> None:
    store.list(RunQuery())
    assert "all 7" in {f.check: f.seen for f in store.check(thorough=True)}["runs indexes"]
    with MongoClient[dict[str, Any]](config.url) as client:
        runs = client[config.database]["runs"]
        lost = next(name for name, index in runs.index_information().items() if index["key"][0][0] == "open")
        runs.drop_index(lost)
    (indexes,) = [f for f in store.check(thorough=True) if f.check == "runs indexes"]
    assert (indexes.ok, indexes.wrong) == (False, False)
    assert indexes.seen == "missing: open, seq"


def test_looking_leaves_nothing_behind(store: MongoRunStore, config: MongoRuns) -> None:
    store.check(thorough=True)
    with MongoClient[dict[str, Any]](config.url) as client:
        assert client[config.database]["doctor"].count_documents({}) == 0


def test_a_server_that_is_away_is_an_error_soon() -> None:
    store = MongoRunStore(MongoRuns(type="mongo", url="mongodb://127.0.0.1:9"))
    began = time.monotonic()
    with pytest.raises(RunStoreAway, match=r"127\.0\.0\.1:9"):
        store.check()
    assert time.monotonic() - began < 4
    store.close()


def test_a_replica_set_without_a_primary_takes_no_writes() -> None:
    hello = {"setName": "rs0", "isWritablePrimary": False}
    finding = _fitness("mongodb://db.test", hello, "8.0.1")
    assert finding.wrong
    assert "replica set rs0, without a primary" in finding.seen
