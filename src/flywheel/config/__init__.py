"""Settings: `config.yaml` with the blocks that users of NVIDIA's blueprint know, and ours beside them.

Read once, by the command line, and handed to `create_app`; nothing else reads it. A key that does not exist
is refused with the nearest one that does, because a setting that is silently ignored costs a day. Environment
variables `FLYWHEEL_BLOCK__FIELD=value` (a list's item by its number, `FLYWHEEL_NIMS__0__TAG`) come after the
file; values are read as YAML. The text under each field is its documentation: meaning, unit, reason.
"""

from __future__ import annotations

from flywheel.config.block import Block, secret
from flywheel.config.loading import blocks_in, load_settings, nearest, parse
from flywheel.config.models import EmbeddingConfig, LlmJudgeConfig, NimConfig, Pricing, TeacherConfig
from flywheel.config.servers import (
    CeleryWakeups,
    ElasticsearchRecords,
    EmbeddedRecords,
    EmbeddedRuns,
    EmbeddedWakeups,
    KubernetesRuntimeConfig,
    MlflowConfig,
    MongoRuns,
    NmpConfig,
    ProcessRuntimeConfig,
    TelemetryConfig,
)
from flywheel.config.settings import Settings
from flywheel.config.steps import (
    DataSplitConfig,
    EvaluationConfig,
    IclConfig,
    LoraConfig,
    SimilarityConfig,
    TrainingConfig,
)

__all__ = [
    "Block",
    "CeleryWakeups",
    "DataSplitConfig",
    "ElasticsearchRecords",
    "EmbeddedRecords",
    "EmbeddedRuns",
    "EmbeddedWakeups",
    "EmbeddingConfig",
    "EvaluationConfig",
    "IclConfig",
    "KubernetesRuntimeConfig",
    "LlmJudgeConfig",
    "LoraConfig",
    "MlflowConfig",
    "MongoRuns",
    "NimConfig",
    "NmpConfig",
    "Pricing",
    "ProcessRuntimeConfig",
    "Settings",
    "SimilarityConfig",
    "TeacherConfig",
    "TelemetryConfig",
    "TrainingConfig",
    "blocks_in",
    "load_settings",
    "nearest",
    "parse",
    "secret",
]
