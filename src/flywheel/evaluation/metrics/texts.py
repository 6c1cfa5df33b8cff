"""What metrics on texts share: templates of the right texts and of the answer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.evaluation.metrics.base import BadMetric, Params, text_of
from flywheel.evaluation.sample import Sample
from flywheel.evaluation.templates import check

_REFERENCE_NAMES = ("references", "reference", "ground_truth")
_CANDIDATE_NAMES = ("candidate", "prediction")


class Texts:
    """References (one template or a list) and a candidate, which is the answer's text unless given."""

    def __init__(self, params: Params) -> None:
        given = _first(params, _REFERENCE_NAMES)
        if given in (None, "", []):
            raise BadMetric(f"{params.where}.params.reference", "is required")
        self._references = given if isinstance(given, list) else [given]
        self._candidate = _first(params, _CANDIDATE_NAMES)
        check(self._references, f"{params.where}.params.reference")
        check(self._candidate, f"{params.where}.params.candidate")

    def references(self, item: Mapping[str, Any], sample: Sample) -> list[str]:
        """Every text that would be right. Raises BadReference."""
        return [text_of(template, item, sample, "reference") for template in self._references]

    def candidate(self, item: Mapping[str, Any], sample: Sample) -> str:
        """The answer's text, which is empty where none came. Raises BadReference."""
        if self._candidate is None or sample.missing:
            return sample.text
        return text_of(self._candidate, item, sample, "candidate")


def _first(params: Params, names: tuple[str, ...]) -> Any:
    return next((params.values[name] for name in names if params.values.get(name) is not None), None)
