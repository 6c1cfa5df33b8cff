"""`/api/schedules`: runs that begin by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.scheduling import wire
from flywheel.orchestrator.scheduling.service import Schedules
from flywheel.stores.schedules import Schedule, ScheduleQuery

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]
_HEADS = 50
"""Runs of a workload among which the last one of a schedule is looked for."""


def router(context: Context, wake: Callable[[str], object]) -> APIRouter:
    """The routes; `wake` is called with the id of a run that a schedule starts."""
    api = APIRouter(prefix="/api", tags=["schedules"])
    schedules = Schedules(context, wake)

    def shown(schedule: Schedule) -> dict[str, Any]:
        heads = context.runs.heads(schedule.workload, _HEADS) if schedule.last_run else ()
        return wire.shown(schedule, context.clock(), heads)

    @api.post("/schedules", status_code=201)
    def create(body: Annotated[Any, Body()]) -> dict[str, Any]:
        """Make a schedule for a workload."""
        return shown(schedules.create(body))

    @api.get("/schedules")
    def list_schedules(
        client_id: str | None = None,
        workload_id: str | None = None,
        enabled: bool | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """Schedules, in the order of their creation."""
        query = ScheduleQuery(
            client_id=client_id, workload_id=workload_id, enabled=enabled, offset=offset, limit=limit
        )
        found = context.schedules.list(query)
        return {
            "schedules": [shown(each) for each in found.schedules],
            "total": found.total,
            "offset": offset,
            "limit": limit,
        }

    @api.get("/schedules/{schedule_id}")
    def schedule(schedule_id: str) -> dict[str, Any]:
        """One schedule."""
        return shown(context.schedules.load(schedule_id))

    @api.patch("/schedules/{schedule_id}")
    def change(schedule_id: str, body: Annotated[Any, Body()]) -> dict[str, Any]:
        """Change what the body names; the rest stays."""
        return shown(schedules.change(schedule_id, body))

    @api.delete("/schedules/{schedule_id}", status_code=204)
    def delete(schedule_id: str) -> Response:
        """Forget a schedule with its history; its runs stay."""
        schedules.delete(schedule_id)
        return Response(status_code=204)

    @api.post("/schedules/{schedule_id}/run")
    def run_now(schedule_id: str) -> dict[str, Any]:
        """Start its run now, whatever triggers, debounce and budget say."""
        run = schedules.run(schedule_id)
        return {"id": run.id, "status": "queued", "message": "Run started"}

    @api.get("/schedules/{schedule_id}/explain")
    def explain(schedule_id: str) -> dict[str, Any]:
        """Why it would or would not run now."""
        return wire.explained(schedules.explain(schedule_id))

    @api.get("/schedules/{schedule_id}/history")
    def history(schedule_id: str, limit: Limit = 100, offset: Offset = 0) -> dict[str, Any]:
        """What it decided and why, newest first."""
        found = schedules.history(schedule_id, offset=offset, limit=limit)
        return {
            "decisions": [wire.decided(each) for each in found.decisions],
            "total": found.total,
            "offset": offset,
            "limit": limit,
        }

    return api
