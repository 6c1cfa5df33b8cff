"""NeMo's `em` and `f1`: how much of the reference's words the answer has, all or in share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import BadMetric, Params, lowest, text_of, unscored
from flywheel.evaluation.metrics.words import words
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import check

_REFERENCE_NAMES = ("reference", "ground_truth", "references")
_CANDIDATE_NAMES = ("candidate", "prediction")


class _Compare(Protocol):
    def __call__(self, reference: list[str], candidate: list[str]) -> float: ...


class TextMetric:
    """Compares a reference template with a candidate template (default: the answer's text)."""

    version = "1"

    def __init__(self, kind: str, compare: _Compare, params: Params) -> None:
        self.type = kind
        self.score_names = (kind,)
        self._compare = compare
        self._reference = _one(params, _REFERENCE_NAMES)
        if self._reference is None:
            raise BadMetric(f"{params.where}.params.reference", "is required")
        self._candidate = _one(params, _CANDIDATE_NAMES)
        check(self._reference, f"{params.where}.params.reference")
        check(self._candidate, f"{params.where}.params.candidate")

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            reference = text_of(self._reference, item, sample, "reference")
            if sample.missing:
                return lowest(self.score_names)
            candidate = (
                sample.text
                if self._candidate is None
                else text_of(self._candidate, item, sample, "candidate")
            )
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        return Verdict({self.type: self._compare(words(reference), words(candidate))})


def exact_match(reference: list[str], candidate: list[str]) -> float:
    return float(reference == candidate)


def f1(reference: list[str], candidate: list[str]) -> float:
    """Harmonic mean of the shares of common words; two empty texts agree."""
    if not reference or not candidate:
        return float(reference == candidate)
    common = (Counter(reference) & Counter(candidate)).total()
    return 2 * common / (len(reference) + len(candidate))


def _one(params: Params, names: tuple[str, ...]) -> Any:
    value = next((params.values[name] for name in names if params.values.get(name) is not None), None)
    return value[0] if isinstance(value, list) and value else value
