"""The simulation behind docs/statistics.md, in small: promises kept, as far as few repetitions tell."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPEATS = 3000
"""Standard error of a coverage of 95 %: 0.4 points. Seeds are fixed, so outcomes are, too."""


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("benchmark_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("score", [0.8, 0.95])
def test_intervals_of_scores_cover_the_truth(simulation: ModuleType, clustered: bool, score: float) -> None:
    traffic = simulation.Traffic(200, clustered)
    assert simulation.score_coverage(traffic, score, REPEATS) == pytest.approx(95, abs=1.8)
    assert simulation.graded_coverage(traffic, score, REPEATS) == pytest.approx(95, abs=1.8)


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_of_differences_cover_the_truth(simulation: ModuleType, clustered: bool) -> None:
    assert simulation.difference_coverage(
        simulation.Traffic(200, clustered), (0.9, 0.87), REPEATS
    ) == pytest.approx(95, abs=1.8)


def test_the_percentiles_of_a_bootstrap_would_not(simulation: ModuleType) -> None:
    percentile, bca = simulation.rejected_coverage(simulation.Traffic(50, clustered=True), 0.98, REPEATS)
    assert max(percentile, bca) < 70


@pytest.mark.parametrize("clustered", [False, True])
def test_tests_err_no_more_often_than_they_say(simulation: ModuleType, clustered: bool) -> None:
    traffic = simulation.Traffic(200, clustered)
    assert simulation.equality_error(traffic, 0.9, REPEATS) <= 5 + 0.8
    assert simulation.family_error(traffic, 0.8, 500) <= 5 + 2
    assert simulation.margin_error(traffic, 0.9, 0.03, REPEATS) <= 2.5 + 0.6


@pytest.mark.parametrize("clustered", [False, True])
def test_power_is_as_planned(simulation: ModuleType, clustered: bool) -> None:
    planned, simulated = simulation.powers(simulation.Traffic(500, clustered), 0.9, 0.0, 0.05, REPEATS)
    assert simulated == pytest.approx(planned, abs=3)
