"""The evaluation jobs that a run posts: which metrics measure what, on NeMo's wire.

Nothing is scored here. What is ours beside NVIDIA's (`text-matcher`, the rules of a call) is left alone by
their evaluator or has a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flywheel.nemo.judge_prompts import (
    ORDER_SEED,
    SIMILARITY_SCALE,
    TEXT_JUDGE,
    TOOL_JUDGE,
    VERDICT_FORMAT,
    Prompt,
)

TOOL_TASK: Final = "custom-tool-calling"
TEXT_TASK: Final = "llm-as-judge"
TEXT_TASK_WITHOUT_JUDGE: Final = "text-matching"
JSON_MATCH: Final = "json_match"

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
        _judge_metric(judge, "rating", TOOL_JUDGE)
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
        metrics = {"llm-judge": _judge_metric(judge, "similarity", TEXT_JUDGE)} | beside
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


def _judge_metric(judge: ModelRef, score: str, prompt: Prompt) -> dict[str, Any]:
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    parser = {"type": "regex", "pattern": prompt.pattern}
    params: dict[str, Any] = {
        "model": judge,
        "template": {"messages": messages, "max_tokens": 1024},
        "scores": {score: {"type": "int", "parser": parser}},
    }
    # What NVIDIA's evaluator does not look at.
    params |= {"response_format": VERDICT_FORMAT, "order_seed": ORDER_SEED}
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
