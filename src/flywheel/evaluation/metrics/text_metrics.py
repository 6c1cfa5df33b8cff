"""NeMo's `em` and `f1`: how much of the reference's words the answer has, all or in share.

Of several references the best counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import Params, lowest, unscored
from flywheel.evaluation.metrics.texts import Texts
from flywheel.evaluation.metrics.words import words
from flywheel.evaluation.sample import Sample, Verdict


class _Compare(Protocol):
    def __call__(self, reference: list[str], candidate: list[str]) -> float: ...


class TextMetric:
    """Compares the words of references and of the answer, as `words` reads them."""

    version = "2"

    def __init__(self, kind: str, compare: _Compare, params: Params) -> None:
        self.type = kind
        self.score_names = (kind,)
        self._compare = compare
        self._texts = Texts(params)

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            references = self._texts.references(item, sample)
            if sample.missing:
                return lowest(self.score_names)
            candidate = words(self._texts.candidate(item, sample))
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        best = max(self._compare(words(reference), candidate) for reference in references)
        return Verdict({self.type: best})


def exact_match(reference: list[str], candidate: list[str]) -> float:
    return float(reference == candidate)


def f1(reference: list[str], candidate: list[str]) -> float:
    """Harmonic mean of the shares of common words; two empty texts agree."""
    if not reference or not candidate:
        return float(reference == candidate)
    common = (Counter(reference) & Counter(candidate)).total()
    return 2 * common / (len(reference) + len(candidate))
