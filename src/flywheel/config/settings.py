"""The whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from flywheel.config.block import Block
from flywheel.config.models import LlmJudgeConfig, NimConfig, Pricing, TeacherConfig
from flywheel.config.servers import (
    CeleryWakeups,
    ElasticsearchRecords,
    EmbeddedRecords,
    EmbeddedRuns,
    EmbeddedWakeups,
    KubernetesRuntimeConfig,
    LoggingConfig,
    MlflowConfig,
    MongoRuns,
    NmpConfig,
    ProcessRuntimeConfig,
    TelemetryConfig,
)
from flywheel.config.steps import DataSplitConfig, EvaluationConfig, IclConfig, LoraConfig, TrainingConfig


class SchedulesConfig(Block):
    """Runs that begin by themselves."""

    interval: float = Field(60.0, gt=0)
    """Seconds between two looks at all schedules, at most; times of cron triggers are met to the second by
    the embedded loop, and by `flywheel beat` at its next sweep."""


class Settings(Block):
    """The whole configuration."""

    nmp_config: NmpConfig = NmpConfig()
    """Where the NeMo services are."""
    logging_config: LoggingConfig = LoggingConfig()
    """What the log shows."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """Where traces go."""
    nims: tuple[NimConfig, ...] = ()
    """The candidates."""
    llm_judge_config: LlmJudgeConfig | None = None
    """The judge."""
    teacher_config: TeacherConfig | None = None
    """The teacher."""
    training_config: TrainingConfig = TrainingConfig()
    """How a customization trains."""
    lora_config: LoraConfig = LoraConfig()
    """Shape of the adapter."""
    icl_config: IclConfig = IclConfig()
    """In-context examples."""
    data_split_config: DataSplitConfig = DataSplitConfig()
    """How records become data sets."""
    evaluation_config: EvaluationConfig = EvaluationConfig()
    """How answers are scored."""
    mlflow_config: MlflowConfig = MlflowConfig()
    """Export to MLflow."""
    records: Annotated[EmbeddedRecords | ElasticsearchRecords, Field(discriminator="type")] = (
        EmbeddedRecords()
    )
    """Where records are kept."""
    runs: Annotated[EmbeddedRuns | MongoRuns, Field(discriminator="type")] = EmbeddedRuns()
    """Where runs are kept."""
    wakeups: Annotated[EmbeddedWakeups | CeleryWakeups, Field(discriminator="type")] = EmbeddedWakeups()
    """What wakes runs up."""
    runtime: Annotated[ProcessRuntimeConfig | KubernetesRuntimeConfig, Field(discriminator="type")] = (
        ProcessRuntimeConfig()
    )
    """What trains and serves."""
    pricing: Pricing = Pricing()
    """What answers cost."""
    schedules: SchedulesConfig = SchedulesConfig()
    """Runs that begin by themselves."""

    @field_validator("records", "runs", "wakeups", "runtime", mode="before")
    @classmethod
    def _default_type(cls, value: object, info: ValidationInfo) -> object:
        """A block without a `type` is of the one that needs no server."""
        if isinstance(value, Mapping) and "type" not in value:
            return {**value, "type": "process" if info.field_name == "runtime" else "embedded"}
        return value

    @field_validator("nims")
    @classmethod
    def _unique(cls, nims: tuple[NimConfig, ...]) -> tuple[NimConfig, ...]:
        return tuple({nim.model_name: nim for nim in reversed(nims)}.values())[::-1]
