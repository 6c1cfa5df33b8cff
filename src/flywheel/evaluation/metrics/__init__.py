"""The metrics by their names on the wire; one small file each (families of one formula share one)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flywheel.evaluation.judge import Judge
from flywheel.evaluation.metrics.base import BadMetric, Judging, Metric, Overall, Params
from flywheel.evaluation.metrics.bleu import Bleu
from flywheel.evaluation.metrics.checks import number_check, string_check
from flywheel.evaluation.metrics.embedding_similarity import Embed, EmbeddingSimilarity
from flywheel.evaluation.metrics.json_match import JsonMatch
from flywheel.evaluation.metrics.llm_judge import LlmJudge
from flywheel.evaluation.metrics.rouge import Rouge
from flywheel.evaluation.metrics.text_matcher import TextMatcher
from flywheel.evaluation.metrics.text_metrics import TextMetric, exact_match, f1
from flywheel.evaluation.metrics.tool_calling import ToolCalling

__all__ = ["BadMetric", "Embed", "Judging", "Metric", "Overall", "build_metric"]

_METRICS: Mapping[str, Callable[[Params], Metric]] = {
    "tool-calling": ToolCalling,
    "text-matcher": TextMatcher,
    "string-check": string_check,
    "number-check": number_check,
    "bleu": Bleu,
    "rouge": Rouge,
    "json-match": JsonMatch,
    "em": lambda params: TextMetric("em", exact_match, params),
    "f1": lambda params: TextMetric("f1", f1, params),
}


def _no_model(model: Any, where: str) -> Embed:
    raise BadMetric(where, "no embedding model can be asked here")


def build_metric(
    config: Any,
    where: str,
    judge_of: Callable[[Any, str], Judge],
    embed_of: Callable[[Any, str], Embed] = _no_model,
) -> Metric:
    """A metric from its configuration `{type, params}`; `judge_of(model, where)` supplies judges,
    `embed_of` embedding models.

    Raises BadMetric or BadTemplate, naming the place in the configuration.
    """
    config = config if isinstance(config, Mapping) else {}
    kind, values = str(config.get("type")), config.get("params") or {}
    if not isinstance(values, Mapping):
        raise BadMetric(f"{where}.params", f"{values!r} is not an object")
    params = Params(where, values)
    if kind == "llm-judge":
        return LlmJudge(params, judge_of(params.required("model"), f"{where}.params.model"))
    if kind == EmbeddingSimilarity.type:
        return EmbeddingSimilarity(params, embed_of(params.required("model"), f"{where}.params.model"))
    if kind not in _METRICS:
        known = sorted([*_METRICS, "llm-judge", EmbeddingSimilarity.type])
        raise BadMetric(f"{where}.type", f"{kind!r} is none of {', '.join(known)}")
    return _METRICS[kind](params)
