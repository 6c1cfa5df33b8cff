"""What every store of schedules can do; SQLite on one machine, MongoDB for a team, one test file for both."""

from __future__ import annotations

from typing import Final, Protocol

from flywheel.stores.runs.document import Value
from flywheel.stores.schedules.document import Decided, Schedule

HISTORY_KEPT: Final = 200
"""Decisions of a schedule that are kept; older ones go."""


class ScheduleQuery(Value):
    """Which schedules to list, oldest first. `limit=None` is all of them."""

    client_id: str | None = None
    workload_id: str | None = None
    enabled: bool | None = None
    offset: int = 0
    limit: int | None = None


class SchedulePage(Value):
    """A part of a list, and how many there are in all."""

    schedules: tuple[Schedule, ...]
    total: int


class HistoryPage(Value):
    """A part of a schedule's decisions, newest first, and how many are kept."""

    decisions: tuple[Decided, ...]
    total: int


class ScheduleStore(Protocol):
    """Schedules by id; every method may be called from any thread and process."""

    def create(self, schedule: Schedule) -> Schedule:
        """Store a new schedule and return it."""

    def load(self, schedule_id: str) -> Schedule:
        """Raises ScheduleNotFound."""

    def apply(self, schedule: Schedule, change: Schedule) -> Schedule:
        """Replace `schedule` by `change`, if the stored one is still at `schedule.revision`.

        Returns it as stored: its revision is one higher. Of many that try at once, one succeeds.

        Raises:
            StaleSchedule: somebody was faster; nothing was written.
            ScheduleNotFound: it was deleted meanwhile.
        """

    def delete(self, schedule_id: str) -> None:
        """Forget the schedule and its history. Raises ScheduleNotFound."""

    def list(self, query: ScheduleQuery = ...) -> SchedulePage:
        """Schedules that match, in the order of their creation."""

    def note(self, schedule_id: str, decided: Decided) -> None:
        """Add a decision to the schedule's history, of which the last HISTORY_KEPT stay."""

    def history(self, schedule_id: str, *, offset: int = 0, limit: int | None = None) -> HistoryPage:
        """Decisions, newest first; none for a schedule that is not there."""

    def close(self) -> None: ...
