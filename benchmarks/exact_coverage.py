"""Coverage by counting instead of simulating, for records that stand alone: every outcome with its chance.

Answers what a simulation cannot: is an interval that covers too often at fault, or is no other possible?
Counts are whole. Of 50 records on which two systems differ in one or two, the possible outcomes are so few
that an interval has to hold nearly all of them (L. D. Brown, T. T. Cai, A. DasGupta, Statistical Science 16,
2001, pages 101 to 133, show it for one proportion). `least` counts how many.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import gammaln, ndtri, xlogy
from scipy.stats import binom, multivariate_normal

from flywheel.evaluation.statistics.intervals import tango_limits, wilson_limits, z_of

LEVEL = 0.95
SIDE = (1 - LEVEL) / 2
"""How often each end may be wrong."""
STEPS = 400
"""Scores around a score, for a mean of coverages."""
STEPS_EACH = 7
"""… around each score of a pair."""
DISCORDANCES = 80
"""Discordances that are tried for the largest chance of an outcome."""


def reach(score: float) -> float:
    """How far around a score the mean goes: 2 points, at most half the way to 100 %."""
    return min(0.02, (1 - score) / 2)


def score_coverage(n: int, score: float) -> tuple[float, float]:
    """Percent in which Wilson's interval of `n` records holds the truth: at `score` itself, and around it."""
    right = np.arange(n + 1.0)
    low, high = wilson_limits(right / n, np.full(n + 1, float(n)), np.full(n + 1, z_of(LEVEL)))

    def at(truth: float) -> float:
        return 100 * float(binom.pmf(right, n, truth)[(low <= truth) & (truth <= high)].sum())

    return at(score), float(np.mean([at(score + step) for step in _steps(reach(score), STEPS)]))


def difference_coverage(n: int, pair: tuple[float, float], shared: float) -> tuple[float, float]:
    """Percent in which Tango's interval holds the truth: at the `pair` of scores itself, and around it.

    `shared` is the correlation of the latent normals of the two systems.
    """
    most = _most(n, pair, shared)
    better, worse = (each.astype(float) for each in np.indices((most + 1, most + 1)))
    full, z = np.full(better.size, float(n)), np.full(better.size, z_of(LEVEL))
    inside = np.minimum(worse, n - better).clip(0)  # The others cannot be and get no chance.
    low, high = (each.reshape(better.shape) for each in tango_limits(better.ravel(), inside.ravel(), full, z))

    def at(first: float, second: float) -> float:
        truth = first - second
        chances = outcomes(n, most, *apart(first, second, shared))
        return 100 * (1 - float(chances[(low > truth) | (high < truth)].sum()))

    return at(*pair), float(np.mean([at(*scores) for scores in _around(pair)]))


def least(n: int, pair: tuple[float, float], shared: float) -> float:
    """Percent that any interval must cover around a `pair` of scores, if it keeps two rules.

    Each end errs in at most 2.5 % whatever the discordance, because the lower end is a test that promises
    so; and one more record on which a system alone is right never moves an end to that system's disadvantage.
    Then an outcome may lie beyond an end only together with all that are more extreme, and only if these
    have 2.5 % at most at each discordance. What may not lie beyond must be covered.
    """
    most = _most(n, pair, shared)
    found = []
    for first, second in _around(pair):
        chances = outcomes(n, most, *apart(first, second, shared))
        truth = first - second
        wrong = chances[_may_miss(n, most, truth)].sum() + chances[_may_miss(n, most, -truth).T].sum()
        found.append(100 * (1 - float(wrong)))
    return float(np.mean(found))


def outcomes(n: int, most: int, only_first: float, only_second: float) -> np.ndarray:
    """The chance that of `n` records the first alone is right on row, the second alone on column many."""
    better, worse = np.indices((most + 1, most + 1))
    same = n - better - worse
    ways = gammaln(n + 1) - gammaln(better + 1) - gammaln(worse + 1) - gammaln(same.clip(0) + 1)
    logs = ways + xlogy(better, only_first) + xlogy(worse, only_second)
    logs += xlogy(same.clip(0), max(1 - only_first - only_second, 0.0))
    return np.where(same >= 0, np.exp(logs), 0.0)


def apart(first: float, second: float, shared: float) -> tuple[float, float]:
    """Chances of a record that the first system alone, and the second alone, is right."""
    both = multivariate_normal.cdf(ndtri([first, second]), cov=[[1.0, shared], [shared, 1.0]])
    return first - both, second - both


def _may_miss(n: int, most: int, truth: float) -> np.ndarray:
    """Outcomes above which the lower end may lie wrongly if the true difference is `truth`."""
    largest = np.zeros((most + 1, most + 1))
    for discordance in abs(truth) + np.geomspace(1e-4, 1 - abs(truth), DISCORDANCES):
        chances = outcomes(n, most, (discordance + truth) / 2, (discordance - truth) / 2)
        more_extreme = np.cumsum(np.cumsum(chances[::-1], axis=0)[::-1], axis=1)
        largest = np.maximum(largest, more_extreme)
    return largest <= SIDE


def _most(n: int, pair: tuple[float, float], shared: float) -> int:
    """More records than one system alone is ever right on."""
    lowest = [score - reach(score) for score in pair]
    expected = n * max(apart(*lowest, shared))
    return min(n, int(expected + 8 * np.sqrt(expected)) + 8)


def _around(pair: tuple[float, float]) -> Iterator[tuple[float, float]]:
    for first in _steps(reach(pair[0]), STEPS_EACH):
        for second in _steps(reach(pair[1]), STEPS_EACH):
            yield pair[0] + float(first), pair[1] + float(second)


def _steps(reach: float, count: int) -> np.ndarray:
    """Middles of `count` equal parts from −reach to reach."""
    return reach * (2 * np.arange(count) + 1 - count) / count
