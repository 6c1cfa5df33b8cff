"""A world for schedules: `run_world` with a scheduler, a clock that the test sets, and records of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flywheel.models import Record, Workload
from flywheel.orchestrator.scheduling.service import Schedules
from flywheel.orchestrator.scheduling.tick import Scheduler
from flywheel.stores.runs import Run, RunQuery
from flywheel.stores.schedules import Schedule
from run_world import WORKLOAD, World

BODY = {"client_id": WORKLOAD.client_id, "workload_id": WORKLOAD.workload_id}


def cron(expression: str, timezone: str = "UTC") -> dict[str, str]:
    return {"type": "cron", "cron": expression, "timezone": timezone}


def moment(text: str) -> datetime:
    """A moment in UTC, unless the text says another offset."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Scheduling:
    """A world, the scheduler that looks at its schedules, and the service of `/api/schedules`."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.woken: list[str] = []
        self.scheduler = Scheduler(here.context, self.woken.append)
        self.service = Schedules(here.context, self.woken.append)

    def at(self, text: str) -> Scheduling:
        """The clock says so now."""
        self.here.clock.now = moment(text).timestamp()
        return self

    def make(self, *triggers: dict[str, Any], **fields: Any) -> Schedule:
        return self.service.create({**BODY, "triggers": list(triggers), "debounce": 0, **fields})

    def tick(self, at: str | None = None) -> float:
        if at is not None:
            self.at(at)
        return self.scheduler.tick()

    def runs(self, workload: Workload = WORKLOAD) -> tuple[Run, ...]:
        """Newest first."""
        query = RunQuery(workload_id=workload.workload_id, client_id=workload.client_id)
        return self.here.context.runs.list(query).runs

    def finish(self) -> Run:
        """Bring the newest run to its end, and the clock back to when that began."""
        before = self.here.clock.now
        run = self.here.finish(self.runs()[0].id)
        self.here.clock.now = before
        return run

    def history(self, schedule: Schedule) -> list[str]:
        """Decisions, oldest first, with what held them."""
        found = self.here.context.schedules.history(schedule.id).decisions
        return [f"{d.decision} {d.what}" if d.what else d.decision for d in reversed(found)]

    def add(self, records: Sequence[Record]) -> None:
        self.here.context.logs.add(records)
