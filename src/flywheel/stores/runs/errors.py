"""What can go wrong with stored runs."""

from __future__ import annotations

from flywheel.errors import Conflict, FlywheelError, NotFound, UserError


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
