"""NeMo's `bleu`, which is sacrebleu's: `sentence` for each answer and `corpus` for all of them, 0 to 100.

The score of the corpus is no mean: n-grams are counted over all answers and weighed once, so every sample
keeps its counts. An answer that never came counts as an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import Params, unscored
from flywheel.evaluation.metrics.texts import Texts
from flywheel.evaluation.sample import Sample, Verdict


class Bleu:
    type = "bleu"
    version = "1"
    score_names = ("sentence",)

    def __init__(self, params: Params) -> None:
        from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - slow to import, and seldom wanted

        self._texts = Texts(params)
        self._sentence, self._corpus = BLEU(effective_order=True), BLEU()

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            references = self._texts.references(item, sample)
            found = self._sentence.sentence_score(self._texts.candidate(item, sample), references)
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        counts = {
            "ngrams": {
                "counts": list(found.counts),
                "totals": list(found.totals),
                "answer_length": found.sys_len,
                "reference_length": found.ref_len,
            }
        }
        return Verdict({"sentence": float(found.score)}, details=counts)

    def overall(self, details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """`corpus`, from the samples' details."""
        ngrams = [detail["ngrams"] for detail in details]
        if not ngrams:
            return {}
        found = self._corpus.compute_bleu(
            correct=[sum(column) for column in zip(*(n["counts"] for n in ngrams), strict=True)],
            total=[sum(column) for column in zip(*(n["totals"] for n in ngrams), strict=True)],
            sys_len=sum(n["answer_length"] for n in ngrams),
            ref_len=sum(n["reference_length"] for n in ngrams),
            smooth_method="exp",
        )
        return {"corpus": float(found.score)}
