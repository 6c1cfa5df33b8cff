"""Which texts are alike, without a model: TF-IDF over character n-grams, and a choice that avoids repeats.

It stands in for an embedding model and says so by its NAME. Character n-grams (McNamee & Mayfield 2004) need
no tokenizer and forgive inflection and typing errors in any language. The choice is maximal marginal
relevance (Carbonell & Goldstein 1998): each next text is like the query and unlike those chosen already.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

NAME = "character n-grams (TF-IDF)"
_SIZES = (3, 4)

Vector = dict[str, float]


class TextIndex:
    """Texts to compare with; `likeness` is a cosine from 0 to 1."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_grams(text) for text in texts]
        seen: Counter[str] = Counter()
        for grams in counts:
            seen.update(grams.keys())
        self._idf = {gram: math.log((1 + len(texts)) / (1 + n)) + 1 for gram, n in seen.items()}
        self._vectors = [self._weighed(grams) for grams in counts]
        self._holders: defaultdict[str, list[int]] = defaultdict(list)
        for number, vector in enumerate(self._vectors):
            for gram in vector:
                self._holders[gram].append(number)

    def likeness(self, query: str) -> list[float]:
        """How alike `query` and each text are, in the order of the texts."""
        found = [0.0] * len(self._vectors)
        for gram, weight in self._weighed(_grams(query)).items():
            for number in self._holders.get(gram, ()):
                found[number] += weight * self._vectors[number][gram]
        return found

    def by_relevance(self, query: str, relevance_ratio: float) -> Iterator[int]:
        """Numbers of the texts, best first; the ratio weighs likeness to the query against repeats."""
        relevance = self.likeness(query)
        repeats = [0.0] * len(relevance)
        left = set(range(len(relevance)))
        while left:
            best = max(
                left, key=lambda n: (relevance_ratio * relevance[n] - (1 - relevance_ratio) * repeats[n], -n)
            )
            yield best
            left.remove(best)
            for number in left:
                repeats[number] = max(repeats[number], _dot(self._vectors[best], self._vectors[number]))

    def _weighed(self, grams: Counter[str]) -> Vector:
        vector = {gram: (1 + math.log(n)) * self._idf[gram] for gram, n in grams.items() if gram in self._idf}
        norm = math.sqrt(sum(weight * weight for weight in vector.values()))
        return {gram: weight / norm for gram, weight in vector.items()} if norm else {}


def _grams(text: str) -> Counter[str]:
    padded = f" {' '.join(text.lower().split())} "
    return Counter(padded[i : i + size] for size in _SIZES for i in range(len(padded) - size + 1))


def _dot(a: Vector, b: Vector) -> float:
    if len(b) < len(a):
        a, b = b, a
    return sum(weight * b[gram] for gram, weight in a.items() if gram in b)
