"""The Schedule document: when a workload's next run is to begin by itself, and how far that was looked at.

Frozen, and changed by compare-and-set on its `revision`, as runs are. What the triggers mean is decided in
`orchestrator.scheduling`; here they are only values.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from flywheel.config import Block
from flywheel.models import Workload
from flywheel.stores.runs.document import Value

DEBOUNCE_S = 900.0
"""Trainings take minutes to hours; runs that begin closer to each other than this learn the same."""

Outcome = Literal["started", "held", "missed", "failed"]
Missed = Literal["skip", "once"]


class CronTrigger(Block):
    """At times of the wall clock."""

    type: Literal["cron"]
    """Which trigger."""
    cron: str
    """Minute, hour, day of month, month, day of week, as cron of Debian reads them: `0 3 * * 1-5`."""
    timezone: str = "UTC"
    """Whose wall clock: a name of the IANA time zone database, such as Europe/Berlin."""


class RecordsTrigger(Block):
    """When enough records are new since the last data set of the workload."""

    type: Literal["records"]
    """Which trigger."""
    every: int = Field(ge=1)
    """How many."""


class DriftTrigger(Block):
    """When the traffic is no longer what the last data set was made of."""

    type: Literal["drift"]
    """Which trigger."""
    of: Literal["tools", "arguments"] = "tools"
    """The mix of tools called (no call is one of them), or the values of the tools' arguments."""
    threshold: float | None = Field(None, gt=0, lt=1)
    """Jensen-Shannon distance beyond the noise of sampling, from 0 to 1; null: 0.1."""


class SchemasTrigger(Block):
    """When a tool is offered with another schema than in the last data set, is new, or is gone."""

    type: Literal["schemas"]
    """Which trigger."""


class CandidatesTrigger(Block):
    """When the configuration has a candidate that no run of the workload has measured."""

    type: Literal["candidates"]
    """Which trigger."""


Trigger = Annotated[
    CronTrigger | RecordsTrigger | DriftTrigger | SchemasTrigger | CandidatesTrigger,
    Field(discriminator="type"),
]


class Budget(Block):
    """What the runs of the workload may take in seven days, whoever started them."""

    runs_per_week: int | None = Field(None, ge=1)
    """Runs begun; null: any number."""
    gpu_hours_per_week: float | None = Field(None, gt=0)
    """GPU hours of trainings and deployments; null: any number."""


class Decided(Value):
    """One line of a schedule's history."""

    at: AwareDatetime
    decision: Outcome
    says: str
    """Why, in words."""
    run_id: str | None = None
    trigger: str | None = None
    """The trigger that fired, as `explain` names it; `manual` for a run that a person asked for."""
    what: str | None = None
    """Of one that was held: what held it."""

    def repeats(self, other: Decided | None) -> bool:
        """Whether the other one says the same about the same state, so that once is enough."""
        return (
            other is not None
            and self.run_id is None
            and (self.decision, self.trigger, self.what) == (other.decision, other.trigger, other.what)
            and self.decision == "held"
        )


class Claim(Value):
    """A run that is about to be started: whoever finds it left behind starts it, with the same key."""

    key: str
    """The idempotency key of the run."""
    at: AwareDatetime
    trigger: str
    says: str
    body: dict[str, Any]
    """What is asked of `POST /api/jobs`, fixed when it was decided."""


class Schedule(Value):
    """When a workload's next run begins by itself."""

    id: str
    revision: int = 0
    client_id: str
    workload_id: str
    name: str
    enabled: bool = True
    triggers: tuple[Trigger, ...]
    debounce: float = DEBOUNCE_S
    """Seconds between the beginnings of two runs of the workload, at least."""
    missed: Missed = "skip"
    """What becomes of times that passed while nobody looked, or while something held the run."""
    budget: Budget = Budget()
    overrides: dict[str, Any] = Field(default_factory=dict)
    """What its runs do differently from the configuration, as in `POST /api/jobs`."""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    since: AwareDatetime
    """Times of its cron triggers up to this moment are accounted for."""
    claim: Claim | None = None
    last_run: str | None = None
    """Id of the run that it started last."""
    last_decision: Decided | None = None
    failed_at: AwareDatetime | None = None
    """When the last try to start a run failed; None after one that did not."""

    @property
    def workload(self) -> Workload:
        return Workload(self.client_id, self.workload_id)


def new_schedule_id() -> str:
    """24 hex digits, as ids of runs are; these tell no time."""
    return secrets.token_hex(12)
