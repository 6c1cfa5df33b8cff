"""Likeness by embeddings: a cosine, or no value, and never a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from flywheel.errors import ChatUnreachable
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.metrics import BadMetric, Metric, build_metric
from flywheel.evaluation.sample import Sample, Verdict

VECTORS = {"yes": [1.0, 0.0], "sure": [0.8, 0.6], "no": [-2.0, 0.0], "": [0.0, 0.0]}


class Embedding:
    def __init__(self, *, dead: bool = False) -> None:
        self.asked: list[tuple[list[str], str | None]] = []
        self._dead = dead

    async def __call__(self, texts: Sequence[str], input_type: str | None) -> list[list[float]]:
        self.asked.append((list(texts), input_type))
        if self._dead:
            raise ChatUnreachable("http://embed.test/v1/embeddings", "m", "no connection")
        return [VECTORS[text] for text in texts]


def metric_with(embedding: Embedding, **params: Any) -> Metric:
    config = {
        "type": "embedding-similarity",
        "params": {"model": "m", "reference": "{{item.right}}"} | params,
    }
    return build_metric(
        config, "m", lambda model, where: pytest.fail("no judge"), lambda model, where: embedding
    )


def scored(metric: Metric, answer: str, **item: Any) -> Verdict:
    response = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    return asyncio.run(metric.score({"right": "yes"} | item, Sample(response=response)))


@pytest.mark.parametrize(("answer", "value"), [("sure", 0.8), ("no", -1.0), ("", 0.0), ("yes ", 1.0)])
def test_the_score_is_the_cosine(answer: str, value: float) -> None:
    scores = scored(metric_with(Embedding()), answer).scores
    assert scores == {"embedding_similarity": pytest.approx(value)}


def test_equal_texts_are_not_embedded_and_the_nearest_reference_counts() -> None:
    embedding = Embedding()
    metric = metric_with(embedding, references=["{{item.right}}", "no"], input_type="query")
    assert scored(metric, "no").scores == {"embedding_similarity": 1.0}
    assert embedding.asked == []
    assert scored(metric, "sure").scores["embedding_similarity"] == pytest.approx(0.8)
    assert embedding.asked == [(["sure", "yes", "no"], "query")]


def test_an_answer_that_never_came_is_like_nothing() -> None:
    missing = Sample(failure=Failure.TIMEOUT)
    verdict = asyncio.run(metric_with(Embedding()).score({"right": "yes"}, missing))
    assert verdict.scores == {"embedding_similarity": 0.0}


def test_a_model_that_is_away_leaves_answers_unscored_and_is_left_alone_after_a_while() -> None:
    embedding = Embedding(dead=True)
    metric = metric_with(embedding)
    verdicts = [scored(metric, "sure") for _ in range(8)]
    assert all(verdict.scores == {"embedding_similarity": None} for verdict in verdicts)
    assert "http://embed.test/v1/embeddings" in (verdicts[0].note or "")
    assert len(embedding.asked) == 5


def test_what_makes_no_sense_is_said() -> None:
    with pytest.raises(BadMetric, match=r"m\.params\.model: is required"):
        metric_with(Embedding(), model=None)
    with pytest.raises(BadMetric, match="'document' is none of query, passage, none"):
        metric_with(Embedding(), input_type="document")
