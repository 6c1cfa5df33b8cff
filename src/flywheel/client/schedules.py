"""`client.schedules`: runs that begin by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.client.documents import Model, Moment, Started
from flywheel.client.paging import listed
from flywheel.client.routes import Resource, Route, S, call, stream
from flywheel.client.runs import Run, Runs
from flywheel.client.steps import Every, Steps


class Decided(Model):
    """What a schedule decided at one moment, and why."""

    at: Moment
    decision: str
    says: str = ""
    run_id: str | None = None
    trigger: str | None = None


class Schedule(Model):
    """When runs of a workload begin by themselves."""

    id: str
    client_id: str
    workload_id: str
    name: str | None = None
    enabled: bool = True
    triggers: list[dict[str, Any]] = []
    debounce: float | None = None
    missed: str | None = None
    budget: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    created_at: Moment | None = None
    updated_at: Moment | None = None
    next_at: Moment | None = None
    last_run: dict[str, Any] | None = None
    last_decision: Decided | None = None


class Explained(Model):
    """Why a schedule would or would not run now."""

    would_run: bool
    at: Moment | None = None
    reasons: list[dict[str, Any]] = []
    holds: list[dict[str, Any]] = []
    drift: dict[str, Any] | None = None


class Schedules(Resource[S]):
    """Make, list, change, explain and delete schedules; a schedule is named by its id."""

    @call("POST", "/api/schedules")
    def create(
        self,
        to: Route,
        /,
        workload_id: str,
        client_id: str,
        triggers: Sequence[Mapping[str, Any]],
        **rest: Any,
    ) -> Steps[Schedule]:
        """Make a schedule: `triggers=[{"type": "cron", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}]`.

        `rest`: name, enabled, debounce, missed, budget, overrides. Raises Invalid.
        """
        body = {"workload_id": workload_id, "client_id": client_id, "triggers": list(triggers), **rest}
        return to.ask(Schedule.read, json=body)

    @call("GET", "/api/schedules/{schedule_id}")
    def get(self, to: Route, /, schedule_id: str) -> Steps[Schedule]:
        """One schedule. Raises NotFound."""
        return to.at(schedule_id=schedule_id).ask(Schedule.read)

    @call("PATCH", "/api/schedules/{schedule_id}")
    def change(self, to: Route, /, schedule_id: str, **changes: Any) -> Steps[Schedule]:
        """Change what is named; the rest stays. Raises NotFound, Invalid."""
        return to.at(schedule_id=schedule_id).ask(Schedule.read, json=changes, repeatable=True)

    @call("DELETE", "/api/schedules/{schedule_id}")
    def delete(self, to: Route, /, schedule_id: str) -> Steps[None]:
        """Forget a schedule with its history; its runs stay. Raises NotFound."""
        return to.at(schedule_id=schedule_id).ask(lambda _: None)

    @call("POST", "/api/schedules/{schedule_id}/run")
    def run(self, to: Route, /, schedule_id: str) -> Steps[Run[S]]:
        """Start its run now, whatever its triggers say, and return it. Raises NotFound, Conflict."""
        made = yield from to.at(schedule_id=schedule_id).ask(Started.read)
        runs: Runs[S] = Runs(self._session)
        return (yield from Runs[S].get.steps(runs, made.id))

    @call("GET", "/api/schedules/{schedule_id}/explain")
    def explain(self, to: Route, /, schedule_id: str) -> Steps[Explained]:
        """Why it would or would not run now. Raises NotFound."""
        return to.at(schedule_id=schedule_id).ask(Explained.read)

    @stream("GET", "/api/schedules/{schedule_id}/history")
    def history(
        self, to: Route, /, schedule_id: str, *, limit: int | None = None, offset: int = 0
    ) -> Steps[Every[Decided]]:
        """What it decided and why, newest first. Raises NotFound."""
        to = to.at(schedule_id=schedule_id)
        return listed(to, "decisions", Decided.read, limit=limit, offset=offset)

    @stream("GET", "/api/schedules")
    def list(
        self,
        to: Route,
        /,
        *,
        client_id: str | None = None,
        workload_id: str | None = None,
        enabled: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[Schedule]]:
        """Schedules, in the order of their creation."""
        query = {"client_id": client_id, "workload_id": workload_id, "enabled": enabled}
        return listed(to, "schedules", Schedule.read, limit=limit, offset=offset, query=query)
