"""Where the teacher's records are kept: what a store can do, and the embedded one.

The store on Elasticsearch is `flywheel.stores.logs.elasticsearch`, imported only where it is configured.
"""

from flywheel.stores.logs.embedded import EmbeddedLogStore
from flywheel.stores.logs.errors import (
    LogStoreBusy,
    LogStoreDamaged,
    LogStoreDenied,
    LogStoreOverloaded,
    LogStoreRefused,
    LogStoreTooNew,
    LogStoreUnreachable,
    RecordRefused,
)
from flywheel.stores.logs.protocol import DAY, Added, Filter, LogStore, TimeBucket, WorkloadSummary

__all__ = [
    "DAY",
    "Added",
    "EmbeddedLogStore",
    "Filter",
    "LogStore",
    "LogStoreBusy",
    "LogStoreDamaged",
    "LogStoreDenied",
    "LogStoreOverloaded",
    "LogStoreRefused",
    "LogStoreTooNew",
    "LogStoreUnreachable",
    "RecordRefused",
    "TimeBucket",
    "WorkloadSummary",
]
