"""Intervals in closed form, for records that are independent of each other.

A proportion (every value 0 or 1) gets Wilson's interval, a difference of paired proportions Tango's: both
invert the score test, so they keep their promise near 0 % and 100 %, where an interval of "value plus or
minus two standard errors" is empty. The functions that end in `_limits` take and return arrays, and numbers
of records that need not be whole: behind a design effect of 1.6, 100 records are worth 62.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

Array = NDArray[np.float64]

_HALVINGS = 52
"""Of an interval of length 2: to the last digit of a float."""


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float
    level: float
    method: str
    design_effect: float | None = None
    """Variance by the cluster bootstrap over that of independent records; None where each record stands
    alone."""
    clusters: int | None = None
    seed: int | None = None
    resamples: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON; what only a cluster bootstrap has is there only after one."""
        found = {"level": self.level, "low": self.low, "high": self.high, "method": self.method}
        extra = {
            "design_effect": self.design_effect,
            "clusters": self.clusters,
            "seed": self.seed,
            "resamples": self.resamples,
        }
        return found | {name: value for name, value in extra.items() if value is not None}


def z_of(level: float) -> float:
    """How many standard errors a two-sided interval of `level` reaches to each side."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(successes: float, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion; with no samples it is everything from 0 to 1."""
    if n <= 0:
        return Interval(0.0, 1.0, level, "wilson")
    low, high = wilson_limits(np.array([successes / n]), np.array([float(n)]), np.array([z_of(level)]))
    return Interval(float(low[0]), float(high[0]), level, "wilson")


def wilson_limits(share: Array, n: Array, z: Array) -> tuple[Array, Array]:
    """Wilson's limits, elementwise."""
    spread = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / spread
    half = z / spread * np.sqrt(np.maximum(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    low = np.where(share <= 0, 0.0, np.maximum(middle - half, 0.0))
    high = np.where(share >= 1, 1.0, np.minimum(middle + half, 1.0))
    return low, high


def tango_limits(better: Array, worse: Array, n: Array, z: Array) -> tuple[Array, Array]:
    """Tango's score limits of (better − worse) / n, elementwise.

    Of `n` paired records the first system alone is right on `better`, the second alone on `worse`.
    Source: T. Tango, Statistics in Medicine 17 (1998), 891–908.
    """
    value = (better - worse) / n
    low = _solve(better, worse, n, z, np.full_like(value, -1.0), value)
    high = _solve(better, worse, n, -z, value, np.full_like(value, 1.0))
    return low, high


def tango_deviation(better: Array, worse: Array, n: Array, difference: Array) -> Array:
    """Standard deviation, per record, that paired differences have if their mean is `difference`: the most
    likely one given the counts.
    """
    linear = (2 * n - better + worse) * difference - better - worse
    constant = -worse * difference * (1 - difference)
    root = np.sqrt(np.maximum(linear * linear - 8 * n * constant, 0.0))
    lost = (root - linear) / (4 * n)
    return np.sqrt(np.maximum(2 * lost + difference * (1 - difference), 0.0))


def _solve(better: Array, worse: Array, n: Array, z: Array, below: Array, above: Array) -> Array:
    """The difference at which the score, which falls as the difference grows, is `z`."""
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        score = better - worse - n * middle
        higher = score > z * np.sqrt(n) * tango_deviation(better, worse, n, middle)
        below, above = np.where(higher, middle, below), np.where(higher, above, middle)
    return (below + above) / 2


def normal(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of a mean, by the normal approximation with the sample's standard deviation.

    One value says nothing about its spread: the interval is that value alone, so look at the count beside it.
    """
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    half = z_of(level) * math.sqrt(variance / n)
    return Interval(mean - half, mean + half, level, "normal")
