"""Schedules as `/api/schedules` shows them. Times are ISO 8601 in UTC, with a Z."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flywheel.orchestrator.scheduling import cron
from flywheel.orchestrator.scheduling.decision import Hold, Reason, Verdict
from flywheel.stores.runs.document import created_of
from flywheel.stores.runs.protocol import RunHead
from flywheel.stores.schedules.document import CronTrigger, Decided, Schedule


def shown(schedule: Schedule, at: datetime, heads: tuple[RunHead, ...] = ()) -> dict[str, Any]:
    """One schedule; `heads` are runs of its workload, for the state of its last one."""
    return {
        "id": schedule.id,
        "client_id": schedule.client_id,
        "workload_id": schedule.workload_id,
        "name": schedule.name,
        "enabled": schedule.enabled,
        "triggers": [trigger.model_dump(mode="json") for trigger in schedule.triggers],
        "debounce": schedule.debounce,
        "missed": schedule.missed,
        "budget": schedule.budget.model_dump(mode="json"),
        "overrides": schedule.overrides,
        "created_at": _moment(schedule.created_at),
        "updated_at": _moment(schedule.updated_at),
        "next_at": _moment(next_at(schedule, at)),
        "last_run": _last_run(schedule, heads),
        "last_decision": decided(schedule.last_decision) if schedule.last_decision else None,
    }


def next_at(schedule: Schedule, at: datetime) -> datetime | None:
    """The next time of its cron triggers; None for a disabled schedule, and for one without any."""
    if not schedule.enabled:
        return None
    moments = (
        cron.following(trigger.cron, trigger.timezone, at)
        for trigger in schedule.triggers
        if isinstance(trigger, CronTrigger)
    )
    return min((moment for moment in moments if moment), default=None)


def decided(found: Decided) -> dict[str, Any]:
    """One line of the history."""
    return {
        "at": _moment(found.at),
        "decision": found.decision,
        "says": found.says,
        "run_id": found.run_id,
        "trigger": found.trigger,
        "what": found.what,
    }


def explained(verdict: Verdict) -> dict[str, Any]:
    """Why it would or would not run."""
    return {
        "would_run": verdict.would_run,
        "at": _moment(verdict.at),
        "reasons": [_reason(each) for each in verdict.reasons],
        "holds": [_hold(each) for each in verdict.holds],
        "missed": verdict.missed,
        "next_at": _moment(verdict.next_at),
        "drift": {drift.of: drift.numbers() for drift in verdict.drifts} or None,
    }


def _reason(reason: Reason) -> dict[str, Any]:
    found = {"trigger": reason.trigger, "fires": reason.fires, "says": reason.says}
    return found | ({"next": _moment(reason.next)} if reason.next else {})


def _hold(hold: Hold) -> dict[str, Any]:
    return {"what": hold.what, "says": hold.says, "until": _moment(hold.until)}


def _last_run(schedule: Schedule, heads: tuple[RunHead, ...]) -> dict[str, Any] | None:
    if schedule.last_run is None:
        return None
    status = next((head.status for head in heads if head.id == schedule.last_run), None)
    return {
        "id": schedule.last_run,
        "status": status,
        "created_at": _moment(created_of(schedule.last_run)),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
