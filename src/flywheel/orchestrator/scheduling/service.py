"""What users do with schedules: make, look, change, delete, run now, and ask why."""

from __future__ import annotations

from collections.abc import Callable

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.scheduling.decision import Verdict
from flywheel.orchestrator.scheduling.request import read_change, read_new
from flywheel.orchestrator.scheduling.tick import Scheduler
from flywheel.stores.runs import Run
from flywheel.stores.schedules import HistoryPage, Schedule, StaleSchedule
from flywheel.stores.schedules.document import new_schedule_id

_TRIES = 20


class Schedules:
    """Schedules as their users meet them; `wake` is called with the id of a run that one starts."""

    def __init__(self, context: Context, wake: Callable[[str], object]) -> None:
        self._context = context
        self._scheduler = Scheduler(context, wake)

    def create(self, body: object) -> Schedule:
        """A new schedule; times before now are none of its business.

        Raises ConfigError, UnknownCandidate and NoCandidates.
        """
        asked = read_new(body, self._context.settings)
        now = self._context.clock()
        return self._context.schedules.create(
            Schedule(
                id=new_schedule_id(),
                client_id=asked.client_id,
                workload_id=asked.workload_id,
                name=asked.name or asked.workload_id,
                enabled=asked.enabled,
                triggers=asked.triggers,
                debounce=asked.debounce,
                missed=asked.missed,
                budget=asked.budget,
                overrides=asked.overrides,
                created_at=now,
                updated_at=now,
                since=now,
            )
        )

    def change(self, schedule_id: str, body: object) -> Schedule:
        """The schedule with other fields; where its triggers change, or it is enabled, times count from now.

        Raises ScheduleNotFound, FixedField, and as `create`.
        """
        store = self._context.schedules
        for tries in range(_TRIES):
            schedule = store.load(schedule_id)
            fields = read_change(body, schedule, self._context.settings)
            now = self._context.clock()
            change = schedule.but(**fields, updated_at=now, failed_at=None)
            if change.triggers != schedule.triggers or (change.enabled and not schedule.enabled):
                change = change.but(since=now)
            try:
                return store.apply(schedule, change)
            except StaleSchedule:  # A look of the scheduler was faster.
                if tries == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def delete(self, schedule_id: str) -> None:
        """Forget it; its runs stay. Raises ScheduleNotFound."""
        self._context.schedules.delete(schedule_id)

    def run(self, schedule_id: str) -> Run:
        """Start its run now, whatever triggers, debounce and budget say.

        Raises ScheduleNotFound, RunOpen, StaleSchedule, and as Jobs.start.
        """
        return self._scheduler.start_now(self._context.schedules.load(schedule_id))

    def explain(self, schedule_id: str) -> Verdict:
        """Why it would or would not run now, after a look at everything. Raises ScheduleNotFound."""
        return self._scheduler.verdict(self._context.schedules.load(schedule_id), thorough=True)

    def history(self, schedule_id: str, *, offset: int, limit: int) -> HistoryPage:
        """What it decided, newest first. Raises ScheduleNotFound."""
        self._context.schedules.load(schedule_id)
        return self._context.schedules.history(schedule_id, offset=offset, limit=limit)
