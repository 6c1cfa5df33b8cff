"""A score's values summed up as NeMo's evaluator writes them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flywheel.evaluation.statistics.bootstrap import ClusterBootstrap
from flywheel.evaluation.statistics.intervals import LEVEL, Interval, normal, wilson
from flywheel.evaluation.statistics.means import mean_intervals


def summary(
    values: Sequence[float | None],
    level: float = LEVEL,
    *,
    conversations: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """A score as NeMo writes it, `{value, stats}`, over the values that are there; None counts as
    `nan_count`.

    Population variance, as NeMo's. Without any value the score is 0.0 with a count of 0, because the wire
    has no word for "none": read the count first. `conversations` names the conversation of each value; where
    one has several the interval is widened by a cluster bootstrap, which draws from `seed`.
    """
    there = [value for value in values if value is not None]
    stats: dict[str, Any] = {"count": len(there), "nan_count": len(values) - len(there)}
    if not there:
        return {"value": 0.0, "stats": stats | {"sum": 0.0}}
    n, total = len(there), math.fsum(there)
    mean = total / n
    variance = math.fsum((value - mean) ** 2 for value in there) / n
    names = None
    if conversations is not None:
        names = [name for name, value in zip(conversations, values, strict=True) if value is not None]
    stats |= {
        "sum": total,
        "mean": mean,
        "min": min(there),
        "max": max(there),
        "sum_squared": math.fsum(value * value for value in there),
        "variance": variance,
        "stddev": math.sqrt(variance),
        "stderr": math.sqrt(variance / n),
        "confidence_interval": _interval(there, level, names, seed).as_dict(),
    }
    return {"value": mean, "stats": stats}


def _interval(
    values: Sequence[float], level: float, conversations: Sequence[Hashable] | None, seed: int
) -> Interval:
    if conversations is not None and len(set(conversations)) < len(conversations):
        column = np.array(values, dtype=np.float64)[:, None]
        bounds = (min(0.0, *values), max(1.0, *values))
        return mean_intervals(column, ClusterBootstrap(conversations, seed=seed), level=level, bounds=bounds)[
            0
        ]
    if all(value in (0.0, 1.0) for value in values):
        return wilson(math.fsum(values), len(values), level)
    found = normal(values, level)
    if min(values) < 0.0 or max(values) > 1.0:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))  # Shares: so is their mean.


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated linearly between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
