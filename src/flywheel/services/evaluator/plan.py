"""What a job is to do, read from its configuration and target: checked once when posted, read again when run.

Everything that can be known to be wrong is said at the POST, with its place in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flywheel.chat import ChatResult
from flywheel.errors import UserError
from flywheel.evaluation import templates
from flywheel.evaluation.judge import Judge
from flywheel.evaluation.metrics import Embed, Metric, build_metric
from flywheel.services.evaluator.wire import masked

TASK_TYPES: Final = ("chat-completion", "completion", "data")


class BadPlan(UserError):
    """`where` in a configuration or target, and what would be right."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model and where it answers; `proxied` if that is the model proxy."""

    base_url: str
    model: str
    api_key: str | None = None
    proxied: bool = False


class RunParams(BaseModel):
    """`config.params`. What is not set is the server's own default."""

    model_config = ConfigDict(extra="ignore")

    parallelism: int = Field(default=16, ge=1, le=1024)
    """The most requests at once."""
    request_timeout: float = Field(default=120, gt=0)
    """Seconds for one request."""
    max_retries: int = Field(default=3, ge=0, le=100)
    """Further tries of a request after 429, 5xx or a failed connection."""
    stream: bool = True
    """Whether chat completions are streamed, which times the first token. Ours alone."""
    limit_samples: int | None = Field(default=None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    extra: dict[str, Any] | None = None
    """Further fields of every request."""

    def request_fields(self) -> dict[str, Any]:
        """What these parameters put into a request that does not say it itself."""
        own = self.model_dump(include={"temperature", "top_p", "max_tokens", "stop"}, exclude_none=True)
        return {**(self.extra or {}), **own}


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: given, or files on a hub."""

    rows: tuple[Mapping[str, Any], ...] | None = None
    files_url: str | None = None
    hf_endpoint: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    name: str
    type: str
    source: Source
    template: Any
    metrics: Mapping[str, Metric]
    scorers: Mapping[str, Any]
    """The metrics' configurations with their versions: what a stored score depends on."""


@dataclass(frozen=True, slots=True)
class Plan:
    params: RunParams
    target: Endpoint | None
    tasks: tuple[TaskPlan, ...]


JudgeAt = Callable[[Endpoint], Judge]
EmbedAt = Callable[[Endpoint], Embed]


def make_plan(
    config: Mapping[str, Any],
    target: Mapping[str, Any],
    nim_url: str,
    judge_at: JudgeAt,
    embed_at: EmbedAt,
) -> Plan:
    """Raises BadPlan, BadMetric and BadTemplate."""
    if config.get("type") != "custom":
        raise BadPlan("config.type", f"{config.get('type')!r} is not served here; give 'custom' and tasks")
    try:
        params = RunParams.model_validate(config.get("params") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["config.params", *map(str, first["loc"])])
        raise BadPlan(place, f"{first['msg']}, got {first['input']!r}") from error
    tasks = config.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        raise BadPlan("config.tasks", "names no task")
    model = target.get("model")
    endpoint = endpoint_of(model, "target.model", nim_url) if target.get("type") == "model" else None
    plans = tuple(
        _task(str(name), task, target, endpoint, nim_url, judge_at, embed_at) for name, task in tasks.items()
    )
    return Plan(params, endpoint, plans)


def check_plan(config: Mapping[str, Any], target: Mapping[str, Any], nim_url: str) -> None:
    """Raises whatever `make_plan` would; nobody is asked anything."""
    make_plan(
        config,
        target,
        nim_url,
        lambda endpoint: Judge(endpoint.model, _nobody, _Forgetful()),
        lambda endpoint: _no_vectors,
    )


class _Forgetful:
    def get(self, key: str) -> str | None:
        return None

    def put(self, key: str, answer: str) -> None:
        return None


async def _nobody(body: Mapping[str, Any]) -> ChatResult:
    raise AssertionError("a plan that is only checked asks no judge")


async def _no_vectors(texts: Sequence[str], input_type: str | None) -> list[list[float]]:
    raise AssertionError("a plan that is only checked embeds nothing")


def endpoint_of(model: Any, where: str, nim_url: str) -> Endpoint:
    """A name is served by the model proxy; an `api_endpoint` says itself where. Raises BadPlan."""
    if isinstance(model, str) and model:
        return Endpoint(proxy_url(nim_url), model, proxied=True)
    if not isinstance(model, Mapping):
        raise BadPlan(where, f"{model!r} is neither a model's name nor an object with an api_endpoint")
    api = model.get("api_endpoint")
    if api is None and model.get("name"):
        namespace = model.get("namespace")
        name = f"{namespace}/{model['name']}" if namespace else str(model["name"])
        return Endpoint(proxy_url(nim_url), name, proxied=True)
    if not isinstance(api, Mapping) or not api.get("url") or not api.get("model_id"):
        raise BadPlan(f"{where}.api_endpoint", "needs url and model_id")
    return Endpoint(str(api["url"]), str(api["model_id"]), api.get("api_key") or None)


def proxy_url(nim_url: str) -> str:
    """The root of OpenAI's routes at the model proxy."""
    return nim_url.rstrip("/").removesuffix("/v1") + "/v1"


def _task(
    name: str,
    task: Any,
    target: Mapping[str, Any],
    endpoint: Endpoint | None,
    nim_url: str,
    judge_at: JudgeAt,
    embed_at: EmbedAt,
) -> TaskPlan:
    where = f"config.tasks.{name}"
    kind = task.get("type") if isinstance(task, Mapping) else None
    if kind not in TASK_TYPES:
        raise BadPlan(f"{where}.type", f"{kind!r} is none of {', '.join(TASK_TYPES)}")
    template = (task.get("params") or {}).get("template")
    if kind != "data" and endpoint is not None and template is None:
        raise BadPlan(f"{where}.params.template", "is required: it makes a row into a request")
    templates.check(template, f"{where}.params.template")
    metrics = task.get("metrics")
    if not isinstance(metrics, Mapping) or not metrics:
        raise BadPlan(f"{where}.metrics", "names no metric")

    def judge_of(model: Any, place: str) -> Judge:
        return judge_at(endpoint_of(model, place, nim_url))

    def embed_of(model: Any, place: str) -> Embed:
        return embed_at(endpoint_of(model, place, nim_url))

    built = {str(m): build_metric(c, f"{where}.metrics.{m}", judge_of, embed_of) for m, c in metrics.items()}
    scorers = {m: {"version": metric.version, "config": masked(metrics[m])} for m, metric in built.items()}
    return TaskPlan(name, str(kind), _source(task, target, where), template, built, scorers)


def _source(task: Mapping[str, Any], target: Mapping[str, Any], where: str) -> Source:
    if target.get("type") == "rows":
        rows = target.get("rows")
        if not isinstance(rows, list) or not rows:
            raise BadPlan("target.rows", "has no rows")
        return Source(rows=tuple(rows))
    if target.get("type") == "dataset" and target.get("dataset"):
        return _files(target["dataset"], "target.dataset")
    if target.get("type") == "cached_outputs":
        return _files(target.get("cached_outputs"), "target.cached_outputs")
    if target.get("type") not in ("model", "dataset"):
        raise BadPlan("target.type", f"{target.get('type')!r} is not served here")
    return _files(task.get("dataset"), f"{where}.dataset")


def _files(dataset: Any, where: str) -> Source:
    if isinstance(dataset, str) and dataset:
        url = dataset if "://" in dataset else f"hf://datasets/{dataset}"
        return Source(files_url=url)
    if not isinstance(dataset, Mapping) or not dataset.get("files_url"):
        raise BadPlan(f"{where}.files_url", "is required, as in hf://datasets/NAMESPACE/NAME/FILE.jsonl")
    limit = dataset.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise BadPlan(f"{where}.limit", f"{limit!r} is not a whole number from 1 up")
    return Source(
        files_url=str(dataset["files_url"]), hf_endpoint=dataset.get("hf_endpoint") or None, limit=limit
    )
