"""The table by which a run decides, as values: `comparison` makes it, `verdicts` and reports read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flywheel.evaluation.slices import Slices
from flywheel.evaluation.statistics import Interval, NonInferiority

Role = Literal["candidate", "base", "ceiling"]

SMALL = 20
"""A slice of fewer records is shown with its counts, but neither tested nor ranked."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the holdout, as it is before anybody answers."""

    key: str
    conversation: str
    slices: Slices = field(default_factory=dict)
    bad_reference: str | None = None
    """Why the reference cannot be one. The record is then left out for all systems alike."""


@dataclass(frozen=True, slots=True)
class System:
    """A model under test and what it scored, by record; a score is from 0 to 1.

    A record without a score is one without an answer. That is a wrong answer; but of a ceiling it is a right
    one, since a teacher that was out of reach for a moment must not lower the bar.
    """

    name: str
    role: Role
    scores: Mapping[str, float | None]
    failures: Mapping[str, str] = field(default_factory=dict)
    """The failure class of wrong answers, by record."""
    base: str | None = None
    """The base that a candidate was made from and is compared with; None compares it with every base."""


@dataclass(frozen=True, slots=True)
class SystemScore:
    name: str
    role: Role
    value: float
    interval: Interval
    missing: int
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """`system` minus `other`, on the same records."""

    system: str
    other: str
    against: Role
    value: float
    interval: Interval
    better: int
    """Records on which `system` scores higher."""
    worse: int
    p_value: float
    p_holm: float
    """Adjusted over all differences of the table."""


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """A candidate minus the ceiling, within a slice."""

    system: str
    value: float
    interval: Interval
    p_holm: float
    """Adjusted over all slices of the axis and all candidates."""


@dataclass(frozen=True, slots=True)
class SliceScores:
    axis: str
    label: str
    records: int
    conversations: int
    small: bool
    """Too few records to test or rank."""
    values: Mapping[str, float]
    """The score of each system."""
    intervals: Mapping[str, Interval]
    differences: tuple[SliceDifference, ...]
    """None in a small slice."""


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that was compared; `verdicts` of it are in `verdicts.py`."""

    records: int
    conversations: int
    left_out: Mapping[str, int]
    """Records without a usable reference, by reason."""
    level: float
    margin: float
    seed: int
    ceiling_measured: bool
    systems: tuple[SystemScore, ...]
    differences: tuple[Difference, ...]
    non_inferiority: Mapping[str, NonInferiority]
    """By candidate; empty where no record is left."""
    slices: tuple[SliceScores, ...]

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = _plain(self)
        return found


def _plain(value: Any) -> Any:
    """Values of this package as JSON."""
    if isinstance(value, Interval):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return found | {"passes": value.passes} if isinstance(value, NonInferiority) else found
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
