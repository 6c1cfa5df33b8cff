"""Likeness of texts without a model: sensible order, no repeats, nothing random."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flywheel.curation.similarity import Embedder, EmbeddingIndex, TextIndex, by_relevance

TEXTS = [
    "Where is my order 5512?",
    "where is my order 7781",
    "I want to return these shoes",
    "Tell me a joke",
    "",
]


def test_a_text_is_most_like_itself() -> None:
    likeness = TextIndex(TEXTS).likeness(TEXTS[2])
    assert likeness[2] == pytest.approx(1.0)
    assert max(likeness) == likeness[2]
    assert likeness[4] == 0.0


def test_relevance_alone_puts_the_near_repeats_first() -> None:
    assert list(by_relevance(TextIndex(TEXTS), "where is my order?", 1.0))[:2] in ([0, 1], [1, 0])


def test_variety_puts_something_else_between_two_near_repeats() -> None:
    order = list(by_relevance(TextIndex(TEXTS), "where is my order?", 0.4))
    assert order[0] in (0, 1)
    assert order[1] not in (0, 1)
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_nothing_to_compare_with_is_no_error() -> None:
    assert list(by_relevance(TextIndex([]), "anything", 0.5)) == []
    assert TextIndex(TEXTS).likeness("") == pytest.approx([0.0] * 5, abs=0.2)


SENSE = {"my parcel": [2.0, 0, 0.1], "my delivery": [1.0, 0, 0.1], "a joke": [0.0, 3, 0], "": [0.0, 0, 0]}
WORDS = list(SENSE)


def test_embeddings_find_what_shares_no_letters() -> None:
    asked: list[list[str]] = []

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        asked.append(list(texts))
        return [SENSE.get(text, [1.0, 0.1, 0.0]) for text in texts]

    index = EmbeddingIndex(Embedder("sense", vectors), WORDS, ["where is it?"])
    likeness = index.likeness("where is it?")
    assert sorted(range(4), key=lambda n: -likeness[n])[:2] == [0, 1]
    assert likeness[3] == 0.0, "a blank text is like nothing"
    assert list(by_relevance(index, "where is it?", 0.4))[:2] == [0, 2], "no near repeat before another kind"
    assert asked == [[*WORDS, "where is it?"]], "one call for all that is known beforehand"
    assert index.likeness("another query")[0] > 0.9


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_embeddings_of_nothing_are_no_error(texts: list[str]) -> None:
    index = EmbeddingIndex(Embedder("sense", lambda texts: [[] for _ in texts]), texts, ["", " "])
    assert list(by_relevance(index, " ", 0.5)) == list(range(len(texts)))
