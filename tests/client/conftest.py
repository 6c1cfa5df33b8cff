"""Every test of the client is for both kinds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.served import KINDS, Served, mocked, served
from flywheel.nemo.fake import FakeNemo
from flywheel.stores.logs import EmbeddedLogStore
from run_world import make_records, make_world


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedLogStore:
    """Records that no test changes."""
    return make_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def here(tmp_path: Path, records: EmbeddedLogStore) -> Iterator[Served]:
    """The API over a world with instant services."""
    world = make_world(tmp_path, records, FakeNemo(polls=2))
    with served(world) as found:
        yield found
    world.close()


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def user(kind: str, here: Served) -> Iterator[Any]:
    """A client of either kind at `here`, whose pauses are steps of the world."""
    sleep = here.pause_async if kind == "awaited" else here.pause
    made = KINDS[kind](url=here.url, sleep=sleep, clock=here.clock)
    yield made
    made.close()


@pytest.fixture
def facing(kind: str) -> Iterator[Callable[..., Any]]:
    """Makes a client of either kind whose server is a function of requests."""
    opened: list[Any] = []

    def make(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
        opened.append(mocked(kind, answer, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
