"""How far two raters agree beyond chance: a judge with the programmatic score, or with people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.evaluation.statistics.intervals import LEVEL, z_of


@dataclass(frozen=True, slots=True)
class Kappa:
    n: int
    accuracy: float | None
    """Share of equal labels; None without any."""
    value: float | None
    """1 is full agreement, 0 what chance gives; None where both raters know one and the same label, so
    that chance alone agrees."""
    low: float | None
    high: float | None
    level: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "kappa": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
        }


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable], level: float = LEVEL) -> Kappa:
    """Cohen's kappa of two raters' labels of the same things, in the same order.

    The standard error is that of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969). Raises
    ValueError where the two are not equally long.
    """
    if len(first) != len(second):
        raise ValueError(f"the raters labelled {len(first)} and {len(second)} things, not the same ones")
    n = len(first)
    if n == 0:
        return Kappa(0, None, None, None, None, level)
    cells = Counter(zip(first, second, strict=True))
    rows = {label: count / n for label, count in Counter(first).items()}
    columns = {label: count / n for label, count in Counter(second).items()}
    agreed = sum(count for (a, b), count in cells.items() if a == b) / n
    chance = sum(share * columns.get(label, 0.0) for label, share in rows.items())
    if chance >= 1:
        return Kappa(n, agreed, None, None, None, level)
    kappa = (agreed - chance) / (1 - chance)
    on, off = 0.0, 0.0
    for (a, b), count in cells.items():
        if a == b:
            on += count / n * (1 - (rows[a] + columns[a]) * (1 - kappa)) ** 2
        else:
            off += count / n * (columns.get(a, 0.0) + rows.get(b, 0.0)) ** 2
    variance = on + (1 - kappa) ** 2 * off - (kappa - chance * (1 - kappa)) ** 2
    half = z_of(level) * math.sqrt(max(variance, 0.0) / n) / (1 - chance)
    return Kappa(n, agreed, kappa, kappa - half, kappa + half, level)
