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
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from flywheel.errors import ConfigError

ENV_PREFIX = "FLYWHEEL_"
Model = typing.TypeVar("Model", bound=BaseModel)


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

    nemo_base_url: str | None = None
    """Address of entity store, customizer, evaluator and deployments, such as http://nemo.test."""
    nim_base_url: str | None = None
    """Address of the model proxy. Never the same as `nemo_base_url`: both own GET /v1/models."""
    datastore_base_url: str | None = None
    """Address of the data store; the hub protocol lies under its /v1/hf."""
    nmp_namespace: str = Field("dfwbp", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
    """Namespace of everything that runs create. The blueprint's file says dfwbp."""
    nim_parallelism: int = Field(1, ge=1)
    """How many candidates may be deployed at once, over all runs. One suits a laptop and a single GPU."""

    @field_validator("nemo_base_url", "nim_base_url", "datastore_base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else value


class LoggingConfig(Block):
    """What the log shows."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Least severe line that is written. A healthy run is about twenty lines at INFO."""
    format: Literal["text", "json"] = "text"
    """`json` writes one object per line, for collectors."""


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
    """Registry and folder of the image, for the engines `nim` and `vllm`."""
    tag: str | None = None
    """Tag of the image."""
    engine: Literal["local", "vllm", "nim"] = "local"
    """What serves it: our own small server, vLLM, or an NVIDIA NIM."""
    customization_enabled: bool = False
    """Whether runs train it; otherwise it is measured as it is."""
    customizer_configs: CustomizerConfigs = CustomizerConfigs()
    """How it is trained."""

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
    url: str | None = None
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
        if not self.api_key_env:
            return None
        value = environment.get(self.api_key_env)
        if not value:
            raise ConfigError(
                f"llm_judge_config.api_key_env: the environment variable {self.api_key_env} is not set"
            )
        return SecretStr(value)


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


class SimilarityConfig(Block):
    """Choice of in-context examples by likeness to the request."""

    relevance_ratio: float = Field(0.7, ge=0, le=1)
    """1 takes the most similar only; lower values trade likeness for variety."""
    embedding_nim: NimConfig | None = None
    """The blueprint's embedding model. Not asked yet: character n-grams stand in; the data set says so."""


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


class EvaluationConfig(Block):
    """How answers are scored."""

    workload_type: Literal["auto", "generic", "tool_calling"] = "auto"
    """`auto`: tool_calling where the records offer tools."""
    tool_eval_type: Literal["tool-calling-metric", "tool-calling-judge"] = "tool-calling-judge"
    """Whether tool calls are judged in addition to being compared."""
    parallelism: int = Field(16, ge=1)
    """Requests to a candidate at once, at most."""
    request_timeout: float = Field(120.0, gt=0)
    """Seconds that one answer may take; a later one counts as wrong, with the cause `timeout`."""
    max_tokens: int = Field(512, ge=1)
    """Tokens of an answer at most."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """Share of infrastructure failures above which an evaluation is failed instead of low."""


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


class EmbeddedRuns(Block):
    """Runs in an SQLite file of the data folder."""

    type: Literal["embedded"] = "embedded"
    """Which store."""


class EmbeddedWakeups(Block):
    """A loop in the process wakes runs up."""

    type: Literal["embedded"] = "embedded"
    """Which waker."""
    workers: int = Field(2, ge=1)
    """Runs that are advanced at the same time."""
    poll_interval: float = Field(0.5, gt=0)
    """Seconds between two looks at a remote job."""


class ProcessRuntimeConfig(Block):
    """Trainings and servers are child processes."""

    type: Literal["process"] = "process"
    """Which runtime."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that may be given out; null: those this machine has."""
    max_trainings: int = Field(1, ge=1)
    """Trainings at once; on a CPU they only slow each other down."""


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
    nims: tuple[NimConfig, ...] = ()
    """The candidates."""
    llm_judge_config: LlmJudgeConfig | None = None
    """The judge."""
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
    records: EmbeddedRecords = EmbeddedRecords()
    """Where records are kept."""
    runs: EmbeddedRuns = EmbeddedRuns()
    """Where runs are kept."""
    wakeups: EmbeddedWakeups = EmbeddedWakeups()
    """What wakes runs up."""
    runtime: ProcessRuntimeConfig = ProcessRuntimeConfig()
    """What trains and serves."""
    pricing: Pricing = Pricing()
    """What answers cost."""

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
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        owner = _owner(model, problem["loc"][:-1])
        hint = nearest(str(problem["loc"][-1]), owner.model_fields) if owner else ""
        return f"there is no setting {where}{hint}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, not {problem['input']!r}"


def _owner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The block that `path` leads to, through lists and optional blocks."""
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _block_in(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _block_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        return next((found for part in typing.get_args(annotation) if (found := _block_in(part))), None)
    return None
