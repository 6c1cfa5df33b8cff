"""Where runs are kept: the Run document, what a store can do, and the embedded one."""

from flywheel.stores.runs.document import Run
from flywheel.stores.runs.embedded import EmbeddedRunStore
from flywheel.stores.runs.errors import IdempotencyKeyReused, RunNotFound, RunStoreDamaged, StaleRun
from flywheel.stores.runs.protocol import RunPage, RunQuery, RunStore

__all__ = [
    "EmbeddedRunStore",
    "IdempotencyKeyReused",
    "Run",
    "RunNotFound",
    "RunPage",
    "RunQuery",
    "RunStore",
    "RunStoreDamaged",
    "StaleRun",
]
