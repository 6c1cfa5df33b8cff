"""Cutoffs: what a score must reach, as `flywheel evaluate` and `flywheel gate` take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from flywheel.errors import UserError

Bound = Literal["value", "low", "high"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A score, and the ends of its 95 % interval; `value` is None where there is nothing to score."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Cutoff:
    """`score` must be at least `least`: its value, or an end of its interval."""

    score: str
    bound: Bound
    least: float

    @classmethod
    def read(cls, text: str) -> Cutoff:
        """`function_name=0.9`, or `function_name.low=0.9` for the interval's lower end. Raises UserError."""
        name, equals, value = text.partition("=")
        try:
            least = float(value)
        except ValueError:
            hint = f"{value!r} is no number" if equals else "it has no ="
            raise UserError(f"--cutoff {text!r}: {hint}; write function_name=0.9") from None
        if not abs(least) <= 1e9:  # NaN, too.
            raise UserError(f"--cutoff {text!r}: {value!r} is no number to reach; write function_name=0.9")
        score, dot, bound = name.rpartition(".")
        if dot and bound in ("value", "low", "high"):
            return cls(score, cast("Bound", bound), least)
        return cls(name, "value", least)

    @property
    def name(self) -> str:
        return self.score if self.bound == "value" else f"{self.score}.{self.bound}"

    def seen(self, scores: Mapping[str, Measured]) -> float | None:
        """What there is to compare; None without a value or interval. Raises UserError for no such score."""
        if self.score not in scores:
            known = ", ".join(scores) or "none"
            raise UserError(f"--cutoff: there is no score {self.score!r}; there are {known}")
        found = scores[self.score]
        return {"value": found.value, "low": found.low, "high": found.high}[self.bound]

    def met(self, seen: float | None) -> bool:
        """Whether it is reached; not by what has no value."""
        return seen is not None and seen >= self.least
