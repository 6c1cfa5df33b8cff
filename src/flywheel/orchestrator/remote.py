"""What evaluations and customizations have in common: jobs elsewhere, which are started once and looked at.

A job carries the run, the candidate and its kind in its custom fields, so that a worker who begins anew finds
what an earlier one posted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import RemoteJobStalled
from flywheel.stores.runs.document import Candidate, Run, Work

W = TypeVar("W", bound=Work)

WAITING = frozenset({"created", "pending", "running", "ready", "unknown"})
"""States of a job that may still come to something."""


def labels(run: Run, candidate: Candidate, kind: str) -> dict[str, str]:
    """The custom fields of a job of this run."""
    return {"flywheel_run": run.id, "candidate": candidate.model_name, "eval_type": kind}


def progressed(work: W, percent: float, what: str, context: Context) -> W:
    """The work with its progress, which never goes down. Raises RemoteJobStalled."""
    if percent > work.progress:
        return work.but(progress=min(percent, 100.0), progressed_at=context.clock())
    check_stalled(what, work.progressed_at, context)
    return work


def check_stalled(what: str, since: datetime | None, context: Context, *, waits: bool = False) -> None:
    """Raises RemoteJobStalled where nothing has moved since then for too long; it may be longer where it
    `waits` for its turn."""
    limit = context.limits.wait_s if waits else context.limits.stall_s
    if since and (context.clock() - since).total_seconds() > limit:
        raise RemoteJobStalled(what, limit)


def cancelled(work: W, context: Context) -> W:
    """The work, now that its job is over, or never was."""
    return work.but(status="cancelled", finished_at=context.clock())
