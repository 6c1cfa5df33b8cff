"""The stand-in for a judge: forgiving about words, strict about digits, and a scale of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evaluation.answers import TIMED_OUT, call, row, sample
from flywheel.evaluation.metrics.base import BadMetric, Params
from flywheel.evaluation.metrics.text_matcher import TextMatcher, similarity
from flywheel.evaluation.sample import Sample, Verdict

CALLS = "{{ item.response.choices[0].message.tool_calls | default([], true) | tojson }}"
TEXT = "{{ item.response.choices[0].message.content | default('', true) }}"


def judged(expected: dict[str, Any], answer: Sample, **params: Any) -> Verdict:
    metric = TextMatcher(Params("m", {"tool_calls_ground_truth": CALLS, **params}))
    return asyncio.run(metric.score(expected, answer))


def rating(expected: dict[str, Any], answer: Sample, **params: Any) -> float | None:
    return judged(expected, answer, **params).scores["rating"]


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        ({"query": "shoes for running"}, {"query": "Running shoes, for"}),
        ({"order": "ORD-1234"}, {"order": "ord 1234"}),
        ({"nights": 2}, {"nights": "2"}),
        ({"gift": True}, {"gift": "true"}),
        ({"city": "Paris", "note": None}, {"city": "Paris"}),
        ({"tags": ["a", "b"]}, {"tags": ["A", "b"]}),
        ({"address": {"street": "Main Street 5"}}, {"address": {"street": "main street 5"}}),
        ({}, {}),
    ],
)
def test_alike(expected: dict[str, Any], predicted: dict[str, Any]) -> None:
    assert rating(row(call("f", expected)), sample(call("f", predicted))) == 1.0


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        ({"order": "ORD-1234"}, {"order": "ORD-1235"}),
        ({"state": "enabled"}, {"state": "disabled"}),
        ({"city": "Paris"}, {"city": "Rome"}),
        ({"city": "Paris"}, {}),
        ({"city": "Paris"}, {"city": "Paris", "stars": 5}),
        ({"gift": True}, {"gift": False}),
        ({"gift": True}, {"gift": 1}),
        ({"tags": ["a", "b"]}, {"tags": ["a"]}),
        ({"at": "10:30"}, {"at": "10:35"}),
    ],
)
def test_not_alike(expected: dict[str, Any], predicted: dict[str, Any]) -> None:
    assert rating(row(call("f", expected)), sample(call("f", predicted))) == 0.0


def test_every_call_needs_its_partner() -> None:
    two = [call("f", {"q": "red shoes"}), call("f", {"q": "blue hats"})]
    assert rating(row(*two), sample(*reversed(two))) == 1.0
    assert rating(row(*two), sample(two[0])) == 0.0
    assert rating(row(two[0]), sample(*two)) == 0.0
    assert judged(row(*two), sample(two[0])).scores["similarity"] == 0.5
    assert judged(row(*two), sample(two[0])).failure == "missing_call"


def test_deciding_not_to_call() -> None:
    assert rating(row(text="Hi!"), sample(text="Good day to you.")) == 1.0
    assert rating(row(text="Hi!"), sample(call("f"))) == 0.0
    assert rating(row(call("f")), sample(text="Hi!")) == 0.0


def test_texts_are_compared_where_a_reference_is_given() -> None:
    expected = row(text="Your order has shipped and arrives on Monday.")
    same = sample(text="your order has shipped, and arrives on monday")
    other = sample(text="We could not find such an article in the shop.")
    assert judged(expected, same, reference=TEXT, scale=[1, 10]).scores == {"rating": 1.0, "similarity": 10.0}
    verdict = judged(expected, other, reference=TEXT, scale=[1, 10])
    assert verdict.scores["rating"] == 0.0
    assert 1.0 < (verdict.scores["similarity"] or 0) < 6.0


def test_another_number_is_another_answer_though_the_texts_are_alike() -> None:
    expected, other = row(text="It costs 25 euros in all."), sample(text="It costs 35 euros in all.")
    verdict = judged(expected, other, reference=TEXT)
    assert verdict.scores["rating"] == 0.0
    assert (verdict.scores["similarity"] or 0) > 0.8


def test_an_answer_that_never_came_is_at_the_low_end_of_the_scale() -> None:
    verdict = judged(row(text="x"), TIMED_OUT, reference=TEXT, scale=[1, 10])
    assert verdict.scores == {"rating": 0.0, "similarity": 1.0}


def test_configurations_that_make_no_sense() -> None:
    with pytest.raises(BadMetric, match="needs tool_calls_ground_truth or reference"):
        TextMatcher(Params("m", {}))
    with pytest.raises(BadMetric, match=r"\[10, 1\] is not \[lowest, highest\]"):
        TextMatcher(Params("m", {"reference": TEXT, "scale": [10, 1]}))


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 1.5, "", "text", [], [1, "a"], {}, {"a": None}, 10**400, "9" * 400],
    ids=lambda value: repr(value)[:12],
)
@pytest.mark.parametrize("other", [None, False, 1, "1.5", "x", [[]], {"a": {"b": 1}}])
def test_any_json_compares_with_any(value: Any, other: Any) -> None:
    assert 0.0 <= similarity(value, other) <= 1.0
    assert similarity(value, other) == similarity(other, value)
    assert similarity(value, value) == 1.0
