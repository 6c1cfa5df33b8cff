"""A world for each test: see `run_world`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from run_world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world, with the arguments of `make_world` after the folder."""
    opened: list[World] = []

    def make(*args: Any, **kwargs: Any) -> World:
        opened.append(partial(make_world, tmp_path)(*args, **kwargs))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
