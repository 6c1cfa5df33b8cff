"""How sure is a score? Intervals and summaries of a score's values, in closed form.

Proportions (every value 0 or 1) get Wilson's interval, which keeps its promise near 0 % and 100 % and
with few samples; other scores the normal interval of their mean, kept inside the values that were seen to
be possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float
    level: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        return {"level": self.level, "low": self.low, "high": self.high, "method": self.method}


def wilson(successes: float, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion; with no samples it is everything from 0 to 1."""
    if n <= 0:
        return Interval(0.0, 1.0, level, "wilson")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / n
    spread = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / spread
    half = z / spread * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high, level, "wilson")


def normal(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of a mean, by the normal approximation with the sample's standard deviation.

    One value says nothing about its spread: the interval is that value alone, so look at the count beside it.
    """
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(variance / n)
    return Interval(mean - half, mean + half, level, "normal")


def summary(values: Sequence[float | None], level: float = LEVEL) -> dict[str, Any]:
    """A score as NeMo writes it, `{value, stats}`, over the values that are there; None counts as
    `nan_count`.

    Population variance, as NeMo's. Without any value the score is 0.0 with a count of 0, because the wire
    has no word for "none": read the count first.
    """
    there = [value for value in values if value is not None]
    stats: dict[str, Any] = {"count": len(there), "nan_count": len(values) - len(there)}
    if not there:
        return {"value": 0.0, "stats": stats | {"sum": 0.0}}
    n, total = len(there), math.fsum(there)
    mean = total / n
    variance = math.fsum((value - mean) ** 2 for value in there) / n
    interval = wilson(total, n, level) if all(v in (0.0, 1.0) for v in there) else normal(there, level)
    stats |= {
        "sum": total,
        "mean": mean,
        "min": min(there),
        "max": max(there),
        "sum_squared": math.fsum(value * value for value in there),
        "variance": variance,
        "stddev": math.sqrt(variance),
        "stderr": math.sqrt(variance / n),
        "confidence_interval": interval.as_dict(),
    }
    return {"value": mean, "stats": stats}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated linearly between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
