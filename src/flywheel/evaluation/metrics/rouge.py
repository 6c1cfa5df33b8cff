"""NeMo's `rouge`: F-measures of common n-grams and of the longest common subsequence, 0 to 1 (Lin 2004).

The formulas and the words are those of Google's `rouge_score` with its stemmer, which NVIDIA uses. That
package itself is left out: it has had no release since 2022 and brings all of NLTK for one stemmer. Ours is
Porter's own, from Snowball; NLTK's variant treats a final y otherwise, which changes few scores and little.
Words are Latin letters and digits; a reference without any has no value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import snowballstemmer
from rapidfuzz.distance import LCSseq

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import Params, lowest, unscored
from flywheel.evaluation.metrics.texts import Texts
from flywheel.evaluation.sample import Sample, Verdict

_SHORT = 3
"""Words up to this length are not stemmed."""
_LONGEST: Final = "rouge_L_score"
_NGRAMS: Final = {"rouge_1_score": 1, "rouge_2_score": 2, "rouge_3_score": 3}


class Rouge:
    """Of several references the best counts, for each score apart."""

    type = "rouge"
    version = "1"
    score_names = (*_NGRAMS, _LONGEST)

    def __init__(self, params: Params) -> None:
        self._texts = Texts(params)
        # One for each metric: a stemmer has a state, and jobs run in several threads.
        self._stem = lru_cache(maxsize=50_000)(snowballstemmer.stemmer("porter").stemWord)

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            references = [self._words(text) for text in self._texts.references(item, sample)]
            candidate = self._words(self._texts.candidate(item, sample))
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if not any(references):
            return unscored(self.score_names, note="no words in Latin letters or digits to compare with")
        if sample.missing:
            return lowest(self.score_names)
        each = [rouge(reference, candidate) for reference in references]
        return Verdict({name: max(scores[name] for scores in each) for name in self.score_names})

    def _words(self, text: str) -> list[str]:
        found = re.findall(r"[a-z0-9]+", text.lower())
        return [self._stem(word) if len(word) > _SHORT else word for word in found]


def rouge(reference: Sequence[str], candidate: Sequence[str]) -> dict[str, float]:
    """The scores by name, of two lists of words."""
    found = {name: _common(_grams(reference, n), _grams(candidate, n)) for name, n in _NGRAMS.items()}
    longest = LCSseq.similarity(reference, candidate) if reference and candidate else 0
    return found | {_LONGEST: _f(int(longest), len(reference), len(candidate))}


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def _common(reference: Counter[tuple[str, ...]], candidate: Counter[tuple[str, ...]]) -> float:
    return _f((reference & candidate).total(), reference.total(), candidate.total())


def _f(common: int, reference: int, candidate: int) -> float:
    """Harmonic mean of recall and precision."""
    return 2 * common / (reference + candidate) if common else 0.0
