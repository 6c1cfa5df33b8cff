"""Which texts are alike, and a choice among them that avoids repeats.

Likeness is the cosine of embeddings where there is an embedding model. Without one it is TF-IDF over
character n-grams, which stands in and says so by its NAME: n-grams (McNamee & Mayfield 2004) need no
tokenizer and forgive inflection and typing errors in any language. The choice is maximal marginal relevance
(Carbonell & Goldstein 1998): each next text is like the query and unlike those chosen already.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

NAME = "character n-grams (TF-IDF)"
_SIZES = (3, 4)

Vector = dict[str, float]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Embedder:
    """An embedding model: `vectors` are those of some texts, in their order and of one length."""

    model: str
    vectors: Callable[[Sequence[str]], list[list[float]]]

    @property
    def name(self) -> str:
        return f"embeddings of {self.model}"


class Index(Protocol):
    """Texts to compare with, by their numbers."""

    def likeness(self, query: str) -> list[float]:
        """How alike `query` and each text are, a cosine, in the order of the texts."""
        ...

    def among(self, number: int, others: Sequence[int]) -> Sequence[float]:
        """How alike the text `number` and each of `others` are."""
        ...


def by_relevance(index: Index, query: str, relevance_ratio: float) -> Iterator[int]:
    """Numbers of the texts, best first; the ratio weighs likeness to the query against repeats."""
    relevance = index.likeness(query)
    repeats = [0.0] * len(relevance)
    left = list(range(len(relevance)))
    while left:
        best = max(
            left, key=lambda n: (relevance_ratio * relevance[n] - (1 - relevance_ratio) * repeats[n], -n)
        )
        yield best
        left.remove(best)
        for number, alike in zip(left, index.among(best, left), strict=True):
            repeats[number] = max(repeats[number], alike)


class EmbeddingIndex:
    """Texts compared by embeddings; queries that are known beforehand are embedded together with them."""

    def __init__(self, embedder: Embedder, texts: Sequence[str], queries: Sequence[str] = ()) -> None:
        self._embedder = embedder
        asked = list(dict.fromkeys((*texts, *queries)))
        units = _units(embedder.vectors(asked))
        self._known = dict(zip(asked, units, strict=True))
        self._texts = np.array([self._known[text] for text in texts])

    def likeness(self, query: str) -> list[float]:
        if not len(self._texts):
            return []
        known = self._known.get(query)
        found: list[float] = (
            self._texts @ (_units(self._embedder.vectors([query]))[0] if known is None else known)
        ).tolist()
        return found

    def among(self, number: int, others: Sequence[int]) -> list[float]:
        found: list[float] = (self._texts[list(others)] @ self._texts[number]).tolist()
        return found


class TextIndex:
    """Texts compared by their character n-grams; a cosine from 0 to 1."""

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
        found = [0.0] * len(self._vectors)
        for gram, weight in self._weighed(_grams(query)).items():
            for number in self._holders.get(gram, ()):
                found[number] += weight * self._vectors[number][gram]
        return found

    def among(self, number: int, others: Sequence[int]) -> list[float]:
        return [_dot(self._vectors[number], self._vectors[other]) for other in others]

    def _weighed(self, grams: Counter[str]) -> Vector:
        vector = {gram: (1 + math.log(n)) * self._idf[gram] for gram, n in grams.items() if gram in self._idf}
        norm = math.sqrt(sum(weight * weight for weight in vector.values()))
        return {gram: weight / norm for gram, weight in vector.items()} if norm else {}


def _units(vectors: list[list[float]]) -> Matrix:
    """Rows of length one; a row of zeros, which a blank text has, is like nothing."""
    rows = np.array(vectors, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    units: Matrix = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return units


def _grams(text: str) -> Counter[str]:
    padded = f" {' '.join(text.lower().split())} "
    return Counter(padded[i : i + size] for size in _SIZES for i in range(len(padded) - size + 1))


def _dot(a: Vector, b: Vector) -> float:
    if len(b) < len(a):
        a, b = b, a
    return sum(weight * b[gram] for gram, weight in a.items() if gram in b)
