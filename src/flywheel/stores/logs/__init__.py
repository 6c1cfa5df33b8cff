"""Where the teacher's records are kept: what a store can do, and the embedded one."""

from flywheel.stores.logs.embedded import EmbeddedLogStore
from flywheel.stores.logs.errors import LogStoreBusy, LogStoreDamaged, LogStoreTooNew
from flywheel.stores.logs.protocol import Added, LogStore, WorkloadSummary

__all__ = [
    "Added",
    "EmbeddedLogStore",
    "LogStore",
    "LogStoreBusy",
    "LogStoreDamaged",
    "LogStoreTooNew",
    "WorkloadSummary",
]
