"""Two systems on the same records: how large is the difference, and could it be chance?

The interval is Tango's with the number of records that the clustered ones are worth. The p value is the exact
McNemar test; where conversations have several records it becomes the exact sign-flip test, which asks how
often the summed differences would be as far from zero if within each conversation the two systems were
swapped or not by the toss of a coin. Of conversations with one record each that is McNemar's test itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammaln

from flywheel.evaluation.statistics.bootstrap import ClusterBootstrap
from flywheel.evaluation.statistics.intervals import LEVEL, Array, Interval, tango_limits
from flywheel.evaluation.statistics.means import interval

_TOSSES = 9_999
"""Of the sign-flip test of graded scores, which has no exact distribution in reach."""
_AT_ONCE = 1_000
"""Tosses at once: bounds the memory."""
_SAME = 1e-9
"""Sums of graded differences that differ by less are equal."""


def difference_intervals(
    first: Array,
    second: Array,
    bootstrap: ClusterBootstrap,
    *,
    level: float = LEVEL,
    where: NDArray[np.bool_] | None = None,
) -> tuple[Interval, ...]:
    """Intervals of the mean of `first` − `second` (records × pairs, each from 0 to 1), pair by pair.

    With no record, or with one conversation of several records, the interval is everything from −1 to 1.
    """
    low, high, effect, clusters = difference_limits(first, second, bootstrap, level=level, where=where)
    values = first - second
    inside = values if where is None else values[where]
    whole = (inside == np.round(inside)).all(axis=0)
    return tuple(
        interval(low[k], high[k], level, "tango" if whole[k] else "mean", bootstrap, effect[k], clusters)
        for k in range(values.shape[1])
    )


def difference_limits(
    first: Array,
    second: Array,
    bootstrap: ClusterBootstrap,
    *,
    level: float = LEVEL,
    where: NDArray[np.bool_] | None = None,
) -> tuple[Array, Array, Array, int]:
    """Lower and upper limits and design effects of each pair, and the number of conversations."""
    values = first - second
    inside = values if where is None else values[where]
    n, pairs = inside.shape
    everything = np.full(pairs, -1.0), np.ones(pairs), np.full(pairs, np.nan), int(n > 0)
    if n == 0:
        return everything
    mean = inside.mean(axis=0)
    whole = (inside == np.round(inside)).all(axis=0)
    spread = inside.var(axis=0) * np.where(whole, 1.0, n / max(n - 1, 1))
    worth = bootstrap.worth(values, spread / n, level, where, estimated=~whole)
    if worth is None:
        return everything
    better, worse = (inside > 0).sum(axis=0) / worth.effect, (inside < 0).sum(axis=0) / worth.effect
    low, high = tango_limits(better, worse, worth.effective, worth.quantile)
    half = worth.quantile * np.sqrt(spread / worth.effective)
    low = np.where(whole, low, np.maximum(mean - half, -1.0))
    high = np.where(whole, high, np.minimum(mean + half, 1.0))
    return low, high, worth.effect, worth.clusters


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p value of the exact McNemar test: the records on which one system alone is right."""
    n = only_first + only_second
    return 1.0 if n == 0 else min(1.0, 2 * float(bdtr(min(only_first, only_second), n, 0.5)))


def sign_flips(sums: Array, seed: int = 0) -> tuple[float, ...]:
    """The two-sided p value of the sign-flip test of each column of `sums` (conversations × pairs), the
    differences summed by conversation.

    Exact for whole sums, which scores of 0 and 1 have; for others by 9,999 tosses from `seed`.
    """
    whole = (sums == np.round(sums)).all(axis=0)
    p_values = np.ones(sums.shape[1])
    if not whole.all():
        p_values[~whole] = _tossed(sums[:, ~whole], seed)
    for column in np.flatnonzero(whole):
        p_values[column] = _exact(sums[:, column])
    return tuple(p_values.tolist())


def _exact(sums: Array) -> float:
    sizes = np.abs(sums[sums != 0])
    if (sizes == 1).all():
        only_first = int(np.count_nonzero(sums > 0))
        return mcnemar(only_first, len(sizes) - only_first)
    chances = np.ones(1)
    for size, count in sorted(Counter(sizes.astype(int).tolist()).items()):
        # The sum of `count` coins of value ±size, from −size·count to size·count.
        coins = np.zeros(2 * size * count + 1)
        heads = np.arange(count + 1)
        ways = gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1)
        coins[:: 2 * size] = np.exp(ways - count * np.log(2))
        chances = np.convolve(chances, coins)
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(sums.sum())
    return min(1.0, float(chances[far].sum()))


def _tossed(sums: Array, seed: int) -> Array:
    signs = np.random.default_rng(seed).integers(2, size=(_TOSSES, len(sums)), dtype=np.int8)
    seen = np.abs(sums.sum(axis=0))
    as_far = np.zeros(sums.shape[1])
    for start in range(0, _TOSSES, _AT_ONCE):
        tossed = (2.0 * signs[start : start + _AT_ONCE] - 1.0) @ sums
        as_far += (np.abs(tossed) >= seen - _SAME).sum(axis=0)
    return np.asarray((1 + as_far) / (1 + _TOSSES))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p values, in the order given: each may be compared with the level of the family."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = largest
    return tuple(adjusted)
