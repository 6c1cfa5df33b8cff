"""What can go wrong with stored records."""

from __future__ import annotations

from flywheel.errors import FlywheelError, Unavailable, UpstreamError, UserError


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


class LogStoreUnreachable(Unavailable):
    """The server at `address` did not answer."""

    code = "log_store_unreachable"

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        super().__init__(f"the records' Elasticsearch at {address} cannot be reached: {reason}")


class LogStoreOverloaded(Unavailable):
    """The server at `address` had no room for the work, also after several tries."""

    code = "log_store_overloaded"

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        super().__init__(f"the records' Elasticsearch at {address} is overloaded: {reason}; try again later")


class LogStoreDenied(UpstreamError):
    """The server at `address` does not let us: credentials, rights, or a block on the index."""

    code = "log_store_denied"
    http_status = 403  # Asking again does not help; see `flywheel.orchestrator.trouble`.

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        super().__init__(f"the records' Elasticsearch at {address} does not allow this: {reason}")


class LogStoreRefused(UpstreamError):
    """The server at `address` answered, but not as an Elasticsearch that can keep records.

    `http_status` is the server's; below 500 the same call will fail again.
    """

    code = "log_store_refused"

    def __init__(self, address: str, reason: str, http_status: int = 400) -> None:
        self.address, self.http_status = address, http_status
        super().__init__(f"the records' Elasticsearch at {address}: {reason}")


class RecordRefused(UserError):
    """One record could not be kept; those before it were."""

    code = "record_refused"

    def __init__(self, record: str, reason: str) -> None:
        self.record = record
        super().__init__(
            f"the record {record} was not stored: {reason}; mend it or leave it out, and import again"
        )
