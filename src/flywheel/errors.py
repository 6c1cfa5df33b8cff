"""Everything that Flywheel itself raises, in one tree.

An error holds data and builds its own message, which names what is wrong, the value that was met and what
would be right. Foreign errors become one of these once, at the door of the foreign system, `from e`; they
are rendered once, per HTTP dialect, in `flywheel.web`, or by the command line.

    FlywheelError                    500  something of ours went wrong
    ├── UserError                    422  the caller's input is at fault
    │   └── ConfigError              422  config.yaml, an environment variable or a job's override
    ├── NotFound                     404  there is no such thing
    ├── Conflict                     409  it exists already, or is in a state that forbids this
    ├── Unavailable                  503  not now: starting, full, busy
    │   └── StorageFull              507  the disk took no more; nothing was half-written
    └── UpstreamError                502  a server that we called failed or answered nonsense
"""

from __future__ import annotations

from typing import ClassVar


class FlywheelError(Exception):
    """The root. `status` is the HTTP status, `code` a stable word for programs."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"


class UserError(FlywheelError):
    status = 422
    code = "invalid"


class ConfigError(UserError):
    code = "config"


class NotFound(FlywheelError):
    status = 404
    code = "not_found"


class Conflict(FlywheelError):
    status = 409
    code = "conflict"


class Unavailable(FlywheelError):
    status = 503
    code = "unavailable"


class StorageFull(Unavailable):
    """`what` could not be written because the file system is full."""

    status = 507
    code = "storage_full"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"no space left on the disk: {what} was not stored; free some space and try again")


class UpstreamError(FlywheelError):
    status = 502
    code = "upstream"
