"""Likeness of texts without a model: sensible order, no repeats, nothing random."""

from __future__ import annotations

import pytest

from flywheel.curation.similarity import TextIndex

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
    assert list(TextIndex(TEXTS).by_relevance("where is my order?", 1.0))[:2] in ([0, 1], [1, 0])


def test_variety_puts_something_else_between_two_near_repeats() -> None:
    order = list(TextIndex(TEXTS).by_relevance("where is my order?", 0.4))
    assert order[0] in (0, 1)
    assert order[1] not in (0, 1)
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_nothing_to_compare_with_is_no_error() -> None:
    assert list(TextIndex([]).by_relevance("anything", 0.5)) == []
    assert TextIndex(TEXTS).likeness("") == pytest.approx([0.0] * 5, abs=0.2)
