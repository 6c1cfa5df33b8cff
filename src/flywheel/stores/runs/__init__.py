"""Where runs are kept: the Run document, what a store can do, and the embedded one."""

from flywheel.stores.runs.document import Run
from flywheel.stores.runs.embedded import EmbeddedRunStore
from flywheel.stores.runs.errors import (
    IdempotencyKeyReused,
    RunNotFound,
    RunNotStorable,
    RunStoreAway,
    RunStoreDamaged,
    RunStoreFailed,
    StaleRun,
)
from flywheel.stores.runs.protocol import (
    BriefPage,
    Changes,
    EvaluationPage,
    EvaluationQuery,
    RunHead,
    RunPage,
    RunQuery,
    RunStore,
)
from flywheel.stores.runs.standing import Achievement, RunMark, Standing

__all__ = [
    "Achievement",
    "BriefPage",
    "Changes",
    "EmbeddedRunStore",
    "EvaluationPage",
    "EvaluationQuery",
    "IdempotencyKeyReused",
    "Run",
    "RunHead",
    "RunMark",
    "RunNotFound",
    "RunNotStorable",
    "RunPage",
    "RunQuery",
    "RunStore",
    "RunStoreAway",
    "RunStoreDamaged",
    "RunStoreFailed",
    "StaleRun",
    "Standing",
]
