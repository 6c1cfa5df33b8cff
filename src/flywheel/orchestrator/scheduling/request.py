"""The bodies of `POST` and `PATCH /api/schedules`, checked as far as they can be before anything runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flywheel.config import Block, Settings, parse
from flywheel.orchestrator.request import configured, read_request
from flywheel.orchestrator.scheduling import cron
from flywheel.orchestrator.scheduling.errors import FixedField
from flywheel.stores.schedules.document import (
    DEBOUNCE_S,
    Budget,
    CronTrigger,
    Missed,
    Schedule,
    Trigger,
)

_WHERE = "the schedule's body"
_FIXED = ("client_id", "workload_id")
_Triggers = Annotated[tuple[Trigger, ...], Field(min_length=1, max_length=20)]
_Debounce = Annotated[float, Field(ge=0, le=31 * 86400)]
_Name = Annotated[str, Field(min_length=1, max_length=100)]


class NewSchedule(Block):
    """What a schedule is made of."""

    client_id: str = Field(min_length=1)
    """The application, as logged."""
    workload_id: str = Field(min_length=1)
    """The workload's name, as logged."""
    name: _Name | None = None
    """For people; left out: the workload's."""
    enabled: bool = True
    """Whether it starts runs."""
    triggers: _Triggers
    """What it starts them at."""
    debounce: _Debounce = DEBOUNCE_S
    """Seconds between the beginnings of two runs of the workload, at least."""
    missed: Missed = "skip"
    """Whether times that were missed are made up for, once, or not."""
    budget: Budget = Budget()
    """What the workload's runs may take in seven days."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """What its runs do differently from the configuration, as in POST /api/jobs."""


class ScheduleChange(Block):
    """What is to be different; fields that are left out stay."""

    name: _Name = ""
    enabled: bool = True
    triggers: _Triggers = ()
    debounce: _Debounce = DEBOUNCE_S
    missed: Missed = "skip"
    budget: Budget = Budget()
    overrides: dict[str, Any] = Field(default_factory=dict)


def read_new(body: object, settings: Settings) -> NewSchedule:
    """Raises ConfigError, UnknownCandidate and NoCandidates."""
    asked = parse(NewSchedule, body, where=_WHERE)
    check(asked.triggers, asked.client_id, asked.workload_id, asked.overrides, settings)
    return asked


def read_change(body: object, schedule: Schedule, settings: Settings) -> dict[str, Any]:
    """The fields that are to be different. Raises FixedField, and as `read_new`."""
    if isinstance(body, dict):
        for name in _FIXED:
            if name in body and body[name] != getattr(schedule, name):
                raise FixedField(name)
        body = {name: value for name, value in body.items() if name not in _FIXED}
    asked = parse(ScheduleChange, body, where=_WHERE)
    change = {name: getattr(asked, name) for name in asked.model_fields_set}
    after = schedule.but(**change)
    check(after.triggers, after.client_id, after.workload_id, after.overrides, settings)
    return change


def check(
    triggers: tuple[Trigger, ...],
    client_id: str,
    workload_id: str,
    overrides: dict[str, Any],
    settings: Settings,
) -> None:
    """Times that never come, and overrides that `POST /api/jobs` would refuse."""
    for number, trigger in enumerate(triggers):
        if isinstance(trigger, CronTrigger):
            cron.check(trigger.cron, trigger.timezone, where=f"{_WHERE}: triggers.{number}")
    request = read_request({**overrides, "client_id": client_id, "workload_id": workload_id})
    configured(request, settings)
