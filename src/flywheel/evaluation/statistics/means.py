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

    Wilson's interval with the number of records that the clustered ones are worth; grades between the bounds
    scatter less than zeros and ones do, and are worth more. With no record, or with one conversation
    of several records, the interval is everything inside the bounds.
    """
    low, high, effect, clusters = mean_limits(values, bootstrap, level=level, where=where, bounds=bounds)
    return tuple(
        interval(low[k], high[k], level, "wilson", bootstrap, effect[k], clusters)
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
    shares = ((inside == least) | (inside == most)).all(axis=0)
    position = (mean - least) / (most - least)
    widest = (mean - least) * (most - mean)
    # Wilson's form supposes the widest spread that the mean leaves room for, which is that of shares; grades
    # have less, and their own is that of n − 1 degrees of freedom.
    spread = np.where(shares, widest, inside.var(axis=0) * n / max(n - 1, 1))
    worth = bootstrap.worth(values, spread / n, level, where, estimated=~shares)
    if worth is None:
        return everything
    graded = np.divide(widest, spread, out=np.ones(columns), where=spread > 0)
    low, high = wilson_limits(position, worth.effective * graded, worth.quantile)
    return least + low * (most - least), least + high * (most - least), worth.effect, worth.clusters


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
