"""Settings: `config.yaml` with the blocks that users of NVIDIA's blueprint know, and ours beside them.

Read once, by the command line, and handed to `create_app`; nothing else reads it. A key that does not exist
is refused with the nearest one that does, because a setting that is silently ignored costs a day. Environment
variables `FLYWHEEL_BLOCK__FIELD=value` (a list's item by its number, `FLYWHEEL_NIMS__0__TAG`) come after the
file; values are read as YAML. The text under each field is its documentation: meaning, unit, reason.
"""

from __future__ import annotations

import difflib
import os
import types
import typing
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union

import yaml
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from flywheel.errors import ConfigError
from flywheel.hidden import hide

ENV_PREFIX = "FLYWHEEL_"
Model = typing.TypeVar("Model", bound=BaseModel)


def _address(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return _without_secret(value).rstrip("/")

    return check


def _without_secret(address: str) -> str:
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise SecretInAddress
    return address


class SecretInAddress(ValueError):
    """The value must not be repeated in a message."""

    def __init__(self) -> None:
        super().__init__(
            "must not hold a user or a password, because addresses are shown; see the settings beside it"
        )


Address = Annotated[str, AfterValidator(_address("http", "https"))]
MongoAddress = Annotated[str, AfterValidator(_address("mongodb", "mongodb+srv"))]
RedisAddress = Annotated[str, AfterValidator(_address("redis", "rediss"))]


def secret(variable: str | None, *, where: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """What the environment holds under the name `variable`, read when it is needed; None for no name.

    Raises ConfigError, naming the setting `where`, when the variable is not set.
    """
    if not variable:
        return None
    value = environment.get(variable)
    if not value:
        raise ConfigError(f"{where}: the environment variable {variable} is not set")
    hide(value)
    return value


class Block(BaseModel):
    """A block of the configuration: frozen, no unknown keys, documented field by field."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
        populate_by_name=True,
    )


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


class CustomizerConfigs(Block):
    """How the customizer trains a candidate (the blueprint's `customizer_configs`)."""

    target: str | None = None
    """Name of the customization target (meta/llama-3.2-1b-instruct@2.0); left out: `model_name`@1.0."""
    gpus: int = Field(1, ge=0)
    """GPUs of one training. On a machine without any it trains on the CPU."""
    num_nodes: int = Field(1, ge=1)
    """Machines of one training."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that share one copy of the model; for NVIDIA's customizer."""
    data_parallel_size: int = Field(1, ge=1)
    """Copies of the model that train side by side; for NVIDIA's customizer."""
    use_sequence_parallel: bool = False
    """Splits activations over the tensor-parallel GPUs; for NVIDIA's customizer."""
    micro_batch_size: int = Field(1, ge=1)
    """Records of one forward pass on one GPU; for NVIDIA's customizer (ours chooses it)."""
    training_precision: Literal["bf16", "fp16", "fp32", "bf16-mixed", "fp8-mixed", "int8"] = "bf16-mixed"
    """Number format of the training; falls back to fp32 where the hardware has no bf16."""
    max_seq_length: int = Field(4096, ge=16)
    """Tokens of the longest training row; longer ones are left out and counted."""


class NimConfig(Block):
    """One candidate: a student model under test."""

    model_name: str = Field(min_length=1)
    """Name of the model, as clients ask for it: meta/llama-3.2-1b-instruct."""
    model_type: Literal["llm", "embedding"] = "llm"
    """What it does."""
    model_path: str | None = None
    """Where the weights are: a folder, or a repository on the hub. Left out: `model_name`."""
    context_length: int = Field(ge=16)
    """Tokens that fit into one request with its answer."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that serving takes; null where something else serves the model already, or on a CPU."""
    pvc_size: str | None = None
    """Disk for the model's cache on Kubernetes, such as 25Gi."""
    registry_base: str = "nvcr.io/nim"
    """Registry and folder of the image, for the engine `nim`."""
    tag: str | None = None
    """Tag of the image, for the engines `nim` and `vllm`."""
    image: str | None = None
    """Image of the engine on Kubernetes, with its tag, for the engines `local` and `vllm`; null: the
    runtime's `image`, and vllm/vllm-openai."""
    engine: Literal["local", "vllm", "nim"] = "local"
    """What serves it: our own small server, vLLM, or an NVIDIA NIM."""
    customization_enabled: bool = False
    """Whether runs train it; otherwise it is measured as it is."""
    customizer_configs: CustomizerConfigs = CustomizerConfigs()
    """How it is trained."""

    @property
    def engine_image(self) -> str | None:
        """What serves it in a cluster; None where the engine knows."""
        vllm = f"vllm/vllm-openai:{self.tag or 'latest'}" if self.engine == "vllm" else None
        return self.image or vllm

    @property
    def target(self) -> str:
        """Name of the customization target of this model."""
        return self.customizer_configs.target or f"{self.model_name}@1.0"


class LlmJudgeConfig(Block):
    """The model that judges answers. Left out, or without a `url`: the embedded text-matcher stands in."""

    deployment_type: Literal["remote", "local"] = Field(
        "remote", validation_alias=AliasChoices("deployment_type", "type")
    )
    """`remote`: an OpenAI-compatible address; `local`: a candidate-like deployment of its own."""
    model_name: str | None = Field(None, validation_alias=AliasChoices("model_name", "model_id"))
    """Name of the judge model."""
    url: Annotated[str, AfterValidator(_without_secret)] | None = None
    """Full address of its chat completions: https://…/v1/chat/completions."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is never written anywhere."""
    context_length: int | None = None
    """Tokens of the judge's context, for a local one."""
    gpus: int | None = None
    """GPUs of a local judge."""
    pvc_size: str | None = None
    """Disk of a local judge."""
    registry_base: str = "nvcr.io/nim"
    """Registry of a local judge's image."""
    tag: str | None = None
    """Tag of a local judge's image."""

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The judge's key, read from the environment when it is needed; None where no key is configured."""
        value = secret(self.api_key_env, where="llm_judge_config.api_key_env", environment=environment)
        return SecretStr(value) if value else None


class TeacherConfig(Block):
    """The teacher, to be asked again on the holdout: how far it agrees with its own log is the ceiling that a
    student can be expected to reach. Left out, the log itself is, which is stricter."""

    model_name: str = Field(min_length=1)
    """Name of the model."""
    url: Address
    """Full address of its chat completions: https://…/v1/chat/completions."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The key, read when it is needed; None where none is configured."""
        value = secret(self.api_key_env, where="teacher_config.api_key_env", environment=environment)
        return SecretStr(value) if value else None


class TrainingConfig(Block):
    """How a customization trains."""

    training_type: Literal["sft"] = "sft"
    """Supervised fine-tuning on the teacher's answers."""
    finetuning_type: Literal["lora"] = "lora"
    """LoRA adapters (Hu et al. 2021, arXiv:2106.09685)."""
    epochs: int = Field(2, ge=1)
    """Passes over the training part. The best one by validation loss is kept."""
    batch_size: int = Field(16, ge=1)
    """Records per step."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of the cosine schedule. Tiny models want ten times more than large ones."""
    val_check_interval: float = Field(0.25, gt=0, le=1)
    """Share of an epoch between two looks at the validation part; each also writes a checkpoint."""
    seed: int | None = None
    """Seed of initialisation and order; null: derived from the data set, so that a repeat is the same."""


class LoraConfig(Block):
    """Shape of the adapter."""

    adapter_dim: int = Field(32, ge=1)
    """Rank of the update."""
    alpha: int | None = Field(None, ge=1)
    """Scale of the update (alpha / rank); null: twice the rank."""
    adapter_dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in front of the adapter."""


class EmbeddingConfig(Block):
    """A model that turns texts into vectors, asked at an OpenAI-compatible address."""

    deployment_type: Literal["remote", "local"] = "remote"
    """`remote` needs a `url`. `local`: runs do not deploy it, so it is asked only where a `url` says what
    serves it (`python -m flywheel.serving`, a NIM); without one character n-grams stand in, by name."""
    model_name: str = Field(min_length=1)
    """Name of the model, as its server knows it."""
    url: Annotated[str, AfterValidator(_address("http", "https"))] | None = None
    """Full address of its embeddings: https://…/v1/embeddings."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is never written anywhere."""
    input_type: Literal["query", "passage", "none"] | None = None
    """What NVIDIA's retrieval models want to be told of a text; with it they also cut what is too long. Both
    sides of a comparison are told the same. null: `query` for a model named nvidia/…, nothing for others."""
    batch_size: int = Field(32, ge=1, le=2048)
    """Texts of one request; OpenAI takes 2048, a small NIM 32."""
    request_timeout: float = Field(60.0, gt=0)
    """Seconds that one request may take."""
    model_type: Literal["embedding"] = "embedding"
    """What it does; the blueprint's file may say so."""
    context_length: int | None = None
    """Tokens of the longest text, of a local one; read for the blueprint's sake."""
    gpus: int | None = None
    """GPUs of a local one; read for the blueprint's sake."""
    pvc_size: str | None = None
    """Disk of a local one; read for the blueprint's sake."""
    registry_base: str = "nvcr.io/nim"
    """Registry of a local one's image; read for the blueprint's sake."""
    tag: str | None = None
    """Tag of a local one's image; read for the blueprint's sake."""

    @model_validator(mode="after")
    def _asked_somewhere(self) -> Self:
        if self.deployment_type == "remote" and self.url is None:
            raise ValueError("a remote one needs a url, such as https://host/v1/embeddings")
        return self

    @property
    def told_type(self) -> str | None:
        """The `input_type` to send; None for none."""
        default = "query" if self.model_name.startswith("nvidia/") else "none"
        chosen = self.input_type or default
        return None if chosen == "none" else chosen

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The key, read when it is needed; None where none is configured."""
        where = "icl_config.similarity_config.embedding_nim_config.api_key_env"
        value = secret(self.api_key_env, where=where, environment=environment)
        return SecretStr(value) if value else None


class SimilarityConfig(Block):
    """Choice of in-context examples by likeness to the request."""

    relevance_ratio: float = Field(0.7, ge=0, le=1)
    """1 takes the most similar only; lower values trade likeness for variety."""
    embedding_nim_config: EmbeddingConfig | None = Field(
        None, validation_alias=AliasChoices("embedding_nim_config", "embedding_nim")
    )
    """The embedding model that likeness is measured with. null: character n-grams (TF-IDF), by name."""


class IclConfig(Block):
    """In-context examples of the `icl-eval`."""

    max_context_length: int = Field(8192, ge=1)
    """Tokens of the longest prompt; a candidate's own context_length bounds it too."""
    reserved_tokens: int = Field(2048, ge=0)
    """Tokens kept free for the answer."""
    max_examples: int = Field(3, ge=0)
    """Examples at most."""
    min_examples: int = Field(1, ge=0)
    """Examples at least; where fewer fit, the record is reported."""
    example_selection: Literal["uniform_distribution", "semantic_similarity"] = "uniform_distribution"
    """`uniform_distribution` over sets of tools called, or by likeness to the request."""
    similarity_config: SimilarityConfig = SimilarityConfig()
    """Only for semantic_similarity."""


class DataSplitConfig(Block):
    """How a workload's records become the parts of a data set."""

    eval_size: int = Field(20, ge=1)
    """Records of the evaluation, taken from the holdout in the order of its hash."""
    val_ratio: float = Field(0.1, ge=0, lt=1)
    """Share of the conversations outside the holdout that go to validation."""
    min_total_records: int = Field(50, ge=1)
    """A run with fewer usable records is refused."""
    random_seed: int | None = None
    """Seed of what is drawn (in-context examples); the holdout never depends on it."""
    limit: int | None = Field(10_000, ge=1)
    """Newest records that are looked at; null: all."""
    parse_function_arguments: bool = True
    """Arguments are written as objects in the data sets, as NVIDIA's services want them."""
    conflicts: Literal["majority", "latest", "drop"] = "majority"
    """What happens to one request with different answers."""


class ArgumentRule(Block):
    """How one argument of a tool call is compared, where its schema does not say."""

    mode: Literal["exact", "normalized", "date", "numeric", "any", "alike", "set"]
    """`exact`; `normalized`: without case, blanks and punctuation; `date`: ISO 8601 in any form; `numeric`:
    within `tolerance`; `any`: free text that only has to be there; `alike`: by text similarity; `set`: an
    array in any order."""
    tolerance: float = Field(0.0, ge=0)
    """Largest difference of two numbers that are the same, for `numeric`."""


class CallRules(Block):
    """When two tool calls are the same call (`scoring: schema`)."""

    strings: Literal["exact", "normalized"] = "exact"
    """Whether case, blanks and punctuation of texts count. Labels (`enum`) always count to the letter."""
    numbers: Literal["schema", "strict", "lenient"] = "schema"
    """`schema`: 5.0 is 5; `strict`: not where an integer is due; `lenient`: "5" is 5 too."""
    sequential: bool = False
    """Whether the order of several calls counts."""
    arguments: Mapping[str, ArgumentRule] = {}
    """Rules of single arguments, by `tool.argument`, or `argument` for every tool."""


class EvaluationConfig(Block):
    """How answers are scored."""

    workload_type: Literal["auto", "generic", "tool_calling"] = "auto"
    """`auto`: tool_calling where the records offer tools."""
    tool_eval_type: Literal["tool-calling-metric", "tool-calling-judge"] = "tool-calling-judge"
    """Whether tool calls are judged in addition to being compared."""
    scoring: Literal["schema", "nemo"] = "schema"
    """What `function_name` and `function_name_and_args_accuracy` mean: the same call by its tool's schema, or
    NVIDIA's published rule. Both are always measured by our evaluator; NVIDIA's knows its own only. With
    `nemo` a workload in words is measured by `similarity` alone, as NVIDIA's blueprint does."""
    call_rules: CallRules = CallRules()
    """When two tool calls are the same."""
    parallelism: int = Field(16, ge=1)
    """Requests to a candidate at once, at most."""
    request_timeout: float = Field(120.0, gt=0)
    """Seconds that one answer may take; a later one counts as wrong, with the cause `timeout`."""
    max_tokens: int = Field(512, ge=1)
    """Tokens of an answer at most."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """Share of infrastructure failures above which an evaluation is failed instead of low."""
    margin: float = Field(0.03, gt=0, lt=1)
    """How far below the teacher a student may lie and still take its place: 0.03 is three points."""


class MlflowConfig(Block):
    """Export to MLflow (the blueprint's block; read, exported in a later version)."""

    enabled: bool = False
    """Whether runs are exported."""
    tracking_uri: str = "http://0.0.0.0:5000"
    """Address of the MLflow server."""
    experiment_name_prefix: str = "data-flywheel"
    """Experiments are named PREFIX-WORKLOAD."""
    artifact_location: str = "./mlruns"
    """Where artefacts go."""


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


class Pricing(Block):
    """What answers cost, in one currency of your choice; kept for the comparison of a later version."""

    teacher_input_per_million: float | None = Field(None, ge=0)
    """Price of a million prompt tokens of the teacher."""
    teacher_output_per_million: float | None = Field(None, ge=0)
    """Price of a million answer tokens of the teacher."""
    gpu_hour: float | None = Field(None, ge=0)
    """Price of an hour of one GPU for students."""


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


def load_settings(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (None: the configuration that ships with the package) and the environment's overrides.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds a key or value that is not understood;
            the message names the key, the value and what would be right.
    """
    data = _read(path)
    name = str(path) if path else "the built-in configuration"
    for variable, text in sorted(environment.items()):
        if variable.startswith(ENV_PREFIX) and "__" in variable:
            _override(data, variable, text)
    return parse(Settings, data, where=name)


def parse(model: type[Model], data: object, *, where: str) -> Model:
    """Validate `data` as `model`; a problem becomes a ConfigError that says what would be right.

    `where` names the source of the data in the message: a file, or "the job's body".
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{where}: {_explain(model, problem)}" for problem in error.errors())
        ) from error


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """' (did you mean "x"?)' for the known name closest to `name`, or the list of all where none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else f" (known here: {', '.join(names)})"


def _read(path: Path | None) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8") if path else _built_in()
    except FileNotFoundError as error:
        raise ConfigError(
            f"no configuration file at {path}; leave --config out for the built-in one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a configuration: {error}") from error
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} must hold blocks such as nims: and training_config:, not {type(data).__name__}"
        )
    return data


def _built_in() -> str:
    """The default configuration: packed into the wheel, or `config/config.yaml` of a checkout."""
    packed = resources.files("flywheel").joinpath("default_config.yaml")
    if packed.is_file():
        return packed.read_text("utf-8")
    return (Path(__file__).parents[2] / "config" / "config.yaml").read_text("utf-8")


def _override(data: dict[str, Any], variable: str, text: str) -> None:
    *parents, last = (part.lower() for part in variable.removeprefix(ENV_PREFIX).split("__"))
    at: Any = data
    for part in parents:
        if isinstance(at, list):
            at = at[_index(at, part, variable)]
        else:
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the environment variable {variable} is not a YAML value") from error
    if isinstance(at, list):
        at[_index(at, last, variable)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise ConfigError(f"the environment variable {variable} points into a value that has no parts")


def _index(items: list[Any], part: str, variable: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise ConfigError(
            f"the environment variable {variable}: {part} is not an item of 0 to {len(items) - 1}"
        )
    return int(part)


def _explain(model: type[BaseModel], problem: Any) -> str:
    owner, path = _walk(model, problem["loc"])
    where = ".".join(path)
    match problem["type"]:
        case "extra_forbidden":
            return f"there is no setting {where}{nearest(path[-1], owner.model_fields) if owner else ''}"
        case "missing":
            return f"{where} is missing"
        case "union_tag_invalid":
            context = problem["ctx"]
            return f"{where}.type: must be one of {context['expected_tags']}, not {context['tag']!r}"
    if isinstance(problem.get("ctx", {}).get("error"), SecretInAddress):
        return f"{where} {problem['ctx']['error']}"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, not {problem['input']!r}"


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[type[BaseModel] | None, list[str]]:
    """The block that holds the last part of `loc`, and the keys on the way as they stand in the file.

    Pydantic also names the chosen member of a union (`records`, `elasticsearch`, `url`); the file does not.
    """
    blocks: list[type[BaseModel]] = [model]
    path: list[str] = []
    for part in loc[:-1]:
        if chosen := [block for block in blocks if path and part == _tag(block)]:
            blocks = chosen
            continue
        path.append(str(part))
        if isinstance(part, str):
            fields = [block.model_fields[part] for block in blocks if part in block.model_fields]
            blocks = [inner for field in fields for inner in blocks_in(field.annotation)]
    return (blocks[0] if blocks else None), [*path, *map(str, loc[-1:])]


def _tag(block: type[BaseModel]) -> str | None:
    field = block.model_fields.get("type")
    options = typing.get_args(field.annotation) if field else ()
    return str(options[0]) if len(options) == 1 else None


def blocks_in(annotation: Any) -> list[type[BaseModel]]:
    """The blocks that a field of this type may hold: several where it is a choice by `type`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        return [block for part in typing.get_args(annotation) for block in blocks_in(part)]
    return []
