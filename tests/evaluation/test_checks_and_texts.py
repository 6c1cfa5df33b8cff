"""string-check, number-check, em and f1, as NVIDIA's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluation.answers import TIMED_OUT, row, sample
from flywheel.evaluation.metrics import BadMetric, build_metric
from flywheel.evaluation.sample import Sample, Verdict


def judged(kind: str, params: dict[str, Any], answer: Sample, item: dict[str, Any] | None = None) -> Verdict:
    metric = build_metric({"type": kind, "params": params}, "m", lambda model, where: pytest.fail("no judge"))
    return asyncio.run(metric.score(item or row(text="Paris"), answer))


@pytest.mark.parametrize(
    ("operation", "right", "score"),
    [
        ("equals", "Paris", 1.0),
        ("==", "Rome", 0.0),
        ("!=", "Rome", 1.0),
        ("<>", "Paris", 0.0),
        ("contains", "ari", 1.0),
        ("not contains", "ari", 0.0),
        ("startswith", "Pa", 1.0),
        ("endswith", "Pa", 0.0),
    ],
)
def test_string_check(operation: str, right: str, score: float) -> None:
    verdict = judged(
        "string-check", {"check": ["{{sample.output_text}}", operation, right]}, sample(text="Paris")
    )
    assert verdict.scores == {"string-check": score}


@pytest.mark.parametrize(
    ("check", "score"),
    [
        (["{{ output_text }}", "==", "12"], 1.0),
        (["{{ output_text }}", ">=", "{{ item.gold }}"], 1.0),
        (["{{ output_text }}", "less than", "3"], 0.0),
        (["{{ output_text }}", "absolute difference", "12.4", "epsilon", 0.5], 1.0),
        (["no number", "==", "12"], None),
        (["1.2.3", "==", "12"], None),
    ],
)
def test_number_check_takes_the_last_number(check: list[Any], score: float | None) -> None:
    verdict = judged("number-check", {"check": check}, sample(text="Of 7, that is 12"), {"gold": 11})
    assert verdict.scores == {"number-check": score}


def test_em_and_f1_see_words_without_case_articles_and_punctuation() -> None:
    reference = {"reference": "{{ item.response.choices[0].message.content }}"}
    item = row(text="The cat sat.")
    assert judged("em", reference, sample(text="cat, SAT"), item).scores == {"em": 1.0}
    assert judged("em", reference, sample(text="cats sat"), item).scores == {"em": 0.0}
    assert judged("f1", reference, sample(text="a cat stood up"), item).scores["f1"] == pytest.approx(0.4)
    assert judged("f1", reference, sample(text=""), item).scores == {"f1": 0.0}


def test_answers_that_never_came_are_wrong_everywhere() -> None:
    for kind, params in (
        ("string-check", {"check": ["{{sample.output_text}}", "==", ""]}),
        ("number-check", {"check": ["{{sample.output_text}}", "==", "1"]}),
        ("em", {"reference": ""}),
        ("f1", {"reference": "x"}),
    ):
        if params.get("reference") == "":
            params["reference"] = "{{ '' }}"
        assert list(judged(kind, params, TIMED_OUT).scores.values()) == [0.0]


def test_a_row_without_the_reference_counts_for_nothing() -> None:
    verdict = judged("em", {"reference": "{{ item.gold }}"}, sample(text="x"), {"other": 1})
    assert verdict.scores == {"em": None}
    assert "gold" in (verdict.bad_reference or "")


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("string-check", {"check": ["a", "resembles", "b"]}, "'resembles' is none of"),
        ("string-check", {"check": ["a"]}, r"is not \[left, operation, right\]"),
        ("string-check", {}, "is required"),
        ("number-check", {"check": ["1", "absolute difference", "2"]}, 'needs "epsilon"'),
        ("em", {}, "is required"),
        ("em", [1], "is not an object"),
    ],
)
def test_configurations_that_make_no_sense(kind: str, params: Any, message: str) -> None:
    with pytest.raises(BadMetric, match=message):
        judged(kind, params, sample(text="x"))
