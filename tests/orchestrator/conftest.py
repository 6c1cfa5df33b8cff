"""A world for each test: see `run_world`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.stores.logs import EmbeddedLogStore
from run_world import World, make_records, make_world


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedLogStore:
    """Records that no test changes."""
    return make_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def world(tmp_path: Path, records: EmbeddedLogStore) -> Iterator[Callable[..., World]]:
    """Makes a world, with the arguments of `make_world` after the first two; all in one folder."""
    opened: list[World] = []

    def make(*args: Any, **kwargs: Any) -> World:
        opened.append(make_world(tmp_path, records, *args, **kwargs))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
