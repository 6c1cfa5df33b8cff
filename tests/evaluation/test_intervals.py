"""Intervals of scores and of differences, checked against statsmodels, scipy and what must hold anyway."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

from flywheel.evaluation.statistics import (
    ClusterBootstrap,
    difference_intervals,
    mean_intervals,
    summary,
    wilson,
)
from flywheel.evaluation.statistics.bootstrap import LOWEST_EFFECT
from flywheel.evaluation.statistics.intervals import tango_deviation, tango_limits, z_of

Z = np.array([z_of(0.95)])


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def alone(n: int) -> ClusterBootstrap:
    return ClusterBootstrap(range(n))


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1, 1), (83, 100), (990, 1000)])
def test_a_proportion_without_clusters_has_statsmodels_wilson_interval(right: int, n: int) -> None:
    (ours,) = mean_intervals(column(*[1.0] * right, *[0.0] * (n - right)), alone(n))
    low, high = proportion_confint(right, n, method="wilson")
    assert (ours.low, ours.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert (ours.method, ours.seed, ours.design_effect) == ("wilson", None, None)


def test_grades_have_wilsons_interval_with_their_own_scatter() -> None:
    # Both ends are where (mean − end)² = t² · share · end · (1 − end) / n.
    values = np.array([0.25, 0.5, 0.75, 0.5, 0.6, 0.3, 0.9, 0.8])
    (ours,) = mean_intervals(values[:, None], alone(8))
    mean, t = values.mean(), stats.t.ppf(0.975, 7)
    share = values.var(ddof=1) / (mean * (1 - mean))
    for end in (ours.low, ours.high):
        assert (mean - end) ** 2 == pytest.approx(t**2 * share * end * (1 - end) / 8, abs=1e-9)
    assert ours.low < mean < ours.high


def test_a_graded_difference_without_clusters_has_students_interval() -> None:
    first, second = np.random.default_rng(8).random((2, 25))
    (ours,) = difference_intervals(first[:, None], second[:, None], alone(25))
    low, high = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (ours.low, ours.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_one_record_and_equal_grades_leave_room_for_doubt(value: float) -> None:
    (one,) = mean_intervals(column(value), alone(1))
    (ten,) = mean_intervals(column(*[value] * 10), alone(10))
    assert one.high - one.low > 0.7
    assert ten.high - ten.low > 0.2


@settings(deadline=None)
@given(
    st.integers(0, 40), st.integers(0, 40), st.integers(1, 200), st.sampled_from([1.0, 1.645, 1.96, 2.576])
)
def test_tangos_limits_are_where_the_score_test_is_on_the_edge(b: int, c: int, rest: int, z: float) -> None:
    counts = [np.array([float(x)]) for x in (b, c, b + c + rest)]
    low, high = tango_limits(*counts, np.array([z]))
    value = (b - c) / counts[2]
    assert -1 <= low <= value <= high <= 1
    for limit, sign in ((low, 1), (high, -1)):
        score = (b - c - counts[2] * limit) / (np.sqrt(counts[2]) * tango_deviation(*counts, limit))
        assert score == pytest.approx(sign * z, abs=1e-6)


@pytest.mark.parametrize(("b", "c", "n"), [(3, 9, 100), (0, 4, 50), (20, 11, 60), (1, 0, 20), (30, 30, 300)])
@pytest.mark.parametrize("difference", [-0.2, -0.03, 0.03, 0.2])
def test_the_deviation_is_that_of_the_likeliest_counts(b: int, c: int, n: int, difference: float) -> None:
    def unlikely(worse: float) -> float:
        return -float(
            special.xlogy([b, c, n - b - c], [worse + difference, worse, 1 - 2 * worse - difference]).sum()
        )

    edges = max(0.0, -difference), (1 - difference) / 2
    worse = optimize.minimize_scalar(unlikely, bounds=edges, method="bounded", options={"xatol": 1e-12}).x
    theirs = np.sqrt(2 * worse + difference - difference**2)
    ours = tango_deviation(*(np.array([float(x)]) for x in (b, c, n)), np.array([difference]))
    assert ours[0] == pytest.approx(theirs, abs=1e-6)


def test_without_a_discordant_pair_the_difference_has_the_limits_of_a_proportion() -> None:
    # Wilson's upper limit for none of 100.
    low, high = tango_limits(np.zeros(1), np.zeros(1), np.array([100.0]), Z)
    edge = Z[0] ** 2 / (100 + Z[0] ** 2)
    assert (low[0], high[0]) == (pytest.approx(-edge, abs=1e-9), pytest.approx(edge, abs=1e-9))


def test_the_bootstrapped_variance_is_that_of_the_ratio_of_sums() -> None:
    rng = np.random.default_rng(3)
    conversations = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    values = rng.random((len(conversations), 2)) + 0.5 * rng.random(60)[conversations][:, None]
    found, clusters = ClusterBootstrap(conversations.tolist(), resamples=20_000).variance(values)
    sizes = np.bincount(conversations)
    for k in range(2):
        off = np.bincount(conversations, values[:, k]) - values[:, k].mean() * sizes
        linear = (off**2).sum() * 60 / 59 / len(values) ** 2
        assert found[k] == pytest.approx(linear, rel=0.06)
    assert clusters == 60


def test_the_bootstrap_of_single_records_has_the_variance_of_scipys() -> None:
    values = np.random.default_rng(4).random(40)
    bootstrap = ClusterBootstrap(range(40), resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=5, method="percentile")
    ours, _ = bootstrap.variance(values[:, None])
    assert np.sqrt(ours[0] * 39 / 40) == pytest.approx(theirs.standard_error, rel=0.03)


def test_records_that_repeat_each_other_are_worth_one_each() -> None:
    # 50 conversations of four equal records say what 50 records say.
    each = np.array([1.0] * 40 + [0.0] * 10)
    values = np.repeat(each, 4)[:, None]
    (ours,) = mean_intervals(values, ClusterBootstrap(np.repeat(range(50), 4).tolist(), seed=7))
    assert ours.design_effect == pytest.approx(4, rel=0.15)
    assert ours.low < wilson(40, 50).low + 0.02
    assert (ours.method, ours.seed, ours.resamples, ours.clusters) == (
        "wilson, cluster bootstrap",
        7,
        2000,
        50,
    )


def test_few_mistakes_say_little_of_how_alike_conversations_are_and_many_say_all() -> None:
    names = np.repeat(range(20), 3).tolist()
    two_together = np.array([0.0, 0.0] + [1.0] * 58)
    two_apart = np.array([0.0, 1.0, 1.0, 0.0] + [1.0] * 56)
    supposed = 1 + 2 * 0.05
    for few in (two_together, two_apart, np.ones(60)):
        (ours,) = mean_intervals(few[:, None], ClusterBootstrap(names))
        assert ours.design_effect == pytest.approx(supposed, abs=0.2)
    alike = np.repeat([1.0, 0.0] * 150, 3)[:, None]
    (many,) = mean_intervals(alike, ClusterBootstrap(np.repeat(range(300), 3).tolist()))
    assert many.design_effect == pytest.approx(3, rel=0.1)


def test_records_that_oppose_each_other_in_their_conversation_are_worth_little_more_than_strangers() -> None:
    values = np.array([1.0, 0.0] * 100)[:, None]
    (ours,) = mean_intervals(values, ClusterBootstrap(np.repeat(range(100), 2).tolist()))
    assert ours.design_effect == LOWEST_EFFECT


def test_a_slice_in_which_no_conversation_has_two_records_needs_no_design_effect() -> None:
    values, names = (np.arange(60) % 5 > 0).astype(float)[:, None], [i // 2 for i in range(60)]
    (ours,) = mean_intervals(values, ClusterBootstrap(names), where=np.arange(60) % 2 == 0)
    assert ours.design_effect == 1
    assert (ours.low, ours.high) == pytest.approx((wilson(24, 30).low, wilson(24, 30).high))


def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly() -> None:
    rng = np.random.default_rng(1)
    values, names = (rng.random((200, 1)) < 0.9).astype(float), [i // 5 for i in range(200)]
    one, same, other = (
        mean_intervals(values, ClusterBootstrap(names, seed=seed))[0] for seed in (11, 11, 12)
    )
    assert one == same
    assert one.low != other.low
    assert one.low == pytest.approx(other.low, abs=0.01)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=40),
)
def test_intervals_hold_their_value_and_clustering_hardly_narrows_them(
    records: list[tuple[int, bool, bool]],
) -> None:
    names = [name for name, _, _ in records]
    first, second = column(*[a for _, a, _ in records]), column(*[b for _, _, b in records])
    bootstrap = ClusterBootstrap(names, resamples=100)
    (mean,), (difference,) = mean_intervals(first, bootstrap), difference_intervals(first, second, bootstrap)
    (free_mean,) = mean_intervals(first, alone(len(names)))
    (free_difference,) = difference_intervals(first, second, alone(len(names)))
    small, narrowest = 1e-12, np.sqrt(LOWEST_EFFECT) - 0.01
    assert 0 <= mean.low <= first.mean() + small
    assert first.mean() - small <= mean.high <= 1
    assert difference.low >= -1
    assert difference.low <= (first - second).mean() + small <= difference.high + 2 * small
    assert mean.high - mean.low >= narrowest * (free_mean.high - free_mean.low)
    assert difference.high - difference.low >= narrowest * (free_difference.high - free_difference.low)


def test_the_difference_the_other_way_round_is_its_mirror() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 120, 1)) < 0.8).astype(float)
    bootstrap = ClusterBootstrap([i // 3 for i in range(120)])
    (there,) = difference_intervals(first, second, bootstrap)
    (back,) = difference_intervals(second, first, bootstrap)
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_one_conversation_of_many_records_says_nothing_sure() -> None:
    values, bootstrap = column(*[1.0, 0.0] * 10), ClusterBootstrap(["c"] * 20)
    (mean,), (difference,) = (
        mean_intervals(values, bootstrap),
        difference_intervals(values, values * 0, bootstrap),
    )
    assert (mean.low, mean.high, difference.low, difference.high) == (0, 1, -1, 1)


def test_no_record_says_nothing() -> None:
    nothing = np.zeros((0, 1))
    (mean,), (difference,) = (
        mean_intervals(nothing, alone(0)),
        difference_intervals(nothing, nothing, alone(0)),
    )
    assert (mean.low, mean.high, difference.low, difference.high) == (0, 1, -1, 1)


def test_a_slice_has_the_interval_that_its_records_alone_would_have() -> None:
    rng = np.random.default_rng(6)
    values, where = (rng.random((300, 1)) < 0.7).astype(float), np.arange(300) % 3 == 0
    (inside,) = mean_intervals(values, alone(300), where=where)
    (apart,) = mean_intervals(values[where], alone(100))
    assert inside == apart


def test_a_summary_by_conversation_is_wider_and_says_how_it_was_drawn() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 5 + [None]
    names = [i // 3 for i in range(31)]
    plain = summary(values)["stats"]["confidence_interval"]
    clustered = summary(values, conversations=names, seed=3)["stats"]["confidence_interval"]
    assert clustered["low"] < plain["low"] < plain["high"] < clustered["high"]
    assert (clustered["seed"], clustered["clusters"]) == (3, 10)
    assert summary(values, conversations=range(31))["stats"]["confidence_interval"] == plain


def test_a_judges_grades_by_conversation_keep_inside_the_grades_seen() -> None:
    found = summary([9.0, 10.0, 10.0, 10.0], conversations=["a", "a", "b", "b"])
    interval = found["stats"]["confidence_interval"]
    assert 0 <= interval["low"] < 9.75 < interval["high"] <= 10
