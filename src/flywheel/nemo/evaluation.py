"""NeMo Evaluator, `/v1/evaluation`: what goes over the wire, the client, and the jobs that a run posts.

The orchestrator measures every candidate through this file and nothing else, so it works the same against our
evaluator and against NVIDIA's. What is ours beside theirs (intervals, failure classes, `text-matcher`, the
samples' page) is optional in every model: a real NeMo evaluator does not send it. Nothing is scored here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import Caller

TOOL_TASK: Final = "custom-tool-calling"
TEXT_TASK: Final = "llm-as-judge"
TEXT_TASK_WITHOUT_JUDGE: Final = "text-matching"
JSON_MATCH: Final = "json_match"
SIMILARITY_SCALE: Final = (1, 10)
ORDER_SEED: Final = 42
"""Draws for each record whether a judge sees the reference or the candidate first."""

JobState = Literal[
    "created", "pending", "running", "cancelled", "cancelling", "failed", "completed", "ready", "unknown"
]
FINISHED: Final[frozenset[JobState]] = frozenset({"completed", "failed", "cancelled"})


class _Wire(BaseModel):
    """Whatever else a server sends is kept and ignored."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class StatusDetails(_Wire):
    message: str | None = None
    progress: float | None = None
    """Percent of the samples, 0 to 100."""
    samples_processed: int | None = None
    task_status: dict[str, str] = Field(default_factory=dict)


class EvaluationJob(_Wire):
    id: str
    status: JobState = "unknown"
    status_details: StatusDetails = Field(default_factory=StatusDetails)
    namespace: str | None = None
    result: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def progress(self) -> float:
        """Percent, 0 to 100; a completed job is at 100 whatever the server says."""
        return 100.0 if self.status == "completed" else self.status_details.progress or 0.0


class ConfidenceInterval(_Wire):
    """Ours: the interval of a score's mean."""

    level: float
    low: float
    high: float
    method: str
    design_effect: float | None = None
    """Only from a cluster bootstrap: variance over that of independent records."""


class ScoreStats(_Wire):
    count: int | None = None
    sum: float | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    stddev: float | None = None
    variance: float | None = None
    stderr: float | None = None
    sum_squared: float | None = None
    nan_count: int | None = None
    """Samples that have no value for this score; they are not in `count`."""
    confidence_interval: ConfidenceInterval | None = None


class Score(_Wire):
    value: float
    stats: ScoreStats | None = None


class MetricResult(_Wire):
    scores: dict[str, Score] = Field(default_factory=dict)


class TaskResult(_Wire):
    metrics: dict[str, MetricResult] = Field(default_factory=dict)


class EvaluationResult(_Wire):
    id: str | None = None
    job: str
    tasks: dict[str, TaskResult] = Field(default_factory=dict)
    groups: dict[str, Any] = Field(default_factory=dict)
    custom_fields: dict[str, Any] = Field(default_factory=dict)
    """Ours: `latency_ms {mean, p50, p95, first_token? {mean, p50, p95}}`, `usage {prompt_tokens,
    completion_tokens}`, `failures {class: n}`, `samples {total, infrastructure_failures}`, `scorers {metric:
    {type, version}}`, `judge_agreement {task: {metric.score: {right_from, unscored, with_score?,
    with_people?}}}`."""


# What a run reads out of a result: (task, metric, score) on the wire -> the name in /api/jobs.
_TOOL_ACCURACY: Final = (TOOL_TASK, "tool-calling-accuracy")
_TEXT_TASKS: Final = (TEXT_TASK, TEXT_TASK_WITHOUT_JUDGE)
_COMPANIONS: Final = {
    ("json-match", JSON_MATCH): JSON_MATCH,
    ("json-match", "json_valid"): "json_valid",
    ("rouge", "rouge_L_score"): "rouge_l",
    ("exact-match", "em"): "exact_match",
    ("f1", "f1"): "f1",
    ("embedding-similarity", "embedding_similarity"): "embedding_similarity",
}
_RUN_SCORES: Final[Mapping[tuple[str, str, str], str]] = {
    (TOOL_TASK, "correctness", "rating"): "tool_calling_correctness",
    (TEXT_TASK, "llm-judge", "similarity"): "similarity",
    (TEXT_TASK_WITHOUT_JUDGE, "text-matcher", "similarity"): "similarity",
    **{(task, *score): shown for task in _TEXT_TASKS for score, shown in _COMPANIONS.items()},
    (*_TOOL_ACCURACY, "call_decision_accuracy"): "call_decision_accuracy",
    (*_TOOL_ACCURACY, "call_f1"): "call_f1",
    (*_TOOL_ACCURACY, "argument_accuracy"): "argument_accuracy",
}
_NEMO_NAMES: Final = {
    "function_name": "function_name_accuracy",
    "function_name_and_args_accuracy": "function_name_and_args_accuracy",
}


def run_scores(result: EvaluationResult, scoring: Literal["schema", "nemo"] = "nemo") -> dict[str, Score]:
    """The scores of a result by the names that a run shows; a score that no sample has is left out.

    `function_name` and `function_name_and_args_accuracy` are those of `scoring`, if the evaluator has them;
    the other version stands beside them with its name in front.
    """
    found: dict[str, Score] = {}
    for name, wire in _NEMO_NAMES.items():
        nemo = _score(result, *_TOOL_ACCURACY, wire)
        schema = _score(result, *_TOOL_ACCURACY, f"schema_{name}")
        chosen, other = (schema, nemo) if scoring == "schema" and schema else (nemo, schema)
        if chosen:
            found[name] = chosen
        if other and chosen:
            found[f"{'nemo' if other is nemo else 'schema'}_{name}"] = other
    for (task, metric, name), shown in _RUN_SCORES.items():
        if score := _score(result, task, metric, name):
            found[shown] = score
    order = [*_NEMO_NAMES, *_RUN_SCORES.values()]
    return dict(
        sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))
    )


def decisive_score(
    metrics: Mapping[str, Any], scoring: Literal["schema", "nemo"], name: str
) -> tuple[str, str, tuple[float, float]]:
    """Where a downloaded sample's `metrics` have the score `name` of a run: (metric, score, its scale)."""
    if name == JSON_MATCH:
        return "json-match", JSON_MATCH, (0.0, 1.0)
    for metric in ("llm-judge", "text-matcher"):
        if metric in metrics:
            return metric, "similarity", SIMILARITY_SCALE
    nemo, schema = "function_name_and_args_accuracy", "schema_function_name_and_args_accuracy"
    scores = (metrics.get("tool-calling-accuracy") or {}).get("scores") or {}
    name = schema if scoring == "schema" and schema in scores else nemo
    return "tool-calling-accuracy", name, (0.0, 1.0)


def judge_agreement(result: EvaluationResult) -> dict[str, Any]:
    """How far the judge agrees with the programmatic score (`n`, `accuracy`, `kappa`, `low`, `high`), if our
    evaluator has measured it; else {}."""
    for task, metric, score in _RUN_SCORES:
        found: Any = result.custom_fields.get("judge_agreement")
        for key in (task, f"{metric}.{score}", "with_score"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            names = ("n", "accuracy", "kappa", "low", "high")
            return {name: found[name] for name in names if found.get(name) is not None}
    return {}


def _score(result: EvaluationResult, task: str, metric: str, name: str) -> Score | None:
    scores = result.tasks[task].metrics.get(metric) if task in result.tasks else None
    score = scores.scores.get(name) if scores else None
    return None if score is None or (score.stats and score.stats.count == 0) else score


# The jobs of a run


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What a judge is asked, and how its score is read."""

    system: str
    user: str
    pattern: str
    lowest: float
    """The score of an answer that never came."""
    right_from: float
    """The score from which on the judge calls an answer right, by its own instructions."""


# Judge prompts print values without a JSON filter: NeMo parses every template string that uses one.
_TOOL_JUDGE_SYSTEM = """\
You compare the tool calls that an assistant made with the tool calls that were expected of it.

Rate 1 only if all of this holds, else 0:
- the same functions are called, each as often as expected, in any order; no call where none is expected;
- every expected argument is there: identifiers, numbers, dates, codes and options equal in value, free text \
(a query, a message, a reason) equal in meaning, however it is worded;
- there is no argument that changes what the call does.
A missing, empty or unreadable candidate is 0. Judge nothing else: not style, not politeness, not order.

Answer with one JSON object and nothing else: {"reasoning": "<one sentence>", "score": <0 or 1>}"""

_TOOL_JUDGE_USER = """\
CONVERSATION
{{ item.request.messages }}

TOOLS
{{ item.request.tools | default('none') }}

{% set expected %}EXPECTED CALLS
{{ item.response.choices[0].message.tool_calls | default('none', true) }}{% endset %}\
{% set candidate %}CANDIDATE CALLS
{{ sample.response.choices[0].message.tool_calls | default('none', true) }}{% endset %}\
{{ candidate if candidate_first | default(false) else expected }}

{{ expected if candidate_first | default(false) else candidate }}"""

_TEXT_JUDGE_SYSTEM = """\
You compare an assistant's answer with a reference answer to the same conversation.

Score how far the candidate says the same as the reference, from 1 to 10:
10: the same in meaning, at most worded differently
8-9: the same key facts, one minor detail off
6-7: overlaps, but several points are missing or altered
4-5: related, but wrong on most of what matters
2-3: hardly related or plainly wrong
1: unrelated or empty

Answer with one JSON object and nothing else: {"reasoning": "<one sentence>", "score": <1 to 10>}"""

_TEXT_JUDGE_USER = """\
CONVERSATION
{{ item.request.messages }}

{% set reference %}REFERENCE ANSWER
{{ item.response.choices[0].message.content | default('', true) }}{% endset %}\
{% set candidate %}CANDIDATE ANSWER
{{ sample.output_text | default('', true) }}{% endset %}\
{{ candidate if candidate_first | default(false) else reference }}

{{ reference if candidate_first | default(false) else candidate }}"""

# A number that is not on the scale is not found, and leaves the answer unscored.
_RATING_PATTERN = r'"score"\s*:\s*"?([01])(?:\.0+)?"?\s*[,}]'
_SIMILARITY_PATTERN = r'"score"\s*:\s*"?(10(?:\.0+)?|[1-9](?:\.\d+)?)"?\s*[,}]'
_TOOL_JUDGE: Final = _Prompt(_TOOL_JUDGE_SYSTEM, _TOOL_JUDGE_USER, _RATING_PATTERN, 0, 1)
_TEXT_JUDGE: Final = _Prompt(
    _TEXT_JUDGE_SYSTEM, _TEXT_JUDGE_USER, _SIMILARITY_PATTERN, SIMILARITY_SCALE[0], 8
)
_VERDICT_SCHEMA: Final = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "score": {"type": "number"}},
    "required": ["reasoning", "score"],
    "additionalProperties": False,
}
_VERDICT_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": _VERDICT_SCHEMA},
}

_REQUEST_TEMPLATE: Final[Mapping[str, str]] = {
    "messages": "{{ item.request.messages | tojson }}",
    "tools": "{{ item.request.tools | default(none) | tojson }}",
    "tool_choice": "{{ item.request.tool_choice | default(none) | tojson }}",
}
_EXPECTED_CALLS = "{{ item.response.choices[0].message.tool_calls | default([], true) | tojson }}"
_TOOLS = "{{ item.request.tools | default([], true) | tojson }}"
_ACCEPTABLE = "{{ item.metadata.acceptable | default(none) | tojson }}"
_RESPONSE_FORMAT = "{{ item.request.response_format | default(none) | tojson }}"
_EXPECTED_TEXT = "{{ item.response.choices[0].message.content | default('', true) }}"

ModelRef = str | Mapping[str, Any]
"""A model's name at the model proxy, or `{"api_endpoint": {"url", "model_id", "api_key"?}}`."""


def tool_calling_job(
    *,
    model: ModelRef,
    files_url: str,
    judge: ModelRef | None = None,
    limit: int | None = None,
    parallelism: int = 16,
    request_timeout: int = 120,
    max_retries: int = 3,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    namespace: str | None = None,
    custom_fields: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body that measures `model` on records whose teacher may call tools.

    `rules` say when two calls are the same for our evaluator's scores beside NVIDIA's.

    `files_url` is `hf://datasets/{ns}/{name}/{file}` with one record `{request, response}` a line.
    Without a `judge` the metric `correctness` is our text-matcher, for which agreeing not to call is
    right whatever the words. Each request keeps its own `tool_choice`.
    """
    correctness = (
        _judge_metric(judge, "rating", _TOOL_JUDGE)
        if judge is not None
        else {"type": "text-matcher", "params": {"tool_calls_ground_truth": _EXPECTED_CALLS}}
    )
    params = {"tool_calls_ground_truth": _EXPECTED_CALLS, "invalid_json": "wrong"}
    # NVIDIA's evaluator looks at the ground truth alone.
    ours = {"tools": _TOOLS, "acceptable": _ACCEPTABLE, "rules": dict(rules or {})}
    accuracy = {"type": "tool-calling", "params": {**params, **ours}}
    metrics = {"tool-calling-accuracy": accuracy, "correctness": correctness}
    asking = _params(limit, parallelism, request_timeout, max_retries, max_tokens, temperature)
    return _job(TOOL_TASK, metrics, model, files_url, asking, namespace, custom_fields)


def generic_job(
    *,
    model: ModelRef,
    files_url: str,
    judge: ModelRef | None = None,
    limit: int | None = None,
    parallelism: int = 16,
    request_timeout: int = 120,
    max_retries: int = 3,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    namespace: str | None = None,
    custom_fields: Mapping[str, Any] | None = None,
    companions: bool = True,
    rules: Mapping[str, Any] | None = None,
    embedding: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body that measures `model` on records whose teacher answers in words: `similarity`, 1 to 10.

    Without a `judge` the task and the metric say so in their names: `text-matching`, `text-matcher`. The
    `companions` are cheap scores beside it, and `json-match` for requests that ask for JSON, compared by
    `rules`, and the likeness of embeddings where an `embedding` model is given (`model`, `input_type`);
    NVIDIA's evaluator does not know them all.
    """
    beside = _companions(rules, embedding) if companions else {}
    params = _params(limit, parallelism, request_timeout, max_retries, max_tokens, temperature)
    if judge is not None:
        metrics = {"llm-judge": _judge_metric(judge, "similarity", _TEXT_JUDGE)} | beside
        return _job(TEXT_TASK, metrics, model, files_url, params, namespace, custom_fields)
    matcher = {
        "type": "text-matcher",
        "params": {
            "tool_calls_ground_truth": _EXPECTED_CALLS,
            "reference": _EXPECTED_TEXT,
            "scale": list(SIMILARITY_SCALE),
        },
    }
    # What is wrong with JSON is said by the first: the matcher reads it as any text.
    metrics = beside | {"text-matcher": matcher}
    return _job(TEXT_TASK_WITHOUT_JUDGE, metrics, model, files_url, params, namespace, custom_fields)


def _companions(rules: Mapping[str, Any] | None, embedding: Mapping[str, Any] | None) -> dict[str, Any]:
    expected = {"ground_truth": _EXPECTED_TEXT}
    json_params = {**expected, "response_format": _RESPONSE_FORMAT, "rules": dict(rules or {})}
    metrics: dict[str, Any] = {
        "json-match": {"type": "json-match", "params": json_params},
        "rouge": {"type": "rouge", "params": expected},
        "exact-match": {"type": "em", "params": expected},
        "f1": {"type": "f1", "params": expected},
    }
    if embedding is not None:
        metrics["embedding-similarity"] = {
            "type": "embedding-similarity",
            "params": {**embedding, **expected},
        }
    return metrics


def _judge_metric(judge: ModelRef, score: str, prompt: _Prompt) -> dict[str, Any]:
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    parser = {"type": "regex", "pattern": prompt.pattern}
    params: dict[str, Any] = {
        "model": judge,
        "template": {"messages": messages, "max_tokens": 1024},
        "scores": {score: {"type": "int", "parser": parser}},
    }
    # What NVIDIA's evaluator does not look at.
    params |= {"response_format": _VERDICT_FORMAT, "order_seed": ORDER_SEED}
    params |= {"lowest": prompt.lowest, "right_from": prompt.right_from}
    return {"type": "llm-judge", "params": params}


def _params(
    limit: int | None, parallelism: int, timeout: int, retries: int, max_tokens: int, temperature: float
) -> dict[str, Any]:
    params: dict[str, Any] = {
        "parallelism": parallelism,
        "request_timeout": timeout,
        "max_retries": retries,
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    return params if limit is None else params | {"limit_samples": limit}


def _job(
    task: str,
    metrics: Mapping[str, Any],
    model: ModelRef,
    files_url: str,
    params: dict[str, Any],
    namespace: str | None,
    custom_fields: Mapping[str, Any] | None,
) -> dict[str, Any]:
    config = {
        "type": "custom",
        "params": params,
        "tasks": {
            task: {
                "type": "chat-completion",
                "dataset": {"files_url": files_url},
                "params": {"template": dict(_REQUEST_TEMPLATE)},
                "metrics": dict(metrics),
            }
        },
    }
    body: dict[str, Any] = {"config": config, "target": {"type": "model", "model": model}}
    if namespace:
        body["namespace"] = namespace
    if custom_fields:
        body["custom_fields"] = dict(custom_fields)
    return body


# The client


class EvaluationClient:
    """One evaluator. Sync; reads are repeated on passing trouble. Raises ServiceCallFailed."""

    def __init__(
        self, base_url: str, transport: httpx.BaseTransport | None = None, timeout: float = 30
    ) -> None:
        self._call = Caller(base_url, transport, timeout)

    def close(self) -> None:
        self._call.close()

    def create_job(self, body: Mapping[str, Any]) -> EvaluationJob:
        return EvaluationJob.model_validate(self._call.json("POST", "/v1/evaluation/jobs", dict(body)))

    def job(self, job_id: str) -> EvaluationJob:
        return EvaluationJob.model_validate(self._call.json("GET", f"/v1/evaluation/jobs/{job_id}"))

    def jobs_with(self, custom_fields: Mapping[str, str]) -> list[EvaluationJob]:
        """The jobs posted with these custom fields, newest first: how a restarted run finds its own."""
        query = {f"filter[custom_fields][{key}]": value for key, value in custom_fields.items()}
        query |= {"page_size": "100", "sort": "-created_at"}
        page = self._call.json("GET", "/v1/evaluation/jobs", query=query)
        jobs = [EvaluationJob.model_validate(document) for document in page.get("data", [])]
        return [job for job in jobs if custom_fields.items() <= job.custom_fields.items()]

    def results(self, job_id: str) -> EvaluationResult:
        found = self._call.json("GET", f"/v1/evaluation/jobs/{job_id}/results")
        return EvaluationResult.model_validate(found)

    def download_results(self, job_id: str) -> bytes:
        """The ZIP with `results.json`, every sample with its scores."""
        return self._call.bytes("GET", f"/v1/evaluation/jobs/{job_id}/download-results")

    def samples(self, job_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Ours: a page of the samples scored so far, asked for as any list is."""
        found: dict[str, Any] = self._call.json("GET", f"/v1/evaluation/jobs/{job_id}/samples", query=query)
        return found

    def cancel_job(self, job_id: str) -> None:
        """Cancel; a job that has finished, or is not there, is left as it is."""
        self._call.bytes("POST", f"/v1/evaluation/jobs/{job_id}/cancel", fine=frozenset({404, 409}))

    def delete_job(self, job_id: str) -> None:
        """Delete the job, its samples and its result; absent is fine."""
        self._call.bytes("DELETE", f"/v1/evaluation/jobs/{job_id}", fine=frozenset({404}))
