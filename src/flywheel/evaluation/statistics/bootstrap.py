"""Resampling whole conversations, to see how much less their records say than as many independent ones.

The bootstrap is asked for one thing, the variance of a mean under clustering. From that comes the design
effect, and with it an interval in score form (`means`, `paired`). Its own intervals, percentile and BCa,
were simulated and turned down: with 100 records in 25 conversations and 98 % right they cover the truth in
about 80 % of cases where 95 % is promised, for no resample ever holds a failure that the sample lacks.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from flywheel.evaluation.statistics.intervals import Array, z_of

RESAMPLES = 2000
_CHUNK = 250
"""Resamples at once: bounds the memory."""

SUPPOSED = 0.05
"""Correlation of two records of a conversation that is supposed before any pair has been seen."""
SUPPOSED_PAIRS = 30.0
"""With fewer pairs than this the supposition rules, with more what they show. Both numbers were chosen by
simulation (docs/statistics.md): a lower one is too wide where mistakes are few, a higher one too narrow where
the records of a conversation are much alike."""
LOWEST_EFFECT = 0.9
"""A design effect below is chance: records of one conversation hardly say more than as many strangers."""


def student_of(degrees: float, level: float) -> float:
    """How many estimated standard errors a two-sided interval of `level` reaches to each side."""
    return float(stdtrit(degrees, 0.5 + level / 2))


def weight_of(pairs: Array, correlation: Array) -> Array:
    """How far to believe a `correlation` that `pairs` of records showed, from 0 to 1."""
    supposed = SUPPOSED_PAIRS * (1 - correlation.clip(0.0, 1.0))
    return np.divide(pairs**2, pairs**2 + supposed**2, out=np.zeros_like(pairs), where=pairs > 0)


@dataclass(frozen=True, slots=True)
class Worth:
    """What `records` clustered records are worth, for each of k columns."""

    records: int
    clusters: int
    effect: Array
    """The design effect, at least LOWEST_EFFECT."""
    quantile: Array
    """Standard errors to each side: Student's t where a variance was estimated, normal where it was not, in
    between where it was supposed in part."""

    @property
    def effective(self) -> Array:
        """The number of independent records that say as much."""
        return self.records / self.effect


class ClusterBootstrap:
    """Resamples of one set of records, drawn once by `seed` and shared by all scores on these records.

    `conversations` names the conversation of each record. Where no conversation has two records nothing is
    drawn: independent records need no bootstrap.
    """

    def __init__(
        self, conversations: Sequence[Hashable], *, seed: int = 0, resamples: int = RESAMPLES
    ) -> None:
        numbers = {name: number for number, name in enumerate(dict.fromkeys(conversations))}
        self.cluster_of: NDArray[np.intp] = np.array([numbers[c] for c in conversations], dtype=np.intp)
        self.clusters = len(numbers)
        self.seed, self.resamples = seed, resamples
        self._drawn: NDArray[np.uint8] | None = None

    @property
    def clustered(self) -> bool:
        return self.clusters < len(self.cluster_of)

    def sums(self, values: Array) -> Array:
        """Sums of `values` (records × k) by conversation (conversations × k)."""
        order = np.argsort(self.cluster_of, kind="stable")
        starts = np.searchsorted(self.cluster_of[order], np.arange(self.clusters))
        return np.asarray(np.add.reduceat(values[order], starts, axis=0), dtype=np.float64)

    def variance(self, values: Array, where: NDArray[np.bool_] | None = None) -> tuple[Array, int]:
        """The variance of the mean of each column of `values` (records × k), over the records `where`, and
        the number of their conversations. With fewer than two conversations it is not known: NaN.
        """
        inside = np.ones(len(values), dtype=bool) if where is None else where
        sizes = self.sums(inside.astype(np.float64)[:, None])[:, 0]
        clusters = int(np.count_nonzero(sizes))
        if clusters < 2:
            return np.full(values.shape[1], np.nan), clusters
        sums = self.sums(np.where(inside[:, None], values, 0.0))
        centre = sums.sum(axis=0) / sizes.sum()
        total, squares, made = np.zeros(values.shape[1]), np.zeros(values.shape[1]), 0
        for weights in self._weights():
            drawn = weights @ sizes
            full = drawn > 0  # A resample can miss every conversation of a small slice.
            off = (weights[full] @ sums) / drawn[full, None] - centre
            total += off.sum(axis=0)
            squares += (off * off).sum(axis=0)
            made += int(full.sum())
        if made < 2:
            return np.full(values.shape[1], np.nan), clusters
        spread = np.maximum(squares - total * total / made, 0.0) / (made - 1)
        # Resampling G conversations shows (G − 1) / G of the variance between them.
        return spread * clusters / (clusters - 1), clusters

    def worth(
        self,
        values: Array,
        independent: Array,
        level: float,
        where: NDArray[np.bool_] | None = None,
        *,
        estimated: NDArray[np.bool_],
    ) -> Worth | None:
        """What the records are worth for the mean of each column, whose variance would be `independent` if
        records were; `estimated` where that is from the values' own scatter, not from a proportion.

        None where that cannot be known: less than two conversations.
        """
        records = len(values) if where is None else int(where.sum())
        ones = np.ones(values.shape[1])
        if not self.clustered:
            if records < 2:
                return None if estimated.any() else Worth(1, 1, ones, ones * z_of(level))
            quantile = np.where(estimated, student_of(records - 1, level), z_of(level))
            return Worth(records, records, ones, quantile)
        variance, clusters = self.variance(values, where)
        if np.isnan(variance).any():
            return None
        effect, weight = self._effect(values, variance, independent, where, estimated)
        z, t = z_of(level), student_of(clusters - 1, level)
        return Worth(records, clusters, effect, np.where(estimated, t, z + weight * (t - z)))

    def _effect(
        self,
        values: Array,
        variance: Array,
        independent: Array,
        where: NDArray[np.bool_] | None,
        graded: NDArray[np.bool_],
    ) -> tuple[Array, Array]:
        """The design effect of each column, and how much of it was seen rather than supposed, from 0 to 1.

        A design effect of 1 + partners · correlation, where a record has `partners` others in its
        conversation on average, says how correlated the records of a conversation are. Few mistakes say
        little of that: what was seen is averaged with what is supposed. A pair counts as seen unless both
        its records have the usual value; a strong correlation shows in fewer pairs than a weak one. Grades
        differ in nearly every pair and are believed.
        """
        inside = np.ones(len(values), dtype=bool) if where is None else where
        usual = inside[:, None] & (values == np.median(values[inside], axis=0))
        sizes = self.sums(inside.astype(np.float64)[:, None])
        all_pairs = float((sizes * (sizes - 1)).sum()) / 2
        partners = 2 * all_pairs / float(sizes.sum())
        if partners == 0:  # A slice may hold no two records of one conversation.
            return np.ones(values.shape[1]), np.zeros(values.shape[1])
        alike = self.sums(usual.astype(np.float64))
        pairs = all_pairs - (alike * (alike - 1)).sum(axis=0) / 2
        ratio = np.divide(variance, independent, out=np.ones(values.shape[1]), where=independent > 0)
        seen = (ratio - 1) / partners
        weight = np.where(independent > 0, np.where(graded, 1.0, weight_of(pairs, seen)), 0.0)
        correlation = weight * seen + (1 - weight) * SUPPOSED
        return np.maximum(1 + partners * correlation, LOWEST_EFFECT), weight

    def _weights(self) -> Iterator[Array]:
        """How often each conversation is in each resample (up to _CHUNK resamples × conversations)."""
        if self._drawn is None:
            self._drawn = self._draw()
        for start in range(0, self.resamples, _CHUNK):
            yield self._drawn[start : start + _CHUNK].astype(np.float64)

    def _draw(self) -> NDArray[np.uint8]:
        generator = np.random.default_rng(self.seed)
        drawn = np.empty((self.resamples, self.clusters), dtype=np.uint8)
        for row in drawn:
            chosen = generator.integers(self.clusters, size=self.clusters)
            row[:] = np.bincount(chosen, minlength=self.clusters)
        return drawn
