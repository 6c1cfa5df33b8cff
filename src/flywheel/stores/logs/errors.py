"""What can go wrong with stored records."""

from __future__ import annotations

from flywheel.errors import FlywheelError, Unavailable


class LogStoreDamaged(FlywheelError):
    """The file at `path` is not a store of records, or cannot be read as one."""

    code = "log_store_damaged"

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is not a usable store of records: {reason}; choose another folder, or move the file away"
        )


class LogStoreTooNew(FlywheelError):
    """The file was written by a later version, with a schema that this one does not know."""

    code = "log_store_too_new"

    def __init__(self, path: str, found: int, known: int) -> None:
        self.path = path
        super().__init__(
            f"{path} has schema version {found}, this Flywheel knows up to {known}: install a newer one"
        )


class LogStoreBusy(Unavailable):
    """Another process held the write lock for longer than one is willing to wait."""

    code = "log_store_busy"

    def __init__(self, path: str, waited_s: float) -> None:
        self.path = path
        super().__init__(
            f"{path} was locked by another process for {waited_s:g} seconds; try again when it is done"
        )
