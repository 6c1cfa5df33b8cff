"""Intervals and summaries, checked against scipy and numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flywheel.evaluation.statistics import normal, percentile, summary, wilson


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 20, 100, 1000])
def test_wilson_is_scipys_to_nine_digits(n: int, level: float) -> None:
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        ours = wilson(successes, n, level)
        theirs = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
        assert ours.low == pytest.approx(theirs.low, abs=1e-9)
        assert ours.high == pytest.approx(theirs.high, abs=1e-9)


def test_wilson_of_nothing_says_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_the_mean_of_graded_scores_has_the_normal_interval() -> None:
    values = [1.0, 7.0, 8.0, 9.0, 10.0, 3.5]
    low, high = stats.norm.interval(0.95, loc=np.mean(values), scale=stats.sem(values))
    ours = normal(values)
    assert (ours.low, ours.high, ours.method) == (pytest.approx(low), pytest.approx(high), "normal")


def test_a_summary_is_nemos_with_population_variance_and_leaves_missing_values_out() -> None:
    values = [1.0, 0.0, None, 1.0, 1.0]
    there = [1.0, 0.0, 1.0, 1.0]
    score = summary(values)
    statistics = score["stats"]
    assert score["value"] == statistics["mean"] == 0.75
    assert (statistics["count"], statistics["nan_count"], statistics["sum"]) == (4, 1, 3.0)
    assert statistics["variance"] == pytest.approx(np.var(there))
    assert statistics["stddev"] == pytest.approx(math.sqrt(np.var(there)))
    assert (statistics["min"], statistics["max"], statistics["sum_squared"]) == (0.0, 1.0, 3.0)
    assert statistics["confidence_interval"]["method"] == "wilson"
    assert statistics["confidence_interval"]["level"] == 0.95


def test_a_score_that_no_sample_has_says_so_by_its_count() -> None:
    assert summary([None, None]) == {"value": 0.0, "stats": {"count": 0, "nan_count": 2, "sum": 0.0}}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 1.0])
def test_percentiles_are_numpys(share: float) -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    assert percentile(values, share) == pytest.approx(np.percentile(values, share * 100))


def test_the_interval_of_shares_is_one_of_shares() -> None:
    few = summary([0.0] * 30 + [0.2])["stats"]["confidence_interval"]
    assert (few["low"], few["method"]) == (0.0, "normal")
    assert summary([1.0] * 30 + [0.9])["stats"]["confidence_interval"]["high"] == 1.0
    assert summary([1.0, 10.0])["stats"]["confidence_interval"]["low"] < 0.0  # Of another scale.
