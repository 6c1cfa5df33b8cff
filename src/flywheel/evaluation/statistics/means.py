"""Intervals of scores: of the mean of each system's values on the same records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flywheel.evaluation.statistics.bootstrap import ClusterBootstrap
from flywheel.evaluation.statistics.intervals import LEVEL, Array, Interval, wilson_limits


def mean_intervals(
    values: Array,
    bootstrap: ClusterBootstrap,
    *,
    level: float = LEVEL,
    where: NDArray[np.bool_] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Interval, ...]:
    """One interval for each column of `values` (records × systems), inside `bounds`.

    Columns of zeros and ones get Wilson's interval, other columns mean ± quantile × standard error; both
    with the number of records that the clustered ones are worth. With no record, or with one conversation
    of several records, the interval is everything inside the bounds.
    """
    low, high, effect, clusters = mean_limits(values, bootstrap, level=level, where=where, bounds=bounds)
    inside = values if where is None else values[where]
    shares = ((inside == 0) | (inside == 1)).all(axis=0)
    return tuple(
        interval(low[k], high[k], level, "wilson" if shares[k] else "mean", bootstrap, effect[k], clusters)
        for k in range(values.shape[1])
    )


def mean_limits(
    values: Array,
    bootstrap: ClusterBootstrap,
    *,
    level: float = LEVEL,
    where: NDArray[np.bool_] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Array, Array, Array, int]:
    """Lower and upper limits and design effects of each column, and the number of conversations."""
    inside = values if where is None else values[where]
    n, columns = inside.shape
    least, most = bounds
    everything = np.full(columns, least), np.full(columns, most), np.full(columns, np.nan), int(n > 0)
    if n == 0:
        return everything
    mean = inside.mean(axis=0)
    shares = ((inside == 0) | (inside == 1)).all(axis=0)
    # Wilson's form supposes p (1 − p); a sample's own variance is that of n − 1 degrees of freedom.
    spread = np.where(shares, mean * (1 - mean), inside.var(axis=0) * n / max(n - 1, 1))
    worth = bootstrap.worth(values, spread / n, level, where)
    if worth is None:
        return everything
    low, high = wilson_limits(mean, worth.effective, worth.quantile)
    half = worth.quantile * np.sqrt(spread / worth.effective)
    low = np.where(shares, low, np.maximum(mean - half, least))
    high = np.where(shares, high, np.minimum(mean + half, most))
    return low, high, worth.effect, worth.clusters


def interval(
    low: float,
    high: float,
    level: float,
    form: str,
    bootstrap: ClusterBootstrap,
    effect: float,
    clusters: int,
) -> Interval:
    """The interval with what the bootstrap knows about it, where there was one."""
    if not bootstrap.clustered:
        return Interval(float(low), float(high), level, form)
    return Interval(
        float(low),
        float(high),
        level,
        f"{form}, cluster bootstrap",
        None if np.isnan(effect) else float(effect),
        clusters,
        bootstrap.seed,
        bootstrap.resamples,
    )
