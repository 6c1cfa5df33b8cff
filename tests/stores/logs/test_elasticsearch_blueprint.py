"""An index that NVIDIA's blueprint made: its mapping, and documents as its loaders write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from flywheel.models import Record, Workload
from flywheel.stores.logs import DAY, Added, TimeBucket
from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore
from traffic import record, tracking

ROUTER = Workload("aiva", "router")
_STORED = {"type": "object", "dynamic": False, "properties": {}}
INDEX = {
    "settings": {
        "mapping": {"total_fields": {"limit": 1000}},
        "index": {"mapping": {"ignore_malformed": True}},
    },
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "workload_id": {"type": "keyword"},
            "client_id": {"type": "keyword"},
            "timestamp": {"type": "date"},
            "request": _STORED,
            "response": _STORED,
        },
    },
}


class Blueprint:
    """The blueprint's side of the index."""

    def __init__(self, url: str, store: ElasticsearchLogStore) -> None:
        self.url = f"{url}/{store._index}"
        self.store = store

    def load(self, number: int, timestamp: Any) -> None:
        body = {"role": "assistant", "content": str(number)}
        document = {
            "timestamp": timestamp,
            "workload_id": "router",
            "client_id": "aiva",
            "request": {"model": "not-a-model", "messages": [{"role": "user", "content": "hi"}], "x": 1.0},
            "response": {
                "id": f"chatcmpl-{number}",
                "created": 1_700_000_000,
                "choices": [{"message": body}],
            },
        }
        httpx.post(f"{self.url}/_doc", json=document, timeout=20).raise_for_status()

    def export(self) -> list[dict[str, Any]]:
        """What its exporter gets: the newest first, by its own query."""
        must = [{"match": {"client_id": "aiva"}}, {"match": {"workload_id": "router"}}]
        query = {"query": {"bool": {"must": must}}, "sort": [{"timestamp": {"order": "desc"}}], "size": 100}
        httpx.post(f"{self.url}/_refresh", timeout=20).raise_for_status()
        answer = httpx.post(f"{self.url}/_search", json=query, timeout=20).raise_for_status().json()
        return [hit["_source"] for hit in answer["hits"]["hits"]]


@pytest.fixture
def blueprint(
    elasticsearch_url: str, make_store: Callable[..., ElasticsearchLogStore]
) -> Iterator[Blueprint]:
    found = Blueprint(elasticsearch_url, make_store())
    httpx.put(found.url, json=INDEX, timeout=20).raise_for_status()
    yield found
    with httpx.Client(base_url=elasticsearch_url, timeout=20) as client:
        templates = client.get("/_index_template").json()["index_templates"]
        assert not any(found.store._index in each["name"] for each in templates)


def test_its_records_are_read_as_they_are(blueprint: Blueprint) -> None:
    for number, at in enumerate([1_700_000_000, 1_700_000_020, 1_700_000_010]):
        blueprint.load(number, at)
    store = blueprint.store
    assert [r.name for r in store.query(ROUTER)] == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-0"]
    assert [r.name for r in store.query(newest_first=False, limit=1)] == ["chatcmpl-0"]
    first = next(store.query(ROUTER, newest_first=False))
    assert (first.timestamp, first.workload, first.metadata) == (1_700_000_000.0, ROUTER, {})
    assert first.request["x"] == 1.0
    assert store.count(ROUTER, since=1_700_000_010, until=1_700_000_020) == 1
    assert store.count(client_id="other") == 0
    (summary,) = store.workloads()
    assert (summary.workload, summary.count, summary.first, summary.last) == (
        ROUTER,
        3,
        1_700_000_000.0,
        1_700_000_020.0,
    )
    assert store.histogram(interval_s=10) == [TimeBucket(1_700_000_000.0 + n, 1) for n in (0, 10, 20)]


def test_other_notations_of_time_stand_among_the_others(blueprint: Blueprint) -> None:
    at = 1_700_000_000
    for number, time in enumerate([at, (at + 1) * 1_000, "2023-11-14T22:13:22Z", at + 3, "soon", at + 4.5]):
        blueprint.load(number, time)
    store = blueprint.store
    ids = [r.name.removeprefix("chatcmpl-") for r in store.query(newest_first=False)]
    assert ids == ["0", "1", "2", "3", "5"]
    assert [r.timestamp - at for r in store.query(newest_first=False)] == [0, 1, 2, 3, 4.5]
    assert [r.timestamp - at for r in store.query(since=at + 1, until=at + 3)] == [2, 1]
    assert store.count(since=at + 1, until=at + 4) == 3
    days = store.histogram()
    assert (days[-1].start, days[-1].count) == (at // DAY * DAY, 5)
    assert store.delete(since=at) == 5


def test_records_are_added_in_a_form_that_both_understand(blueprint: Blueprint) -> None:
    blueprint.load(1, 1_700_000_000)
    new = [record(f"hi {n}", at=1_700_000_000.0 + n, id_=f"chat-{n}", workload=ROUTER) for n in (-5, 5)]
    assert blueprint.store.add(new) == Added(new=2, duplicates=0)
    assert blueprint.store.add(new) == Added(new=0, duplicates=2)
    exported = blueprint.export()
    assert [each["response"]["id"] for each in exported] == ["chat-5", "chatcmpl-1", "chat--5"]
    assert exported[0]["timestamp"] == 1_700_000_005
    assert exported[0]["request"] == new[1].request
    assert [r.name for r in blueprint.store.query(ROUTER)] == ["chat-5", "chatcmpl-1", "chat--5"]


def test_metadata_adds_two_fields_and_leaves_the_rest_alone(blueprint: Blueprint) -> None:
    blueprint.load(1, 1_700_000_000)
    new = record("hi", at=1_700_000_009.0, conversation="c1", workload=ROUTER)
    blueprint.store.add([new, tracking(3)])
    assert list(blueprint.store.query(conversation_id="c1")) == [new]
    mappings = httpx.get(f"{blueprint.url}/_mapping", timeout=20).json()[blueprint.store._index]["mappings"]
    assert mappings["dynamic"] == "strict"
    assert mappings["properties"].keys() - INDEX["mappings"]["properties"].keys() == {  # type: ignore[attr-defined]
        "metadata",
        "conversation_id",
    }
    blueprint.load(2, 1_700_000_020)
    assert len(blueprint.export()) == 3
    assert blueprint.store.delete(conversation_id="c1") == 1
    assert len(blueprint.export()) == 2


def test_old_ones_are_removed_by_age_and_new_ones_stay(blueprint: Blueprint) -> None:
    for number, at in enumerate([1_600_000_000, 1_700_000_000, 1_600_000_000_000]):
        blueprint.load(number, at)
    assert blueprint.store.delete(until=1_650_000_000) == 2
    (left,) = blueprint.store.query()
    assert isinstance(left, Record)
    assert left.timestamp == 1_700_000_000
