"""What the doctor and readiness see of an Elasticsearch, on a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore
from flywheel.stores.logs.elasticsearch_checks import thorough
from flywheel.stores.logs.errors import LogStoreUnreachable
from flywheel.telemetry.health import Finding
from traffic import tracking

Make = Callable[..., ElasticsearchLogStore]


def seen(store: ElasticsearchLogStore, *, thorough: bool = True) -> dict[str, Finding]:
    return {finding.check: finding for finding in store.check(thorough=thorough)}


@pytest.fixture
def block(make_store: Make, elasticsearch_url: str) -> Iterator[Callable[[str | None], None]]:
    """Puts a block on the store's index, or lifts it."""
    index = make_store()._index

    def put(name: str | None) -> None:
        names = ("read_only_allow_delete", "read_only", "write")
        body = {f"index.blocks.{each}": True if each == name else None for each in names}
        httpx.put(f"{elasticsearch_url}/{index}/_settings", json=body, timeout=20).raise_for_status()

    yield put
    put(None)


def test_a_new_server_is_well_and_looking_makes_nothing(make_store: Make, elasticsearch_url: str) -> None:
    store = make_store()
    found = seen(store)
    assert not any(finding.wrong for finding in found.values())
    assert found["records"].seen.startswith("Elasticsearch ")
    assert elasticsearch_url in found["records"].seen
    assert "the first import makes it" in found["records index"].seen
    assert "the first import makes it" in found["records template"].seen
    assert "% used" in found["records disk"].seen
    assert httpx.head(f"{elasticsearch_url}/{store._index}", timeout=20).status_code == 404


def test_an_index_in_use_says_what_it_holds(make_store: Make) -> None:
    store = make_store()
    store.add(tracking(number) for number in range(3))
    store.count()
    found = seen(store)
    assert found["records index"].seen == f"{store._index}: 3 documents"
    assert found["records template"].seen == f"flywheel-{store._index}"
    assert found["records writable"].ok
    assert set(seen(store, thorough=False)) == {"records", "records writable"}


@pytest.mark.parametrize(
    ("name", "mend"), [("read_only_allow_delete", "free disk space"), ("write", "PUT test-")]
)
def test_a_blocked_index_is_wrong_and_says_how_to_lift_the_block(
    make_store: Make, block: Callable[[str | None], None], name: str, mend: str
) -> None:
    store = make_store()
    store.add([tracking(1)])
    block(name)
    writable = seen(store, thorough=False)["records writable"]
    assert writable.wrong
    assert name in writable.seen
    assert mend in writable.mend


def test_an_index_of_the_blueprint_is_no_fault(make_store: Make, elasticsearch_url: str) -> None:
    store = make_store()
    properties = {
        "timestamp": {"type": "date", "format": "epoch_second"},
        "workload_id": {"type": "keyword"},
        "client_id": {"type": "keyword"},
        "request": {"type": "object", "dynamic": True},
        "response": {"type": "object", "dynamic": True},
    }
    body = {"mappings": {"properties": properties}}
    httpx.put(f"{elasticsearch_url}/{store._index}", json=body, timeout=20).raise_for_status()
    template = seen(store)["records template"]
    assert template.ok
    assert "made without ours" in template.seen


def test_a_server_that_is_away_is_an_error_at_once(make_store: Make) -> None:
    with pytest.raises(LogStoreUnreachable, match=r"127\.0\.0\.1:9"):
        make_store(url="http://127.0.0.1:9").check()


def test_what_may_not_be_looked_at_is_unseen_and_no_fault() -> None:
    class Denying:
        address = "http://es.test"

        def call(self, work: object) -> object:
            from flywheel.stores.logs.errors import LogStoreDenied

            raise LogStoreDenied(self.address, "lacks a right")

    found = list(thorough(Denying(), "flywheel"))  # type: ignore[arg-type]
    assert len(found) == 4
    assert {finding.seen for finding in found} == {"unseen: these credentials may not look"}
