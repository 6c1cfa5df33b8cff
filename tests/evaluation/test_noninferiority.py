"""How many records a margin needs, and that planned and tested are the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flywheel.evaluation.statistics import NonInferiority, power, records_needed
from flywheel.evaluation.statistics.intervals import Interval, tango_limits, z_of


def chance_by_counting(n: int, discordance: float, difference: float, margin: float) -> float:
    """The power, by going through every outcome of n independent records."""
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    possible = b + c <= n
    b, c = b[possible], c[possible]
    counts = np.stack([b, c, n - b - c], axis=1)
    chances = stats.multinomial.pmf(counts, n, [better, worse, 1 - discordance])
    low, _ = tango_limits(b.astype(float), c.astype(float), np.full(len(b), float(n)), np.array([z_of(0.95)]))
    return float(chances[low > -margin].sum())


@pytest.mark.parametrize(
    ("n", "discordance", "difference", "margin"),
    [(250, 0.1, 0.0, 0.05), (150, 0.2, 0.02, 0.08), (200, 0.08, -0.01, 0.05)],
)
def test_power_is_what_counting_all_outcomes_gives_within_three_points(
    n: int, discordance: float, difference: float, margin: float
) -> None:
    planned = power(n, margin=margin, discordance=discordance, difference=difference)
    assert planned == pytest.approx(chance_by_counting(n, discordance, difference, margin), abs=0.03)


@pytest.mark.parametrize(
    ("n", "discordance", "margin"), [(60, 0.1, 0.05), (120, 0.06, 0.03), (150, 0.2, 0.05)]
)
def test_a_student_at_the_margin_passes_no_more_often_than_promised(
    n: int, discordance: float, margin: float
) -> None:
    assert chance_by_counting(n, discordance, -margin, margin) <= 0.0265


@settings(deadline=None)
@given(
    st.floats(0.005, 0.2), st.floats(0.0, 0.6), st.floats(-0.9, 0.9), st.floats(1, 5), st.floats(0.5, 0.99)
)
def test_the_records_needed_are_the_fewest_that_have_the_power(
    margin: float, discordance: float, share: float, effect: float, wanted: float
) -> None:
    difference = share * min(margin, discordance)
    known = {
        "margin": margin,
        "discordance": discordance,
        "difference": difference,
        "design_effect": effect,
        "per_conversation": 3.0,
    }
    needed = records_needed(**known, wanted=wanted)
    assert power(needed, **known) >= wanted
    if needed > 1:
        assert power(needed - 1, **known) < wanted


def test_more_noise_more_clustering_and_a_narrower_margin_need_more_records() -> None:
    plain = records_needed(margin=0.03, discordance=0.1)
    assert 800 < plain < 1000  # (1.96 + 0.84)² · 0.1 / 0.03² = 872, and a little for the variance at −margin
    assert records_needed(margin=0.03, discordance=0.2) > 1.8 * plain
    assert records_needed(margin=0.015, discordance=0.1) > 3.5 * plain
    assert records_needed(margin=0.03, discordance=0.1, design_effect=2) == pytest.approx(2 * plain, abs=2)
    assert records_needed(margin=0.03, discordance=0.1, difference=-0.01) > 2 * plain
    assert records_needed(margin=0.03, discordance=0.1, difference=0.02) < plain


def test_few_conversations_estimate_their_own_spread_badly_and_cost_power() -> None:
    known = {"margin": 0.05, "discordance": 0.1, "design_effect": 1.5}
    assert power(60, per_conversation=6, **known) < power(60, per_conversation=2, **known) - 0.005
    assert records_needed(per_conversation=20, **known) > records_needed(per_conversation=2, **known)


def test_systems_that_never_disagree_still_need_the_records_that_could_have_shown_it() -> None:
    # With n records and no disagreement the lower limit is −z² / (n + z²): above −3 points from 125 on.
    assert records_needed(margin=0.03, discordance=0.0) == 125
    assert power(124, margin=0.03, discordance=0.0) == 0.0
    assert power(125, margin=0.03, discordance=0.0) == 1.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"margin": 0.0, "discordance": 0.1}, "margin 0 is not a share"),
        ({"margin": 3.0, "discordance": 0.1}, "margin 3 is not a share"),
        ({"discordance": 1.5}, "discordance 1.5 is not"),
        ({"discordance": 0.01, "difference": 0.02}, "discordance 0.01 is not"),
        ({"discordance": 0.1, "design_effect": 0.0}, "design effect 0 is not above 0"),
        ({"discordance": 0.1, "difference": -0.03}, "is not above −margin"),
        ({"discordance": 0.1, "wanted": 1.0}, "power 1 is not"),
        ({"discordance": float("nan")}, "discordance nan is not"),
    ],
)
def test_what_cannot_be_is_named(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        records_needed(**wrong)


def test_a_student_at_or_below_the_margin_has_nearly_no_power() -> None:
    assert power(500, discordance=0.1, difference=-0.03) == pytest.approx(0.025, abs=0.005)
    assert power(500, discordance=0.1, difference=-0.08) < 1e-6


@pytest.mark.parametrize(("low", "passes"), [(-0.029, True), (-0.03, False), (-0.1, False), (0.01, True)])
def test_it_passes_above_the_margin_only(low: float, passes: bool) -> None:
    found = NonInferiority(0.03, 0.02, Interval(low, 0.05, 0.95, "tango"), 0.1, 500, 900)
    assert found.passes is passes
