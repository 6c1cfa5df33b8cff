"""What a run reads out of a result: (task, metric, score) on the wire to the names that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from flywheel.nemo.evaluation import EvaluationResult, Score
from flywheel.nemo.evaluation_jobs import JSON_MATCH, TEXT_TASK, TEXT_TASK_WITHOUT_JUDGE, TOOL_TASK
from flywheel.nemo.judge_prompts import SIMILARITY_SCALE

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
SHOWN: Final = frozenset(
    [*_NEMO_NAMES, *(f"{other}_{name}" for name in _NEMO_NAMES for other in ("nemo", "schema"))]
).union(_RUN_SCORES.values())
"""Every name of a score that a run may show."""


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
