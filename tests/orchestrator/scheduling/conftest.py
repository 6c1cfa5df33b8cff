"""A scheduler over a world of its own records: see `scheduling_world`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from run_world import make_records, make_world
from scheduling_world import Scheduling


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scheduling]:
    world = make_world(tmp_path, make_records(tmp_path))
    yield Scheduling(world)
    world.close()
