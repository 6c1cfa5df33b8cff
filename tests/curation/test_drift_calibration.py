"""The counts behind docs/schedules.md, in small: few false alarms, and real shifts that are found."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flywheel.curation.traffic import Seen, describe

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "drift.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_drift", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def drifts(simulation: ModuleType):
    def count(before: Any, now: Any, sizes: tuple[int, int], pairs: int) -> int:
        found: int = simulation.pairs_of(before, now, sizes, pairs, 3, simulation.Progress()).drifts
        return found

    return count


def test_what_is_drawn_at_once_is_what_would_be_described(simulation: ModuleType) -> None:
    for source in simulation.SAME:
        drawn = source.draw(600, np.random.default_rng(8))
        if drawn.arguments:
            arguments = drawn.arguments["tool"]
            columns = {name: list(_each(shares.counts)) for name, shares in arguments.items()}
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            seen = [Seen(b"%d" % n, [("tool", row)], {}, 0.0, 0.0) for n, row in enumerate(rows)]
        else:
            tools = list(_each(drawn.tools.counts))
            seen = [Seen(b"%d" % n, [(x, {})] if x else [], {}, 0.0, 0.0) for n, x in enumerate(tools)]
        described = describe(seen)
        assert (described.records, described.tools) == (drawn.records, drawn.tools)
        for name, shares in drawn.arguments.get("tool", {}).items():
            # What a shape stands for is told by its name here; only values can be told again.
            again = described.arguments["tool"][name]
            assert again.counts == shares.counts
            assert again.design_effect == shares.design_effect


def _each(counts: dict[str, int]) -> Any:
    for name, count in counts.items():
        yield from [name] * count


def test_shapes_of_texts_and_numbers_come_from_the_product(simulation: ModuleType) -> None:
    assert (simulation.TEXTS.form, simulation.NUMBERS.form) == ("shapes", "shapes")
    assert "text of 32 to 63" in simulation.TEXTS.shares
    assert "a number below 10^2" in simulation.NUMBERS.shares


@pytest.mark.parametrize("sizes", [(100, 100), (1000, 30), (1000, 200)])
def test_hardly_any_pair_of_the_same_traffic_is_a_drift(simulation: ModuleType, drifts, sizes) -> None:
    """Of 30 pairs of each kind; when p values were not checked by counting, rare values gave more."""
    alone = sum(drifts(each, each, sizes, 30) for each in simulation.SAME if each.fewest <= sizes[0])
    assert alone <= 1
    assert drifts(simulation.TALKS[0], simulation.TALKS[0], sizes, 20) == 0


def test_conversations_that_the_log_does_not_tell_are_not_promised(simulation: ModuleType, drifts) -> None:
    """docs/schedules.md says so; should this ever be quiet, then it says too little."""
    assert drifts(simulation.TALKS[2], simulation.TALKS[2], (100, 100), 60) > 1


def test_shifts_of_a_known_size_are_found(simulation: ModuleType, drifts) -> None:
    shifts = {now.name: (before, now) for before, now in simulation.SHIFTS}
    assert drifts(*shifts["a tool from 10 to 30 % of the calls"], (1000, 200), 30) >= 28
    assert drifts(*shifts["a new value in 10 % of the calls"], (1000, 200), 30) >= 25
    assert drifts(*shifts["a tool from 10 to 12 % of the calls"], (5000, 1000), 30) == 0
    assert simulation.true_distance(*shifts["a tool from 10 to 20 % of the calls"]) == "0.12"
