"""Blocks of what Flywheel runs on: services, stores, wake-ups, runtimes, logs and traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from flywheel.config.block import Address, Block, MongoAddress, RedisAddress


class NmpConfig(Block):
    """Where the NeMo services are: ours, or NVIDIA's. Left out, they are what `flywheel serve` opens."""

    nemo_base_url: Address | None = None
    """Address of entity store, customizer, evaluator and deployments, such as http://nemo.test."""
    customizer_base_url: Address | None = None
    """Address of the customizer alone, where each service has its own; null: `nemo_base_url`."""
    evaluator_base_url: Address | None = None
    """Address of the evaluator alone; null: `nemo_base_url`."""
    deployments_base_url: Address | None = None
    """Address of the deployment manager alone; null: `nemo_base_url`."""
    nim_base_url: Address | None = None
    """Address of the model proxy. Never the same as `nemo_base_url`: both own GET /v1/models."""
    datastore_base_url: Address | None = None
    """Address of the data store; the hub protocol lies under its /v1/hf."""
    nmp_namespace: str = Field("dfwbp", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
    """Namespace of everything that runs create. The blueprint's file says dfwbp."""
    nim_parallelism: int = Field(1, ge=1)
    """How many candidates may be deployed at once, over all runs. One suits a laptop and a single GPU."""


class LoggingConfig(Block):
    """What the log shows."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Least severe line that is written. A healthy run is about twenty lines at INFO."""
    format: Literal["text", "json"] = "text"
    """`json` writes one object per line, for collectors."""


class TelemetryConfig(Block):
    """Traces, by OpenTelemetry. Metrics need no setting: every address has them under /metrics."""

    otlp_endpoint: Address | None = None
    """Address of a collector that takes OTLP over HTTP, such as http://collector:4318; null: no traces. Its
    credentials, where it wants some, are in the environment: OTEL_EXPORTER_OTLP_HEADERS."""
    service_name: str = Field("flywheel", min_length=1, max_length=255)
    """Name of this installation in the traces; `flywheel.role` tells its processes apart."""
    sample_ratio: float = Field(1.0, ge=0, le=1)
    """Share of the traces that are kept. What begins elsewhere is kept as it was decided there."""
    export_interval: float = Field(5.0, gt=0)
    """Seconds that spans wait to be sent together."""


class MlflowConfig(Block):
    """Export to MLflow: a run for each candidate of a run that came to a decision. Needs the extra
    `mlflow`."""

    enabled: bool = False
    """Whether runs are exported. A server that cannot be reached is noted in the run's log and fails
    nothing."""
    tracking_uri: Address = "http://0.0.0.0:5000"
    """Address of the MLflow server. Its credentials, where it wants some, are in the environment:
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."""
    experiment_name_prefix: str = Field("data-flywheel", min_length=1, max_length=100)
    """Experiments are named PREFIX-CLIENT/WORKLOAD."""
    artifact_location: str = "./mlruns"
    """Where the artefacts of a new experiment go: an address such as s3://bucket/folder, which this program
    must be able to write to. A path without a scheme, such as the blueprint's, leaves it to the MLflow
    server."""


class EmbeddedRecords(Block):
    """Records in an SQLite file of the data folder."""

    type: Literal["embedded"] = "embedded"
    """Which store."""
    retention_days: float | None = Field(None, gt=0)
    """Records older than this are removed by `flywheel records prune`; null: kept for good."""


class ElasticsearchRecords(Block):
    """Records in Elasticsearch 8 or 9."""

    type: Literal["elasticsearch"]
    """Which store."""
    url: Address = "http://localhost:9200"
    """Address of the cluster, without user and password."""
    index: str = Field("flywheel", pattern=r"^[a-z0-9][a-z0-9._-]{0,100}$")
    """Name of the index that holds the records. The blueprint's is flywheel, and is read as it is."""
    username: str | None = None
    """User, where the cluster asks for one."""
    password_env: str | None = None
    """Name of the environment variable that holds the user's password."""
    api_key_env: str | None = None
    """Name of the environment variable that holds an API key (its encoded form), instead of a user."""
    ca_file: Path | None = None
    """Certificate authority of the cluster's certificate, as a PEM file; null: those of the system."""
    request_timeout: float = Field(30.0, gt=0)
    """Seconds that one request may take."""
    shards: int = Field(1, ge=1)
    """Primary shards of the index. One holds some 50 GB well."""
    replicas: int = Field(0, ge=0)
    """Copies of each shard; 1 or more where losing a machine must not lose records."""
    retention_days: float | None = Field(None, gt=0)
    """Records older than this are removed by `flywheel records prune`; null: kept for good."""

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        """An API key, or a user with a password, or nothing."""
        if self.api_key_env and (self.username or self.password_env):
            raise ValueError("name either api_key_env, or username and password_env, not both")
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env belong together: name both or neither")
        return self


class EmbeddedRuns(Block):
    """Runs in an SQLite file of the data folder."""

    type: Literal["embedded"] = "embedded"
    """Which store."""


class MongoRuns(Block):
    """Runs in MongoDB."""

    type: Literal["mongo"]
    """Which store."""
    url: MongoAddress = "mongodb://localhost:27017"
    """Connection string, without user and password."""
    database: str = Field("flywheel", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Name of the database."""
    username: str | None = None
    """User, where the server asks for one."""
    password_env: str | None = None
    """Name of the environment variable that holds the user's password."""
    ca_file: Path | None = None
    """Certificate authority of the server's certificate, as a PEM file; null: those of the system."""
    request_timeout: float = Field(20.0, gt=0)
    """Seconds that one request may take, the search for a server included."""


class EmbeddedWakeups(Block):
    """A loop in the process wakes runs up."""

    type: Literal["embedded"] = "embedded"
    """Which waker."""
    workers: int = Field(2, ge=1)
    """Runs that are advanced at the same time."""
    poll_interval: float = Field(0.5, gt=0)
    """Seconds between two looks at a remote job."""


class CeleryWakeups(Block):
    """Celery workers (`flywheel worker`) wake runs up, on as many machines as you like."""

    type: Literal["celery"]
    """Which waker."""
    broker_url: RedisAddress = "redis://localhost:6379/0"
    """Address of Redis, without a password."""
    password_env: str | None = None
    """Name of the environment variable that holds Redis' password."""
    username: str | None = None
    """User of Redis, where it has users."""
    ca_file: Path | None = None
    """Certificate authority of Redis' certificate (rediss://), as a PEM file; null: those of the system."""
    queue: str = Field("flywheel", pattern=r"^[A-Za-z0-9._-]{1,63}$")
    """Name of the queue, so that several installations can share one Redis."""
    workers: int = Field(2, ge=1)
    """Runs that one worker process advances at the same time."""
    poll_interval: float = Field(1.0, gt=0)
    """Seconds between two looks at a remote job."""
    sweep_interval: float = Field(30.0, gt=0)
    """Seconds between two searches for runs that nobody advances, such as those whose wake-up was lost."""


class ProcessRuntimeConfig(Block):
    """Trainings and servers are child processes."""

    type: Literal["process"] = "process"
    """Which runtime."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that may be given out; null: those this machine has."""
    max_trainings: int = Field(1, ge=1)
    """Trainings at once; on a CPU they only slow each other down."""


class Toleration(Block):
    """A taint of nodes that pods put up with (Kubernetes' own words)."""

    key: str | None = None
    """Key of the taint; null: every key."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the value counts."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; null: every effect."""
    toleration_seconds: int | None = Field(None, ge=0)
    """How long a NoExecute taint is put up with; null: for good."""


class KubernetesRuntimeConfig(Block):
    """Trainings are Jobs, servers are Deployments with a Service, in a Kubernetes cluster."""

    type: Literal["kubernetes"]
    """Which runtime."""
    namespace: str | None = None
    """Namespace of what is launched; null: the pod's own, else that of the kubeconfig's context."""
    instance: str = Field("flywheel", pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
    """Name of this installation, by which it finds again what it launched; two in one namespace need two."""
    kubeconfig: Path | None = None
    """Kubeconfig file; null: the pod's service account inside a cluster, else the usual kubeconfig."""
    context: str | None = None
    """Context of the kubeconfig; null: its current one."""
    image: str = "flywheel:latest"
    """Image of trainings and of the engine `local`: ours, in its CUDA variant where there are GPUs."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When nodes fetch images."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets with the registries' credentials."""
    env_secrets: tuple[str, ...] = ()
    """Names of Secrets whose entries launched pods have in their environment: HF_TOKEN, NGC_API_KEY."""
    service_account: str | None = None
    """Service account of launched pods, which need no rights; null: the default one. No token is mounted."""
    volume_claim: str | None = None
    """Claim with this service's data folder; launched pods have it at the same place. Needed where the
    service itself runs in the cluster."""
    host_path: bool = False
    """Launched pods find the data folder on their node instead: for a cluster on this very machine."""
    storage_class: str | None = None
    """Storage class of claims that are made; null: the cluster's default."""
    node_selector: Mapping[str, str] = {}
    """Labels of the nodes that launched pods may run on."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that launched pods put up with."""
    gpu_resource: str = "nvidia.com/gpu"
    """Name of the resource that a GPU is."""
    cpu_request: str = "1"
    """CPU that a launched pod asks for."""
    memory_request: str = "2Gi"
    """Memory that a launched pod asks for."""
    memory_limit: str | None = None
    """Memory above which a pod is ended; null: no limit."""
    run_as_user: int = Field(10001, ge=1)
    """User id, and group of the volumes, of launched pods; the one of our image."""
    kueue_queue: str | None = None
    """Name of the LocalQueue of Kueue that launched work waits in; null: no Kueue."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that may be in use at once, by trainings and servers together; null: as many as the cluster gives,
    and what is too much waits there. 0 trains and serves on CPUs."""
    max_trainings: int = Field(4, ge=1)
    """Trainings at once."""
