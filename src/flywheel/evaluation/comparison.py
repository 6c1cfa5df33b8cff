"""Several systems on the same records: the table by which a run decides.

Each system's score with its interval, the paired differences (candidates against base, against each other,
against the ceiling), Holm over all differences shown, non-inferiority to the ceiling, and slices. Pure: from
scores to frozen values, the same ones for the same seed.

The ceiling is the teacher, asked again, and how far it agrees with its own log. Where nobody asked it again
the log itself stands in: a ceiling of 100 %, the strictest there is, and `ceiling_measured` says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.evaluation.statistics import (
    LEVEL,
    ClusterBootstrap,
    NonInferiority,
    difference_intervals,
    holm,
    mean_intervals,
    records_needed,
    sign_flips,
)
from flywheel.evaluation.statistics.intervals import Array
from flywheel.evaluation.statistics.noninferiority import MARGIN
from flywheel.evaluation.table import (
    SMALL,
    Difference,
    Row,
    SliceDifference,
    SliceScores,
    System,
    SystemScore,
    Table,
)


class BadComparison(ValueError):
    """What cannot be compared, and why."""


def compare(
    rows: Sequence[Row],
    systems: Sequence[System],
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    seed: int = 0,
) -> Table:
    """The table of `systems` on `rows`. Raises BadComparison."""
    _check(rows, systems, margin, level)
    kept = [row for row in rows if row.bad_reference is None]
    bootstrap = ClusterBootstrap([row.conversation for row in kept], seed=seed)
    return _Comparing(kept, systems, bootstrap, margin, level).table(
        Counter(row.bad_reference for row in rows if row.bad_reference is not None)
    )


def _check(rows: Sequence[Row], systems: Sequence[System], margin: float, level: float) -> None:
    if not 0 < margin < 1:
        raise BadComparison(f"margin {margin!r} is not a share between 0 and 1, as 0.03 for 3 points")
    if not 0.5 <= level < 1:
        raise BadComparison(f"level {level!r} is not from 0.5 to below 1, as 0.95")
    for what, names in (("record", [r.key for r in rows]), ("system", [s.name for s in systems])):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise BadComparison(f"{what} {twice[0]!r} is there twice")
    if sum(system.role == "ceiling" for system in systems) > 1:
        raise BadComparison("there is more than one ceiling")
    keys = {row.key for row in rows}
    bases = {system.name for system in systems if system.role == "base"}
    for system in systems:
        if system.base is not None and system.base not in bases:
            raise BadComparison(f"system {system.name!r} has the base {system.base!r}, which is not there")
        for key, score in system.scores.items():
            if key not in keys:
                raise BadComparison(f"system {system.name!r} has a score for {key!r}, which is no record")
            if score is not None and not 0 <= score <= 1:
                raise BadComparison(f"system {system.name!r} scores {score!r} on {key!r}, not 0 to 1")


class _Comparing:
    """The scores as arrays (records × systems), while the table is being made."""

    def __init__(
        self,
        rows: Sequence[Row],
        systems: Sequence[System],
        bootstrap: ClusterBootstrap,
        margin: float,
        level: float,
    ) -> None:
        self.rows, self.systems, self.bootstrap = rows, systems, bootstrap
        self.margin, self.level = margin, level
        self.scores = np.array(
            [[_score(system, row.key) for system in systems] for row in rows], dtype=np.float64
        ).reshape(len(rows), len(systems))
        ceiling = next((k for k, system in enumerate(systems) if system.role == "ceiling"), None)
        self.ceiling_measured = ceiling is not None
        self.candidates = [k for k, system in enumerate(systems) if system.role == "candidate"]
        self.mine = self.scores[:, self.candidates]
        above = np.ones(len(rows)) if ceiling is None else self.scores[:, ceiling]
        self.above = np.repeat(above[:, None], len(self.candidates), axis=1)

    def table(self, left_out: Mapping[str | None, int]) -> Table:
        return Table(
            records=len(self.rows),
            conversations=self.bootstrap.clusters,
            left_out={str(reason): count for reason, count in left_out.items()},
            level=self.level,
            margin=self.margin,
            seed=self.bootstrap.seed,
            ceiling_measured=self.ceiling_measured,
            systems=self._systems(),
            differences=self._differences(),
            non_inferiority=self._non_inferiority(),
            slices=tuple(self._slices()),
        )

    def _systems(self) -> tuple[SystemScore, ...]:
        intervals = mean_intervals(self.scores, self.bootstrap, level=self.level)
        return tuple(
            SystemScore(
                name=system.name,
                role=system.role,
                value=_mean(self.scores[:, k]),
                interval=intervals[k],
                missing=sum(system.scores.get(row.key) is None for row in self.rows),
                failures=dict(
                    Counter(
                        system.failures[row.key] for row in self.rows if row.key in system.failures
                    ).most_common()
                ),
            )
            for k, system in enumerate(self.systems)
        )

    def _differences(self) -> tuple[Difference, ...]:
        pairs = [
            (k, other)
            for k in self.candidates
            for other, system in enumerate(self.systems)
            if (other > k if system.role == "candidate" else _related(self.systems[k], system))
        ]
        if not pairs:
            return ()
        first, second = self.scores[:, [k for k, _ in pairs]], self.scores[:, [k for _, k in pairs]]
        intervals = difference_intervals(first, second, self.bootstrap, level=self.level)
        p_values = self._p_values(first - second)
        adjusted = holm(p_values)
        return tuple(
            Difference(
                system=self.systems[k].name,
                other=self.systems[other].name,
                against=self.systems[other].role,
                value=_mean(first[:, at] - second[:, at]),
                interval=intervals[at],
                better=int((first[:, at] > second[:, at]).sum()),
                worse=int((first[:, at] < second[:, at]).sum()),
                p_value=p_values[at],
                p_holm=adjusted[at],
            )
            for at, (k, other) in enumerate(pairs)
        )

    def _p_values(self, differences: Array) -> tuple[float, ...]:
        return sign_flips(self.bootstrap.sums(differences), self.bootstrap.seed)

    def _non_inferiority(self) -> dict[str, NonInferiority]:
        if not self.rows or not self.candidates:
            return {}
        differences = self.mine - self.above
        intervals = difference_intervals(self.mine, self.above, self.bootstrap, level=self.level)
        found = {}
        for at, k in enumerate(self.candidates):
            discordance = _mean(differences[:, at] ** 2)
            found[self.systems[k].name] = NonInferiority(
                margin=self.margin,
                difference=_mean(differences[:, at]),
                interval=intervals[at],
                discordance=discordance,
                records=len(self.rows),
                records_needed=records_needed(
                    margin=self.margin,
                    discordance=discordance,
                    design_effect=intervals[at].design_effect or 1.0,
                    per_conversation=len(self.rows) / self.bootstrap.clusters,
                    level=self.level,
                ),
            )
        return found

    def _slices(self) -> list[SliceScores]:
        axes: dict[str, dict[str, NDArray[np.bool_]]] = {}
        for number, row in enumerate(self.rows):
            for axis, labels in row.slices.items():
                for label in labels:
                    masks = axes.setdefault(axis, {})
                    masks.setdefault(label, np.zeros(len(self.rows), dtype=bool))[number] = True
        return [
            self._slice(axis, label, masks[label], adjusted)
            for axis, masks in axes.items()
            for label, adjusted in self._adjusted(masks).items()
        ]

    def _adjusted(self, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, tuple[float, ...]]:
        """For each slice of an axis, the largest first, the adjusted p value of each candidate against the
        ceiling; none for a small slice.
        """
        ordered = sorted(masks, key=lambda label: (-int(masks[label].sum()), label))
        tested = [label for label in ordered if masks[label].sum() >= SMALL]
        columns = [np.where(masks[label][:, None], self.mine - self.above, 0.0) for label in tested]
        adjusted = holm(self._p_values(np.concatenate(columns, axis=1))) if columns else ()
        width = len(self.candidates)
        found = {label: adjusted[at * width : (at + 1) * width] for at, label in enumerate(tested)}
        return {label: found.get(label, ()) for label in ordered}

    def _slice(
        self, axis: str, label: str, inside: NDArray[np.bool_], adjusted: tuple[float, ...]
    ) -> SliceScores:
        names = [system.name for system in self.systems]
        intervals = mean_intervals(self.scores, self.bootstrap, level=self.level, where=inside)
        records = int(inside.sum())
        differences: tuple[SliceDifference, ...] = ()
        if adjusted:
            found = difference_intervals(
                self.mine, self.above, self.bootstrap, level=self.level, where=inside
            )
            values = (self.mine - self.above)[inside].mean(axis=0)
            differences = tuple(
                SliceDifference(self.systems[k].name, float(values[at]), found[at], adjusted[at])
                for at, k in enumerate(self.candidates)
            )
        return SliceScores(
            axis=axis,
            label=label,
            records=records,
            conversations=len(set(self.bootstrap.cluster_of[inside].tolist())),
            small=records < SMALL,
            values=dict(zip(names, map(float, self.scores[inside].mean(axis=0)), strict=True)),
            intervals=dict(zip(names, intervals, strict=True)),
            differences=differences,
        )


def _related(candidate: System, system: System) -> bool:
    return system.role == "ceiling" or candidate.base in (None, system.name)


def _score(system: System, key: str) -> float:
    score = system.scores.get(key)
    if score is None:
        return 1.0 if system.role == "ceiling" else 0.0
    return float(score)


def _mean(values: Array) -> float:
    return math.fsum(values) / len(values) if len(values) else 0.0
