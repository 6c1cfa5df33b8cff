"""Which failures pass by themselves, and how long one waits for that."""

from __future__ import annotations

from datetime import datetime

from flywheel.errors import FlywheelError, Unavailable, UpstreamError
from flywheel.stores.runs.document import Trouble

_PASSING = frozenset({408, 425, 429})
_SERVER_FAULT = 500

UNFORESEEN_TRIES = 3
"""Times that a step may break in a way nobody thought of before its run is given up."""


def passing(error: FlywheelError) -> bool:
    """Whether the same call may well succeed later: the other side was away, busy or broken."""
    if isinstance(error, Unavailable):
        return True
    if not isinstance(error, UpstreamError):
        return False
    answered = getattr(error, "upstream_status", None) or getattr(error, "http_status", None)
    return answered is None or answered in _PASSING or answered >= _SERVER_FAULT


def troubled(before: Trouble | None, error: Exception, at: datetime) -> Trouble:
    """The trouble, once more."""
    since, count = (before.since, before.count) if before else (at, 0)
    return Trouble(since=since, count=count + 1, message=str(error))
