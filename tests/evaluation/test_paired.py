"""McNemar, its clustered form, Holm and kappa: against scipy and statsmodels, and by counting it out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests

from flywheel.evaluation.statistics import cohen_kappa, holm, mcnemar, sign_flips


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 5), (5, 5), (3, 17), (40, 61), (500, 700)])
def test_mcnemar_is_scipys_and_statsmodels(b: int, c: int) -> None:
    ours = mcnemar(b, c)
    if b + c:
        assert ours == pytest.approx(stats.binomtest(b, b + c).pvalue, abs=1e-9)
        assert ours == pytest.approx(statsmodels_mcnemar([[9, b], [c, 9]], exact=True).pvalue, abs=1e-9)
    else:
        assert ours == 1.0


def counted_out(sums: list[int]) -> float:
    """The share of all ways to sign the sums that lie as far from zero."""
    flips = list(itertools.product((-1, 1), repeat=len(sums)))
    as_far = sum(abs(np.dot(signs, sums)) >= abs(sum(sums)) for signs in flips)
    return as_far / len(flips)


@settings(deadline=None)
@given(st.lists(st.integers(-4, 4), max_size=9))
def test_the_sign_flip_test_is_what_counting_all_flips_gives(sums: list[int]) -> None:
    (p,) = sign_flips(np.array(sums, dtype=float)[:, None])
    assert p == pytest.approx(counted_out(sums), abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_of_conversations_with_one_record_the_sign_flip_test_is_mcnemars(b: int, c: int, ties: int) -> None:
    sums = np.array([1.0] * b + [-1.0] * c + [0.0] * ties)[:, None]
    assert sign_flips(sums)[0] == pytest.approx(mcnemar(b, c), abs=1e-9)


def test_large_conversations_keep_the_total_probability() -> None:
    rng = np.random.default_rng(1)
    sums = rng.integers(-12, 13, (1500, 3)).astype(float)
    sums[:, 2] -= 3
    p_values = sign_flips(sums)
    deviation = np.abs(sums.sum(axis=0)) / np.sqrt((sums**2).sum(axis=0))
    assert p_values[:2] == pytest.approx(2 * stats.norm.sf(deviation[:2]), abs=0.01)
    assert p_values[2] < 1e-20


def test_graded_differences_are_tossed_with_the_seed() -> None:
    sums = np.array([0.5, 0.25, -0.125, 1.5, 0.75, 0.3, -0.2, 0.9])[:, None]
    (p,) = sign_flips(sums, seed=3)
    assert p == pytest.approx(counted_out(sums[:, 0].tolist()), abs=0.02)
    assert sign_flips(sums, seed=3) == (p,)


def test_whole_and_graded_differences_may_stand_side_by_side() -> None:
    sums = np.array([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5]])
    exact, tossed = sign_flips(sums)
    assert exact == pytest.approx(2 / 64)
    assert tossed == pytest.approx(2 / 64, abs=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
def test_holm_is_statsmodels(n: int) -> None:
    p_values = np.random.default_rng(n).beta(0.3, 2, n).round(3).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-9)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == ()


@pytest.mark.parametrize("table", [[[40, 9], [6, 45]], [[5, 1, 2], [0, 7, 3], [4, 4, 20]], [[0, 5], [5, 0]]])
def test_kappa_is_statsmodels_with_its_interval(table: list[list[int]]) -> None:
    pairs = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    ours = cohen_kappa([a for a, _ in pairs], [b for _, b in pairs])
    theirs = cohens_kappa(np.array(table))
    assert ours.value == pytest.approx(theirs.kappa, abs=1e-9)
    assert ours.low == pytest.approx(theirs.kappa_low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.kappa_upp, abs=1e-9)
    assert ours.accuracy == sum(a == b for a, b in pairs) / len(pairs)


def test_kappa_takes_any_labels_and_knows_full_agreement() -> None:
    labels = ["right", "wrong", "right", None]
    found = cohen_kappa(labels, labels)
    assert (found.value, found.accuracy, found.n) == (1.0, 1.0, 4)


def test_kappa_of_one_label_only_is_undefined_and_of_nothing_too() -> None:
    found = cohen_kappa([1, 1, 1], [1, 1, 1])
    assert (found.value, found.low, found.accuracy) == (None, None, 1.0)
    assert cohen_kappa([], []).as_dict() == {
        "n": 0, "accuracy": None, "kappa": None, "low": None, "high": None, "level": 0.95,
    }  # fmt: skip


def test_raters_of_different_things_are_refused() -> None:
    with pytest.raises(ValueError, match="labelled 2 and 1 things"):
        cohen_kappa([1, 0], [1])
