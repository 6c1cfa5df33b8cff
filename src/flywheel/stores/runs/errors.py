"""What can go wrong with stored runs."""

from __future__ import annotations

from flywheel.errors import Conflict, FlywheelError, NotFound, Unavailable, UpstreamError, UserError


class RunNotFound(NotFound):
    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"there is no run {run_id}")


class StaleRun(Conflict):
    """Somebody else changed the run, or holds its lease: nothing was written."""

    code = "stale_run"

    def __init__(self, run_id: str, revision: int) -> None:
        self.run_id = run_id
        super().__init__(
            f"run {run_id} is no longer at revision {revision}, or its lease was lost; load it again"
        )


class IdempotencyKeyReused(UserError):
    """One key was sent with two different bodies."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"Idempotency-Key {key!r} was used before with another body; use a new key")


class RunStoreDamaged(FlywheelError):
    code = "run_store_damaged"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is not a usable store of runs: {reason}; move it away or restore a backup")


class RunStoreAway(Unavailable):
    """The server of the runs cannot be reached, or is busy with itself: the same call may do later."""

    code = "run_store_away"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the store of runs at {url} does not answer: {reason}")


class RunStoreFailed(UpstreamError):
    """The server of the runs refused; `upstream_status` 401: it does not let us in."""

    code = "run_store_failed"

    def __init__(self, url: str, reason: str, upstream_status: int | None = None) -> None:
        self.upstream_status = upstream_status
        super().__init__(f"the store of runs at {url} refused: {reason}")


class RunNotStorable(UserError):
    """The run's document holds what the store cannot keep."""

    code = "run_not_storable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the run cannot be stored: {reason}; leave out what is so large in the job's body")
