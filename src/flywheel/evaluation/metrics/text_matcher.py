"""Our stand-in where no LLM judges: calls compared argument by argument, words by forgiving text similarity.

`similarity` is graded, on `scale` (0 to 1 unless given); `rating` is 1 where the answer would do: the
same functions, nothing left over, and every argument alike. Free text may be worded differently, but
digits must agree, so another order number is another order. Where neither side calls, their texts are
compared if a `reference` template is given, else agreeing not to call is right. It is not an LLM and does
not read meaning.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz

from flywheel.evaluation.calls import BadReference, ToolCall, calls_of
from flywheel.evaluation.failures import Failure, failure_of, unfinished
from flywheel.evaluation.metrics.base import BadMetric, Params, expected_calls, text_of, unscored
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import check

ALIKE = 0.85
"""From this similarity on a text passes for the other: "enabled" and "disabled" have 0.8."""


class TextMatcher:
    type = "text-matcher"
    version = "1"
    score_names = ("rating", "similarity")

    def __init__(self, params: Params) -> None:
        self._expected = params.values.get("tool_calls_ground_truth")
        self._reference = params.values.get("reference")
        if self._expected is None and self._reference is None:
            raise BadMetric(f"{params.where}.params", "needs tool_calls_ground_truth or reference")
        check(self._expected, f"{params.where}.params.tool_calls_ground_truth")
        check(self._reference, f"{params.where}.params.reference")
        self._low, self._high = _scale(params)

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            expected = expected_calls(self._expected, item, sample) if self._expected is not None else ()
            reference = (
                text_of(self._reference, item, sample, "reference") if self._reference is not None else None
            )
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if sample.missing:
            return self._verdict(0.0, False, None)
        predicted = calls_of(sample.message) if self._expected is not None else ()
        if expected or predicted:
            similar, good = calls_alike(expected, predicted)
            failure = failure_of(expected, predicted, sample.message, sample.finish_reason)
            return self._verdict(similar, good, failure or Failure.WRONG_VALUE)
        if reference is None:
            return self._verdict(1.0, True, None)
        similar = text_similarity(reference, sample.text)
        return self._verdict(
            similar, alike(reference, sample.text), unfinished(sample.message, sample.finish_reason)
        )

    def right_from(self, score: str, values: Sequence[float]) -> float | None:
        return 1.0 if score == "rating" else None

    def _verdict(self, similar: float, good: bool, failure: Failure | None) -> Verdict:
        graded = self._low + similar * (self._high - self._low)
        scores = {"rating": float(good), "similarity": graded}
        return Verdict(scores, None if good else failure, classified=True)


def _scale(params: Params) -> tuple[float, float]:
    scale = params.values.get("scale", (0, 1))
    if isinstance(scale, Sequence) and len(scale) == 2:
        low, high = scale
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in scale) and low < high:
            return float(low), float(high)
    raise BadMetric(f"{params.where}.params.scale", f"{scale!r} is not [lowest, highest]")


def calls_alike(expected: Sequence[ToolCall], predicted: Sequence[ToolCall]) -> tuple[float, bool]:
    """(mean similarity over the calls of both sides, whether every call has its partner with all
    arguments alike).

    Calls of one name are paired best first.
    """
    pairs = [
        (*_arguments_alike(e.arguments, p.arguments), i, j)
        for i, e in enumerate(expected)
        for j, p in enumerate(predicted)
        if e.name == p.name and p.readable
    ]
    pairs.sort(key=lambda pair: (-pair[1], -pair[0]))
    paired_e: set[int] = set()
    paired_p: set[int] = set()
    total, good = 0.0, True
    for similar, alike, i, j in pairs:
        if i not in paired_e and j not in paired_p:
            paired_e.add(i)
            paired_p.add(j)
            total, good = total + similar, good and alike
    most = max(len(expected), len(predicted))
    complete = len(paired_e) == len(expected) == len(predicted)
    return total / most, good and complete


def _arguments_alike(expected: Any, predicted: Any) -> tuple[float, bool]:
    """(mean similarity over the arguments of both, whether each is alike); null is the same as left out."""
    if not isinstance(expected, dict) or not isinstance(predicted, dict):
        similar = similarity(expected, predicted)
        return similar, similar >= ALIKE
    names = {k for side in (expected, predicted) for k, v in side.items() if v is not None}
    if not names:
        return 1.0, True
    each = [similarity(expected.get(name), predicted.get(name)) for name in names]
    return math.fsum(each) / len(each), min(each) >= ALIKE


def similarity(expected: Any, predicted: Any) -> float:
    """How alike two JSON values are, 0 to 1. A number may be written as text; texts must agree in their
    digits.
    """
    if expected is None or predicted is None:
        return float(expected is predicted)
    if isinstance(expected, bool) or isinstance(predicted, bool):
        return float(str(expected).strip().casefold() == str(predicted).strip().casefold())
    if isinstance(expected, dict) and isinstance(predicted, dict):
        return _arguments_alike(expected, predicted)[0]
    if isinstance(expected, list) and isinstance(predicted, list):
        most = max(len(expected), len(predicted))
        each = [similarity(e, p) for e, p in zip(expected, predicted, strict=False)]
        return math.fsum(each) / most if most else 1.0
    if isinstance(expected, dict | list) or isinstance(predicted, dict | list):
        return 0.0
    if isinstance(expected, str) and isinstance(predicted, str):
        return text_similarity(expected, predicted) if _digits(expected) == _digits(predicted) else 0.0
    if expected == predicted:  # Also whole numbers that no float can hold.
        return 1.0
    left, right = _number(expected), _number(predicted)
    same = left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    return float(same)


def alike(expected: str, predicted: str) -> bool:
    """Whether one text would do for the other: worded alike, with the same digits."""
    return _digits(expected) == _digits(predicted) and text_similarity(expected, predicted) >= ALIKE


def text_similarity(expected: str, predicted: str) -> float:
    """How alike two texts are, 0 to 1: the better of words in order and words in any order."""
    left, right = _normal(expected), _normal(predicted)
    return 1.0 if left == right else max(fuzz.ratio(left, right), fuzz.token_sort_ratio(left, right)) / 100


def _normal(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", unicodedata.normalize("NFC", text).casefold())
    return " ".join(words.split())


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
