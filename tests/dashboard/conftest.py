"""A seeded server for all tests, and a browser for each file of them; see `seeded` and `looking`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from browser import Proxy
from dashboard.looking import Opened, Opener, chromium
from dashboard.seeded import Served, served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The seeded server, shared by all tests; they may add runs, and change none of the seeded."""
    with served(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """What the browser would ask of the world outside."""
    made = Proxy()
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(proxy: Proxy) -> Iterator[Any]:
    """A Chromium, for a file at most: while it is there, no other event loop can run in this thread."""
    with chromium(proxy) as found:
        yield found


@pytest.fixture
def visit(browser: Any, server: Served) -> Iterator[Callable[..., Opened]]:
    """`visit("/runs", width=400, dark=True)`: the page, once it is drawn; nothing may have gone wrong."""
    opener = Opener(browser, server.url)
    yield opener
    opener.close()
