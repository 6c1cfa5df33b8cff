"""A store of records of each kind, new and empty."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flywheel.config import ElasticsearchRecords
from flywheel.stores.logs import EmbeddedLogStore, LogStore
from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore


@pytest.fixture
def make_store(elasticsearch_url: str) -> Iterator[Callable[..., ElasticsearchLogStore]]:
    """Makes stores on one new index of the shared server, or as `settings` say; no pause is waited for."""
    index = f"test-{uuid.uuid4().hex[:12]}"
    made: list[ElasticsearchLogStore] = []

    def make(
        environment: dict[str, str] | None = None, pause: Callable[[float], object] = id, **settings: Any
    ) -> ElasticsearchLogStore:
        block = {"type": "elasticsearch", "url": elasticsearch_url, "index": index, **settings}
        config = ElasticsearchRecords.model_validate(block)
        made.append(ElasticsearchLogStore(config, environment=environment or {}, pause=pause))
        return made[-1]

    yield make
    for store in made:
        store.close()
    httpx.delete(f"{elasticsearch_url}/{index}?ignore_unavailable=true", timeout=20).raise_for_status()
    httpx.delete(f"{elasticsearch_url}/_index_template/flywheel-{index}", timeout=20)


@pytest.fixture(params=["embedded", "elasticsearch"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    if request.param == "embedded":
        return EmbeddedLogStore(tmp_path / "new" / "records.sqlite")
    made: LogStore = request.getfixturevalue("make_store")()
    return made
