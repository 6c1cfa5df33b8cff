"""The table in a sentence for each candidate: promote, not yet, or no; and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from flywheel.evaluation.slices import TOOL
from flywheel.evaluation.statistics import NonInferiority, records_needed
from flywheel.evaluation.table import SliceScores, Table

Decision = Literal["promote", "not yet", "no"]

LOWEST_CEILING = 0.5
"""A teacher that agrees with its own log less often than this is no measure: a student may equal it by
answering anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    candidate: str
    decision: Decision
    reason: str
    more_records: int | None = None
    """How many more would decide, where more would."""

    def __str__(self) -> str:
        return f"{self.decision}: {self.reason}"

    def as_dict(self) -> dict[str, str | int | None]:
        return {
            "candidate": self.candidate,
            "decision": self.decision,
            "reason": self.reason,
            "more_records": self.more_records,
            "text": str(self),
        }


def verdicts(table: Table) -> tuple[Verdict, ...]:
    """One verdict for each candidate, in the table's order.

    `no` where it is shown to lose: overall by more than the margin, on a tool by more than the margin, or
    against its base. `promote` where it is shown not to lose. `not yet` where the records do not tell, or
    where the teacher agrees with its own log so rarely that the score tells nothing.
    """
    return tuple(_verdict(table, system.name) for system in table.systems if system.role == "candidate")


def _verdict(table: Table, name: str) -> Verdict:
    found = table.non_inferiority.get(name)
    if found is None:
        return Verdict(name, "not yet", "there is no record with a usable reference")
    if table.conversations < 2 <= table.records:
        return Verdict(name, "not yet", "all records belong to one conversation")
    ceiling = next((system.value for system in table.systems if system.role == "ceiling"), 1.0)
    if ceiling < LOWEST_CEILING:
        return Verdict(
            name, "not yet", f"the teacher agrees with its own log on {ceiling:.0%} of the records only"
        )
    lost_tool = _lost_tool(table, name)
    if lost_tool is not None:
        return Verdict(name, "no", lost_tool)
    teacher = (
        "the teacher" if table.ceiling_measured else "the teacher's log (the teacher was not asked again)"
    )
    points = f"{_points(found.difference)} below {teacher}"
    if found.interval.high < -found.margin or (
        found.difference <= -found.margin and found.records >= found.records_needed
    ):
        return Verdict(name, "no", f"{points}, and the margin is {_points(found.margin)}")
    lost_base = _lost_base(table, name)
    if lost_base is not None:
        return Verdict(name, "no", lost_base)
    if found.passes:
        return Verdict(
            name,
            "promote",
            f"at most {_points(min(found.interval.low, 0.0))} below {teacher}, "
            f"the margin is {_points(found.margin)}",
        )
    if found.difference <= -found.margin:
        more = _more(found, 0.0, table.level)
        return Verdict(
            name,
            "not yet",
            f"{points} so far; needs about {more:,} more records to tell this from chance",
            more,
        )
    more = _more(found, min(found.difference, 0.0), table.level)
    return Verdict(name, "not yet", f"needs about {more:,} more records", more)


def _lost_tool(table: Table, name: str) -> str | None:
    """The tool on which the candidate loses most, of those on which it is shown to lose."""
    lost = [
        (each.value, entry)
        for entry in table.slices
        if entry.axis == TOOL
        for each in entry.differences
        if each.system == name and each.value < -table.margin and each.p_holm <= 1 - table.level
    ]
    if not lost:
        return None
    value, entry = min(lost, key=lambda pair: pair[0])
    return f"loses on {_tool(entry)} ({_points(value)} on {entry.records} records)"


def _tool(entry: SliceScores) -> str:
    return "requests without a call" if entry.label.startswith("(") else f"tool {entry.label}"


def _lost_base(table: Table, name: str) -> str | None:
    for each in table.differences:
        if (
            each.system == name
            and each.against == "base"
            and each.value < 0
            and each.p_holm <= 1 - table.level
        ):
            return f"{_points(each.value)} below its base {each.other}"
    return None


def _more(found: NonInferiority, difference: float, level: float) -> int:
    """Rounded up to two digits: an estimate should look like one."""
    needed = records_needed(
        margin=found.margin,
        discordance=max(found.discordance, -difference),  # Graded differences can be small and one-sided.
        difference=difference,
        design_effect=found.interval.design_effect or 1.0,
        per_conversation=found.records / (found.interval.clusters or found.records),
        level=level,
    )
    lacking = max(10, needed - found.records)
    unit = int(10 ** max(0, len(str(lacking)) - 2))
    return math.ceil(lacking / unit) * unit


def _points(share: float) -> str:
    """A difference in percentage points, without its sign: 2.5 points, 1 point."""
    number = f"{abs(share) * 100:.1f}".removesuffix(".0")
    return f"{number} point" if number == "1" else f"{number} points"
