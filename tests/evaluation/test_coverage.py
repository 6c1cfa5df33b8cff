"""The simulation behind docs/statistics.md, in small: promises kept, as far as few repetitions tell."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import multinomial

REPEATS = 3000
"""Standard error of a coverage of 95 %: 0.4 points. Seeds are fixed, so outcomes are, too."""


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))  # It imports exact_coverage, which lies beside it.
    spec = importlib.util.spec_from_file_location("benchmark_coverage", BENCHMARKS / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


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
@pytest.mark.parametrize(
    ("records", "ceiling", "difference", "margin"),
    [(50, 0.95, -0.01, 0.05), (50, 0.8, 0.02, 0.05), (100, 0.8, 0.02, 0.05), (500, 0.9, 0.0, 0.05)],
)
def test_power_is_as_planned(
    simulation: ModuleType, clustered: bool, records: int, ceiling: float, difference: float, margin: float
) -> None:
    traffic = simulation.Traffic(records, clustered)
    planned, simulated = simulation.powers(traffic, ceiling, difference, margin, REPEATS)
    assert simulated == pytest.approx(planned, abs=3)


@pytest.mark.parametrize(("records", "score"), [(50, 0.95), (100, 0.98)])
def test_few_mistakes_in_few_conversations_do_not_widen_a_score(
    simulation: ModuleType, records: int, score: float
) -> None:
    found = simulation.score_coverage(simulation.Traffic(records, clustered=True), score, REPEATS)
    assert found == pytest.approx(95, abs=1.5 + 0.4)


def test_counting_and_simulating_agree(simulation: ModuleType) -> None:
    traffic = simulation.Traffic(100, clustered=False)
    _, around = simulation.exact.score_coverage(100, 0.95)
    assert simulation.score_coverage(traffic, 0.95, REPEATS) == pytest.approx(around, abs=1.2)
    for pair in ((0.9, 0.87), (0.98, 0.98)):
        _, around = simulation.exact.difference_coverage(100, pair, simulation.HARD)
        assert simulation.difference_coverage(traffic, pair, REPEATS) == pytest.approx(around, abs=1.2)


def test_of_fifty_records_at_98_no_interval_hits_95_as_the_page_says(simulation: ModuleType) -> None:
    at, _ = simulation.exact.score_coverage(50, 0.98)
    assert at == pytest.approx(92.2, abs=0.05)


@pytest.mark.parametrize(("records", "pair"), [(50, (0.98, 0.98)), (50, (0.98, 0.95)), (100, (0.98, 0.98))])
def test_where_next_to_nothing_tells_two_systems_apart_any_interval_covers_too_often(
    simulation: ModuleType, records: int, pair: tuple[float, float]
) -> None:
    least = simulation.exact.least(records, pair, simulation.HARD)
    _, ours = simulation.exact.difference_coverage(records, pair, simulation.HARD)
    assert least > 96.5
    assert ours - least < 0.6


def test_where_many_records_tell_them_apart_an_interval_is_free_to_be_right(simulation: ModuleType) -> None:
    assert simulation.exact.least(200, (0.9, 0.87), simulation.HARD) < 93.5


def test_an_outcome_must_be_covered_where_it_and_the_more_extreme_are_likely_enough(
    simulation: ModuleType,
) -> None:
    # All of 6 records, one by one, instead of sums over tables.
    n, truth, exact = 6, 0.1, simulation.exact
    may_miss = exact._may_miss(n, n, truth)
    for better in range(n + 1):
        for worse in range(n + 1 - better):
            likeliest = max(
                sum(
                    float(multinomial.pmf([b, c, n - b - c], n, [(d + truth) / 2, (d - truth) / 2, 1 - d]))
                    for b in range(better, n + 1)
                    for c in range(min(worse, n - b) + 1)
                )
                for d in abs(truth) + np.geomspace(1e-4, 0.9, exact.DISCORDANCES)
            )
            assert may_miss[better, worse] == (likeliest <= exact.SIDE)
