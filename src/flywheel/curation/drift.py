"""Whether new records still are what a data set was made of: distances between two `Traffic`s.

The statistic is the Jensen-Shannon distance between the shares before and now, with logarithms to base 2: 0
for the same shares, 1 for shares that have nothing in common. Two samples of the same traffic are never quite
alike, so what counts is the distance beyond that noise. The noise is measured, not assumed: both samples are
thrown together and drawn apart at random DRAWS times. Since records of one conversation resemble each other,
the divergence that is found is divided by the design effect first (Rao and Scott's correction): the
larger one of the two sides. benchmarks/drift.py counts the false alarms of all this, and what it finds.

A drift is called one when it matters (the distance beyond noise reaches a threshold) and is no chance (its
p value, after Holm's correction for all that was compared, is below LEVEL).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, Literal

import numpy as np
from scipy.special import gammaincc

from flywheel.curation.traffic import ABSENT, NO_CALL, OTHERS, Shares, Traffic

THRESHOLD: Final = 0.1
"""A tool that goes from 10 % to 18 % of the calls is about this far."""
LEVEL: Final = 0.001
"""Chance of calling it a drift where there is none, for one look at everything that is compared."""
DRAWS: Final = 200
CHECKS: Final = 10_000
"""Draws by which a p value below LEVEL is checked, unless it is below _CERTAIN."""
FEWEST: Final = 30
"""Calls on each side from which on shares are compared."""
_SEED: Final = 20_260
_CERTAIN: Final = 1e-100
_MOVED: Final = 3

Of = Literal["tools", "arguments"]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one mix of tools, or one argument's values, are from what they were."""

    tool: str | None
    argument: str | None
    before: int
    now: int
    """Calls that the shares are made of."""
    distance: float
    noise: float
    """Distance that two samples of the same traffic have, on average."""
    excess: float
    """Distance beyond noise."""
    p_value: float
    moved: tuple[tuple[str, float, float], ...]
    """The categories that add most to the distance, with their shares before and now."""

    @property
    def name(self) -> str:
        return f"{self.tool}.{self.argument}" if self.argument is not None else "tool mix"


@dataclass(frozen=True, slots=True)
class Drift:
    """What was compared, the farthest first; `fired` are those that are a drift."""

    of: Of
    threshold: float
    records_before: int
    records_now: int
    shifts: tuple[Shift, ...]
    fired: tuple[Shift, ...]

    @property
    def says(self) -> str:
        """In words, for people."""
        if not self.shifts:
            return (
                f"nothing could be compared: both sides need {FEWEST} calls of a tool"
                f" ({self.records_before} records before, {self.records_now} now)"
            )
        farthest = (self.fired or self.shifts)[0]
        found = (
            f"{farthest.name} is {farthest.excess:.3f} beyond noise from the last data set"
            f" (threshold {self.threshold:g}, p {_p(farthest.p_value)})"
        )
        if not self.fired:
            return f"no drift: {found}"
        moved = ", ".join(f"{_shown(name)} {a:.0%} → {b:.0%}" for name, a, b in farthest.moved)
        more = f"; and {len(self.fired) - 1} more" if len(self.fired) > 1 else ""
        return f"{found}: {moved}{more}"

    def numbers(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "statistic": "Jensen-Shannon distance beyond sampling noise",
            "of": self.of,
            "threshold": self.threshold,
            "level": LEVEL,
            "records_before": self.records_before,
            "records_now": self.records_now,
            "fires": bool(self.fired),
            "shifts": [
                {
                    "what": each.name,
                    "tool": each.tool,
                    "argument": each.argument,
                    "calls_before": each.before,
                    "calls_now": each.now,
                    "distance": round(each.distance, 4),
                    "noise": round(each.noise, 4),
                    "excess": round(each.excess, 4),
                    "p_value": each.p_value,
                    "moved": [
                        {"value": _shown(name), "before": round(a, 4), "now": round(b, 4)}
                        for name, a, b in each.moved
                    ],
                }
                for each in self.shifts
            ],
        }


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A tool that is offered otherwise than in the data set."""

    tool: str
    change: Literal["changed", "new", "gone"]
    share: float
    """Of the conversations: those that are offered it so now; of one that is gone, those that were."""


def measure(before: Traffic, now: Traffic, of: Of) -> tuple[Shift, ...]:
    """How far the traffic is from what it was, the farthest first."""
    rng = np.random.default_rng(_SEED)
    found = [
        _shift(name, *pair, rng)
        for name, pair in _pairs(before, now, of)
        if min(each.total for each in pair) >= FEWEST and OTHERS not in pair[0].counts
    ]
    return tuple(sorted(found, key=lambda each: (-each.excess, each.p_value, each.name)))


def judge(
    shifts: Sequence[Shift], before: Traffic, now: Traffic, of: Of, threshold: float | None = None
) -> Drift:
    """Which of the shifts are a drift."""
    limit = THRESHOLD if threshold is None else threshold
    ordered = sorted(shifts, key=lambda each: each.p_value)
    sure: set[int] = set()
    for rank, each in enumerate(ordered):  # Holm: from the smallest, until one is not small enough.
        if each.p_value * (len(ordered) - rank) >= LEVEL:
            break
        sure.add(id(each))
    fired = tuple(each for each in shifts if id(each) in sure and each.excess >= limit)
    return Drift(of, limit, before.records, now.records, tuple(shifts), fired)


def schema_changes(before: Traffic, now: Traffic) -> tuple[SchemaChange, ...]:
    """Tools with another schema, new ones and those that are gone, the most used first.

    A version counts when enough conversations were offered it: 20, and one in a hundred; where every request
    brings tools of its own, no single one reaches that. A tool is gone when most had it, and now nobody.
    """
    found: list[SchemaChange] = []
    for tool, versions in now.versions.items():
        known = before.versions.get(tool)
        count = sum(n for digest, n in versions.items() if known is None or digest not in known)
        if count >= max(_FEW, _RARE * now.conversations):
            found.append(SchemaChange(tool, "new" if known is None else "changed", count / now.conversations))
    for tool, versions in before.versions.items():
        share = min(1.0, sum(versions.values()) / max(1, before.conversations))
        if tool not in now.versions and share > _MOST and now.conversations >= _FEW:
            found.append(SchemaChange(tool, "gone", share))
    return tuple(sorted(found, key=lambda each: (-each.share, each.tool)))


_FEW: Final = 20
_RARE: Final = 0.01
_MOST: Final = 0.5


def _pairs(
    before: Traffic, now: Traffic, of: Of
) -> Iterator[tuple[tuple[str, str] | None, tuple[Shares, Shares]]]:
    if of == "tools":
        yield None, (before.tools, now.tools)
        return
    for tool, arguments in before.arguments.items():
        for name, shares in arguments.items():
            after = now.arguments.get(tool, {}).get(name)
            calls = now.tools.counts.get(tool, 0)
            if after is None and calls:
                after = Shares(counts={ABSENT: calls}, form=shares.form)
            if after is not None and after.form == shares.form:
                yield (tool, name), (shares, after)


def _shift(name: tuple[str, str] | None, before: Shares, now: Shares, rng: np.random.Generator) -> Shift:
    categories = sorted(before.counts.keys() | now.counts.keys())
    old = np.array([before.counts.get(each, 0) for each in categories], dtype=np.int64)
    new = np.array([now.counts.get(each, 0) for each in categories], dtype=np.int64)
    parts = _parts(old[None], new[None])[0]
    found = float(parts.sum().clip(0.0, 1.0))
    noise = _noise(old, new, rng)
    effect = max(before.design_effect, now.design_effect)  # A few conversations cannot tell theirs.
    mean = float(noise.mean())
    p_value = _tail(found / effect, mean, float(noise.var()))
    if _CERTAIN < p_value < LEVEL:
        p_value = max(p_value, _counted(found / effect, old, new, rng))
    before_now = list(zip(categories, (old / old.sum()).tolist(), (new / new.sum()).tolist(), strict=True))
    return Shift(
        tool=name[0] if name else None,
        argument=name[1] if name else None,
        before=int(old.sum()),
        now=int(new.sum()),
        distance=sqrt(found),
        noise=sqrt(min(1.0, effect * mean)),
        excess=sqrt(max(0.0, found - effect * mean)),
        p_value=p_value,
        moved=tuple(before_now[at] for at in np.argsort(-parts, kind="stable")[:_MOVED]),
    )


def _noise(
    old: np.ndarray[Any, Any], new: np.ndarray[Any, Any], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """DRAWS divergences between samples that are drawn from both sides' calls thrown together."""
    drawn = rng.multivariate_hypergeometric(old + new, int(new.sum()), size=DRAWS, method="marginals")
    return _divergence(old + new - drawn, drawn)


def _divergence(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Jensen-Shannon divergence in bits, row by row: the square of the distance."""
    return np.asarray(_parts(old, new).sum(axis=1).clip(0.0, 1.0))


def _parts(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What each category adds to the divergence; none takes away from it."""
    p = old / old.sum(axis=1, keepdims=True)
    q = new / new.sum(axis=1, keepdims=True)
    return np.asarray(_bits((p + q) / 2) - (_bits(p) + _bits(q)) / 2)


def _bits(shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Each share's part of the entropy."""
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-shares * logs)


def _tail(found: float, mean: float, variance: float) -> float:
    """The chance of a divergence this large or larger where nothing has changed.

    Drawn divergences follow a scaled chi-squared, so their tail is that of the gamma distribution with their
    mean and variance: 200 draws tell a p value of 10^-6 that they could not count.
    """
    if found <= mean or mean <= 0:
        return 1.0
    if variance < 1e-18:  # All draws were alike, and tell nothing of a tail.
        return 1 / CHECKS
    return float(gammaincc(mean * mean / variance, found * mean / variance))


def _counted(
    found: float, old: np.ndarray[Any, Any], new: np.ndarray[Any, Any], rng: np.random.Generator
) -> float:
    """The same chance by counting; 0 where no draw is as far.

    Where a rare value meets few calls, divergences jump and their tail is longer than the gamma
    distribution's: one of 40 calls with a value that 3 of 10,000 had before is no wonder (p 0.016), yet none
    of 200 draws may show it. Takes a seventh of a second for 100 values, therefore not for what is _CERTAIN.
    """
    draws = (_noise(old, new, rng) for _ in range(CHECKS // DRAWS))
    as_far = sum(int((noise >= found - 1e-12).sum()) for noise in draws)
    return (as_far + 1) / (CHECKS + 1) if as_far else 0.0


def _shown(name: str) -> str:
    return "no call" if name == NO_CALL else name


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-6 else "below 10⁻⁶"


def describe_changes(changes: Sequence[SchemaChange]) -> str:
    """The changes in words."""
    shown = [f"{each.tool} is {each.change}" for each in changes[:5]]
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return ", ".join(shown) + more
