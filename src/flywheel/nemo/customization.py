"""NeMo Customizer, `/v1/customization`: what goes over the wire, and the client.

Requests are strict in what they need and let everything else through; what is ours beside NeMo's fields (the
estimate of the time left, tokens per second) is optional, because a real NeMo customizer does not send it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import ServiceClient

JobState = Literal[
    "created", "pending", "running", "cancelled", "cancelling", "failed", "completed", "ready", "unknown"
]
TrainingType = Literal["sft", "dpo", "distillation", "grpo"]
FinetuningType = Literal["lora", "lora_merged", "all_weights"]
Precision = Literal["int8", "bf16", "fp16", "fp32", "fp8-mixed", "bf16-mixed"]
FINISHED: Final[frozenset[JobState]] = frozenset({"completed", "failed", "cancelled"})


class Wire(BaseModel):
    """Whatever else the other side sends is kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


# What is asked for


class TrainingOption(Wire):
    training_type: TrainingType
    finetuning_type: FinetuningType
    num_gpus: int = Field(1, ge=0)
    micro_batch_size: int = Field(1, ge=1)
    num_nodes: int = Field(1, ge=1)


class TargetBody(Wire):
    """A base model that can be trained. `model_path` is a folder or a hub's name; left out, `base_model`."""

    name: str | None = None
    namespace: str = "default"
    num_parameters: int = Field(0, ge=0)
    precision: Precision = "bf16-mixed"
    base_model: str | None = None
    model_path: str | None = None
    model_uri: str | None = None
    enabled: bool = True


class ConfigBody(Wire):
    """How a target may be trained. `target` is a target's name, or a target."""

    name: str | None = None
    namespace: str = "default"
    target: str | TargetBody
    training_options: list[TrainingOption] = Field(min_length=1)
    training_precision: Precision = "bf16-mixed"
    max_seq_length: int = Field(ge=16)
    prompt_template: str | None = "{prompt} {completion}"


class LoraParameters(Wire):
    adapter_dim: int = Field(32, ge=1)
    alpha: int = Field(16, ge=1)
    adapter_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: list[str] | None = None


class Hyperparameters(Wire):
    """NeMo's names and defaults. `val_check_interval` is a share of an epoch, or steps if above 1."""

    finetuning_type: FinetuningType
    training_type: TrainingType = "sft"
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    min_learning_rate: float | None = None
    max_steps: int | None = None
    val_check_interval: float = Field(0.25, gt=0)
    log_every_n_steps: int = Field(10, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    warmup_steps: int | None = Field(None, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.99, ge=0, lt=1)
    optimizer: Literal[
        "adam_with_cosine_annealing",
        "adam_with_flat_lr",
        "adamw_with_cosine_annealing",
        "adamw_with_flat_lr",
    ] = "adamw_with_cosine_annealing"
    seed: int | None = None
    sequence_packing_enabled: bool = False
    lora: LoraParameters | None = None


class DatasetRef(Wire):
    name: str | None = None
    namespace: str = "default"
    files_url: str | None = None


class JobBody(Wire):
    config: str | ConfigBody
    dataset: str | DatasetRef
    hyperparameters: Hyperparameters
    name: str | None = None
    namespace: str = "default"
    output_model: str | None = None
    description: str | None = None
    project: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)
    integrations: list[dict[str, Any]] | None = None


# What is answered


class StatusLog(Wire):
    updated_at: str | None = None
    message: str | None = None
    detail: str | None = None


class MetricPoint(Wire):
    step: int | None = None
    value: float | None = None
    timestamp: str | None = None


class Metrics(Wire):
    keys: list[str] = Field(default_factory=list)
    metrics: dict[str, list[MetricPoint]] = Field(default_factory=dict)


class CustomizationStatus(Wire):
    """Where a job stands. Losses are per token; `elapsed_time` and `eta_s` are seconds."""

    status: JobState = "unknown"
    steps_completed: int = 0
    epochs_completed: int = 0
    percentage_done: float = 0.0
    steps_per_epoch: int | None = None
    best_epoch: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    elapsed_time: float = 0.0
    metrics: Metrics | None = None
    status_logs: list[StatusLog] = Field(default_factory=list)
    steps_total: int | None = None
    """Ours: optimizer steps of the whole training."""
    epoch: float | None = None
    """Ours: epochs done, with a fraction."""
    tokens_per_second: float | None = None
    """Ours: speed of the training."""
    eta_s: float | None = None
    """Ours: seconds that the training will still take."""

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def reason(self) -> str | None:
        """The last detail of the log: why a job failed, or what it waits for."""
        return next((entry.detail for entry in reversed(self.status_logs) if entry.detail), None)


class CustomizationJob(Wire):
    id: str
    status: JobState = "unknown"
    status_details: CustomizationStatus = Field(default_factory=CustomizationStatus)
    output_model: str | None = None
    namespace: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


class CustomizationConfig(Wire):
    name: str | None = None
    namespace: str | None = None
    max_seq_length: int
    training_options: list[TrainingOption] = Field(default_factory=list)
    training_precision: str | None = None


class CustomizationClient(ServiceClient):
    """One customizer. Sync; safe calls are repeated on passing trouble. Raises ServiceCallFailed."""

    def ensure_config(self, body: Mapping[str, Any]) -> CustomizationConfig:
        """Create the config, or, where its name exists, make it what `body` says."""
        found = self._call.json("POST", "/v1/customization/configs", dict(body), fine=frozenset({409}))
        if found is None:
            path = f"/v1/customization/configs/{_quoted(body['namespace'])}/{_quoted(body['name'])}"
            change = {k: v for k, v in body.items() if k not in ("name", "namespace", "target")}
            found = self._call.json("PATCH", path, change)
        return CustomizationConfig.model_validate(found)

    def config(self, namespace: str, name: str) -> CustomizationConfig | None:
        path = f"/v1/customization/configs/{_quoted(namespace)}/{_quoted(name)}"
        found = self._call.json("GET", path, fine=frozenset({404}))
        return None if found is None else CustomizationConfig.model_validate(found)

    def delete_config(self, namespace: str, name: str) -> None:
        """Delete it; absent is fine."""
        path = f"/v1/customization/configs/{_quoted(namespace)}/{_quoted(name)}"
        self._call.json("DELETE", path, fine=frozenset({404, 204}))

    def create_job(self, body: Mapping[str, Any]) -> CustomizationJob:
        return CustomizationJob.model_validate(self._call.json("POST", "/v1/customization/jobs", dict(body)))

    def job(self, job_id: str) -> CustomizationJob:
        found = self._call.json("GET", f"/v1/customization/jobs/{_quoted(job_id)}")
        return CustomizationJob.model_validate(found)

    def jobs_with(self, custom_fields: Mapping[str, str]) -> list[CustomizationJob]:
        """The jobs posted with these custom fields, newest first: how a restarted run finds its own."""
        query = {f"filter[custom_fields][{key}]": value for key, value in custom_fields.items()}
        query |= {"page_size": "100", "sort": "-created_at"}
        page = self._call.json("GET", "/v1/customization/jobs", query=query)
        jobs = [CustomizationJob.model_validate(document) for document in page.get("data", [])]
        return [job for job in jobs if custom_fields.items() <= job.custom_fields.items()]

    def job_status(self, job_id: str) -> CustomizationStatus:
        found = self._call.json("GET", f"/v1/customization/jobs/{_quoted(job_id)}/status")
        return CustomizationStatus.model_validate(found)

    def container_logs(self, job_id: str) -> dict[str, Any]:
        """What the training program printed: `{entries: {name: {logs, …}}, error}`."""
        found: dict[str, Any] = self._call.json(
            "GET", f"/v1/customization/jobs/{_quoted(job_id)}/container-logs"
        )
        return found

    def output(self, job_id: str, tail: int) -> list[str]:
        """The last lines that the training program printed; none where the service does not know them."""
        path = f"/v1/customization/jobs/{_quoted(job_id)}/container-logs"
        found = self._call.json("GET", path, query={"tail": str(tail)}, fine=frozenset({404}))
        entries = (found or {}).get("entries") or {}
        texts = [text for entry in entries.values() for text in (entry.get("logs") or {}).values() if text]
        return [line for text in texts for line in str(text).splitlines()][-tail:]

    def cancel_job(self, job_id: str) -> None:
        """Cancel; a job that has finished, or is not there, is left as it is."""
        path = f"/v1/customization/jobs/{_quoted(job_id)}/cancel"
        self._call.json("POST", path, fine=frozenset({404, 409, 204}))


def _quoted(part: str) -> str:
    return quote(part, safe="@+/")
