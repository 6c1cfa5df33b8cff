"""How near an answer is to the reference in meaning: the cosine of their embeddings, -1 to 1.

It is a number beside others, never a verdict: a wrong order number leaves a sentence as near as before. Two
equal texts, blank ones too, have 1 without being embedded; a blank one is like nothing else. Where the
embedding model does not answer the sample has no value. Of several references the nearest counts.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from flywheel.errors import ChatError
from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import Params, lowest, unscored
from flywheel.evaluation.metrics.texts import Texts
from flywheel.evaluation.sample import Sample, Verdict

Embed = Callable[[Sequence[str], str | None], Awaitable[list[list[float]]]]
"""Vectors of texts, in their order, told the `input_type` of NVIDIA's models. Raises ChatError."""

NAME = "embedding_similarity"
GIVE_UP_AFTER = 5
"""Failures in a row, with no answer ever, after which the model is not asked again in this evaluation."""


class EmbeddingSimilarity:
    type = "embedding-similarity"
    version = "1"
    score_names = (NAME,)

    def __init__(self, params: Params, embed: Embed) -> None:
        self._embed = embed
        self._texts = Texts(params)
        chosen = params.choice("input_type", ("query", "passage", "none"), "none")
        self._input_type = None if chosen == "none" else chosen
        self._answered = False
        self._failed = 0

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            references = self._texts.references(item, sample)
            if sample.missing:
                return lowest(self.score_names)
            candidate = self._texts.candidate(item, sample)
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if candidate.strip() in {reference.strip() for reference in references}:
            return Verdict({NAME: 1.0})
        if not self._answered and self._failed >= GIVE_UP_AFTER:
            return unscored(self.score_names, note="not asked, since the embedding model answers nothing")
        try:
            own, *others = await self._embed([candidate, *references], self._input_type)
        except ChatError as error:
            self._failed += 1
            return unscored(self.score_names, note=f"unscored: {error}")
        self._answered = True
        return Verdict({NAME: max(_cosine(own, other) for other in others)})


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norm = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0
