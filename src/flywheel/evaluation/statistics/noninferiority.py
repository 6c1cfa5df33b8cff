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
from scipy.special import stdtrit

from flywheel.evaluation.statistics.intervals import LEVEL, Interval, tango_deviation, z_of

MARGIN = 0.03
POWER = 0.8


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

    All shares from 0 to 1, `margin` 0.03 for 3 points; `per_conversation` is the mean number of records.
    Raises ValueError for values that cannot be.
    """
    under_margin, under_truth, gap = _deviations(margin, discordance, difference, design_effect)
    quantile = z_of(level)
    if design_effect > 1:
        # The variance between conversations is an estimate, and few conversations estimate it badly.
        quantile = float(stdtrit(max(records / per_conversation - 1, 1.0), 0.5 + level / 2))
    reach = math.sqrt(records / design_effect) * gap - quantile * under_margin
    if under_truth == 0:
        return float(reach > 0)
    return NormalDist().cdf(reach / under_truth)


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
    """The smallest number of records with which `power` is at least `wanted`.

    Raises ValueError for values that cannot be, and for a `difference` at or below −margin, which no number
    of records can show to be above it.
    """
    _, _, gap = _deviations(margin, discordance, difference, design_effect)
    if gap <= 0:
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


def _deviations(
    margin: float, discordance: float, difference: float, design_effect: float
) -> tuple[float, float, float]:
    """Standard deviations per record at −margin and at the truth, and how far these two are apart."""
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin:g} is not a share between 0 and 1")
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"discordance {discordance:g} is not from |difference| ({abs(difference):g}) to 1")
    if not design_effect >= 1:
        raise ValueError(f"design effect {design_effect:g} is not 1 or more")
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    at_margin = tango_deviation(np.array(better), np.array(worse), np.array(1.0), np.array(-margin))
    at_truth = math.sqrt(max(discordance - difference**2, 0.0))
    return float(at_margin), at_truth, difference + margin
