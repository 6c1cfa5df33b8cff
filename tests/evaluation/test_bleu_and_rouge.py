"""The numbers of sacrebleu 2.6.0 and of Google's rouge_score 0.1.2 with its stemmer, on the same texts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluation.answers import TIMED_OUT, row, sample
from flywheel.evaluation.metrics import Overall, build_metric
from flywheel.evaluation.metrics.base import BadMetric
from flywheel.evaluation.results import record_of, task_result
from flywheel.evaluation.run import score
from flywheel.evaluation.sample import Example, Sample

# (reference, candidate, rouge-1, rouge-2, rouge-3, rouge-L, sentence BLEU)
PAIRS = [
    ("The cat sat on the mat.", "A cat was sitting on mats", 0.5, 0.0, 0.0, 0.5, 8.17061),
    (
        "Your order 4711 ships on Monday to 12 Oak Street.",
        "The order 4711 will be shipped to 12 Oak Street on Monday.",
        *(0.818181818, 0.5, 0.222222222, 0.636363636, 26.911091),
    ),
    (
        "Größe und Preis: 10,50 EUR",
        "Preis 10,50 EUR; Größe M",
        *(0.857142857, 0.666666667, 0.4, 0.571428571, 19.30487),
    ),
    (
        "Refunds take five days. You will be notified by e-mail once the money is on its way.",
        "We notified you: refund takes 5 days, money is on the way by email.",
        *(0.6875, 0.2, 0.071428571, 0.4375, 9.960247),
    ),
    ("yes", "no", 0.0, 0.0, 0.0, 0.0, 0.0),
    ("yes", "Yes!", 1.0, 0.0, 0.0, 1.0, 0.0),
    (
        "the same words in another order",
        "order another in words same the",
        *(1.0, 0.0, 0.0, 0.166666667, 12.703319),
    ),
    # Words of three letters keep their s.
    ("say hi to him", "say his to him", 0.75, 0.333333333, 0.0, 0.75, 35.355339),
]
LONG = PAIRS[:7]
CORPUS_BLEU = 12.647451621480064
REFERENCE = {"reference": "{{ item.response.choices[0].message.content }}"}


def metric(kind: str, **params: Any) -> Any:
    config = {"type": kind, "params": params or REFERENCE}
    return build_metric(config, "m", lambda model, where: pytest.fail("no judge"))


def scores(kind: str, item: dict[str, Any], answer: Sample, **params: Any) -> dict[str, float | None]:
    return dict(asyncio.run(metric(kind, **params).score(item, answer)).scores)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_rouge_is_googles(pair: Any) -> None:
    found = scores("rouge", row(text=pair[0]), sample(text=pair[1]))

    assert list(found) == ["rouge_1_score", "rouge_2_score", "rouge_3_score", "rouge_L_score"]
    assert list(found.values()) == pytest.approx(pair[2:6], abs=1e-9)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_bleu_of_a_sentence_is_sacrebleus(pair: Any) -> None:
    assert scores("bleu", row(text=pair[0]), sample(text=pair[1])) == {
        "sentence": pytest.approx(pair[6], abs=1e-6)
    }


def test_bleu_of_a_corpus_without_any_long_match_is_smoothed() -> None:
    pairs = [(row(text=PAIRS[n][0]), sample(text=PAIRS[n][1])) for n in (0, 4, 7)]

    assert results(pairs)["corpus"]["value"] == pytest.approx(11.976094364589539, abs=1e-9)


def test_bleu_of_a_corpus_counts_over_all_answers_and_is_no_mean() -> None:
    pairs = [(row(text=pair[0]), sample(text=pair[1])) for pair in LONG]

    found = results(pairs)

    assert found["corpus"] == {
        "value": pytest.approx(CORPUS_BLEU, abs=1e-9),
        "stats": {"count": 7, "nan_count": 0},
    }
    assert found["sentence"]["value"] == pytest.approx(sum(pair[6] for pair in LONG) / 7, abs=1e-6)
    assert found["sentence"]["stats"]["count"] == 7


def test_an_answer_that_never_came_weighs_as_an_empty_one_and_a_bad_reference_as_none() -> None:
    pairs = [(row(text=PAIRS[0][0]), sample(text=PAIRS[0][0])), (row(text=PAIRS[1][0]), TIMED_OUT)]

    with_missing, without = results(pairs), results(pairs[:1])

    assert without["corpus"]["value"] == pytest.approx(100.0)
    assert with_missing["corpus"]["value"] < 50.0
    assert with_missing["sentence"]["value"] == pytest.approx(50.0)
    with_bad = results([pairs[0], ({"other": 1}, sample(text="x"))])
    assert with_bad["corpus"] == {
        "value": without["corpus"]["value"],
        "stats": {"count": 1, "nan_count": 1},
    }
    assert "corpus" not in results([({"other": 1}, sample(text="x"))])


def results(pairs: list[tuple[dict[str, Any], Sample]]) -> dict[str, Any]:
    bleu = metric("bleu")
    assert isinstance(bleu, Overall)
    metrics = {"bleu": bleu}
    records = [
        record_of("t", asyncio.run(score(Example(str(at), at, item, None), answer, metrics)))
        for at, (item, answer) in enumerate(pairs)
    ]
    found: dict[str, Any] = task_result(records, metrics)["metrics"]["bleu"]["scores"]
    return found


def test_of_several_references_the_best_counts() -> None:
    several = {"references": ["nothing alike", "{{ item.response.choices[0].message.content }}"]}
    item, answer = row(text="The cat sat down."), sample(text="the cat sat down")

    assert scores("rouge", item, answer, **several)["rouge_L_score"] == 1.0
    assert scores("em", item, answer, **several) == {"em": 1.0}
    assert scores("f1", item, answer, **several) == {"f1": 1.0}
    exact = scores("bleu", item, sample(text="The cat sat down."), **several)
    assert exact["sentence"] == pytest.approx(100.0)


def test_texts_without_any_word_that_rouge_reads_have_no_value() -> None:
    assert set(scores("rouge", row(text="東京です"), sample(text="東京です")).values()) == {None}
    assert set(scores("rouge", row(text="東京 12"), TIMED_OUT).values()) == {0.0}


def test_the_candidate_may_be_something_else_than_the_answers_text() -> None:
    params = {"ground_truth": "{{ item.gold }}", "prediction": "{{ item.guess }}"}

    found = scores("rouge", {"gold": "four", "guess": "four"}, sample(text="five"), **params)

    assert found["rouge_1_score"] == 1.0


@pytest.mark.parametrize("kind", ["bleu", "rouge", "json-match"])
def test_without_a_reference_the_configuration_is_refused(kind: str) -> None:
    with pytest.raises(BadMetric, match=r"m\.params\.reference: is required"):
        metric(kind, candidate="x")
