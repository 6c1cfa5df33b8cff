"""May a student replace its teacher? Yes when it is shown not to be worse by more than a margin.

Shown means: the lower bound of the paired difference (student − ceiling) lies above −margin. `power` tells
how probable that is for a student of a given quality, `records_needed` how many records it takes; both follow
from the variances of the same score test (Tango), so what is planned is what is tested.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import gammaln, xlogy

from flywheel.evaluation.statistics.bootstrap import LOWEST_EFFECT, SUPPOSED, student_of, weight_of
from flywheel.evaluation.statistics.intervals import LEVEL, Interval, tango_deviation, z_of

MARGIN = 0.03
POWER = 0.8
COUNTED = 30
"""Up to so many records that tell the systems apart, power is counted out; beyond, the normal distribution is
within half a point, and a count would take long."""


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """`passes` when `interval.low` is above −`margin`."""

    margin: float
    difference: float
    interval: Interval
    discordance: float
    """Share of the records on which only one of the two is right."""
    records: int
    records_needed: int
    """For 80 % power, with the discordance and the design effect seen here, if the two are in truth equal."""

    @property
    def passes(self) -> bool:
        return self.interval.low > -self.margin


def power(
    records: int,
    *,
    margin: float = MARGIN,
    discordance: float,
    difference: float = 0.0,
    design_effect: float = 1.0,
    per_conversation: float = 1.0,
    level: float = LEVEL,
) -> float:
    """The chance that `records` records show non-inferiority, if the true difference is `difference`.

    Counted over all outcomes where few records tell the systems apart, since whole numbers jump; by the
    normal distribution where many do. All shares from 0 to 1, `margin` 0.03 for 3 points;
    `per_conversation` is the mean number of records. Raises ValueError for values that cannot be.
    """
    _check(margin, discordance, difference, design_effect)
    worth = records / design_effect
    quantile = _quantile(records, discordance, design_effect, per_conversation, level)
    if worth * discordance > COUNTED:
        return _normal(worth, margin, discordance, difference, quantile)
    below = math.floor(worth)
    share = worth - below
    counted = [_counted(n, margin, discordance, difference, quantile) for n in (below, below + 1)]
    return (1 - share) * counted[0] + share * counted[1] if share else counted[0]


def records_needed(
    *,
    margin: float = MARGIN,
    discordance: float,
    difference: float = 0.0,
    design_effect: float = 1.0,
    per_conversation: float = 1.0,
    level: float = LEVEL,
    wanted: float = POWER,
) -> int:
    """A number of records with which `power` is at least `wanted`, and with one fewer is not.

    It is the smallest where power grows evenly; where it is counted it climbs in teeth, which may hide a few.

    Raises ValueError for values that cannot be, and for a `difference` at or below −margin, which no number
    of records can show to be above it.
    """
    _check(margin, discordance, difference, design_effect)
    if difference + margin <= 0:
        raise ValueError(f"difference {difference:g} is not above −margin ({-margin:g}): no number is enough")
    if not 0.5 <= wanted < 1:
        raise ValueError(f"power {wanted:g} is not from 0.5 to below 1")

    def enough(records: int) -> bool:
        return wanted <= power(
            records,
            margin=margin,
            discordance=discordance,
            difference=difference,
            design_effect=design_effect,
            per_conversation=per_conversation,
            level=level,
        )

    most = 1
    while not enough(most):
        most *= 2
    return bisect_left(range(most + 1), True, lo=most // 2, key=enough)


def _check(margin: float, discordance: float, difference: float, design_effect: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin:g} is not a share between 0 and 1")
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"discordance {discordance:g} is not from |difference| ({abs(difference):g}) to 1")
    if not design_effect > 0:
        raise ValueError(f"design effect {design_effect:g} is not above 0")


def _quantile(
    records: int, discordance: float, design_effect: float, per_conversation: float, level: float
) -> float:
    """Standard errors to each side that the test will take, for conversations of equal size.

    The test believes the correlation that it sees as far as it sees pairs (`ClusterBootstrap.worth`): where
    it supposes a design effect that is not the true one, its standard errors are off by the root of the two.
    """
    z, partners = z_of(level), per_conversation - 1
    if partners <= 0:
        return z
    pairs = records * partners / 2 * (1 - (1 - discordance) ** 2)
    correlation = (design_effect - 1) / partners
    weight = float(weight_of(np.array(pairs), np.array(correlation)))
    believed = max(1 + partners * (weight * correlation + (1 - weight) * SUPPOSED), LOWEST_EFFECT)
    t = student_of(max(records / per_conversation - 1, 1.0), level)
    return (z + weight * (t - z)) * math.sqrt(believed / design_effect)


def _normal(worth: float, margin: float, discordance: float, difference: float, quantile: float) -> float:
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    at_margin = float(tango_deviation(np.array(better), np.array(worse), np.array(1.0), np.array(-margin)))
    reach = math.sqrt(worth) * (difference + margin) - quantile * at_margin
    at_truth = math.sqrt(max(discordance - difference**2, 0.0))
    return NormalDist().cdf(reach / at_truth) if at_truth > 0 else float(reach > 0)


def _counted(n: int, margin: float, discordance: float, difference: float, quantile: float) -> float:
    """The chance of all outcomes of `n` independent records by which the student passes."""
    if n < 1:
        return 0.0
    chances = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    most = min(n, math.ceil(n * discordance + 10 * math.sqrt(n * discordance)) + 1)
    better, worse = (each.astype(np.float64) for each in np.indices((most + 1, most + 1)).reshape(2, -1))
    possible = better + worse <= n
    better, worse = better[possible], worse[possible]
    ways = gammaln(n + 1) - gammaln(better + 1) - gammaln(worse + 1) - gammaln(n - better - worse + 1)
    counts = (better, worse, n - better - worse)
    logs = ways + sum(xlogy(count, chance) for count, chance in zip(counts, chances, strict=True))
    deviation = tango_deviation(better, worse, np.array(float(n)), np.array(-margin))
    passes = better - worse + n * margin > quantile * math.sqrt(n) * deviation
    return min(1.0, float(np.exp(logs[passes]).sum()))
