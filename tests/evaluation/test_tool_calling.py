"""NVIDIA's tool-calling scores, and the failure class of every wrong answer."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.answers import TIMED_OUT, call, row, sample
from flywheel.evaluation.metrics.base import BadMetric, Params
from flywheel.evaluation.metrics.tool_calling import NAMES, NAMES_AND_ARGS, ToolCalling
from flywheel.evaluation.sample import Sample, Verdict

TEMPLATE = "{{ item.response.choices[0].message.tool_calls | tojson }}"


def judged(expected: dict[str, Any], answer: Sample, **params: Any) -> Verdict:
    metric = ToolCalling(Params("m", {"tool_calls_ground_truth": TEMPLATE, **params}))
    return asyncio.run(metric.score(expected, answer))


def scores(verdict: Verdict) -> tuple[float | None, float | None]:
    return verdict.scores[NAMES], verdict.scores[NAMES_AND_ARGS]


BOOK = call("book", {"city": "Paris", "nights": 2})

RIGHT = {
    "the same": (row(BOOK), sample(BOOK)),
    "keys in another order": (row(BOOK), sample(call("book", '{"nights": 2, "city": "Paris"}'))),
    "a whole number written as another": (row(BOOK), sample(call("book", {"city": "Paris", "nights": 2.0}))),
    "calls in another order": (
        row(call("a", {"x": 1}), call("b", {"y": 2})),
        sample(call("b", {"y": 2}), call("a", {"x": 1})),
    ),
    "a repeated call, which NVIDIA's rule does not see": (row(BOOK), sample(BOOK, BOOK)),
    "no call expected and none made": (row(text="Hello!"), sample(text="Good day.")),
    "no arguments at all, written as a blank": (row(call("ping")), sample(call("ping", " "))),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_answers(case: str) -> None:
    verdict = judged(*RIGHT[case])
    assert scores(verdict) == (1.0, 1.0)
    assert verdict.failure is None


CUT = sample(text="I would", finish="length")
BROKEN = sample(text='<tool_call>{"name": "book", "arguments": {"city": </tool_call>')
WRONG = {
    "words where a call was due": (row(BOOK), sample(text="Sure!"), (0, 0), "no_call_expected_call"),
    "a call where words were due": (row(text="Hi"), sample(BOOK), (0, 0), "call_expected_none"),
    "another function": (row(BOOK), sample(call("cancel")), (0, 0), "wrong_function"),
    "case counts": (
        row(BOOK),
        sample(call("Book", {"city": "Paris", "nights": 2})),
        (0, 0),
        "wrong_function",
    ),
    "one of two calls": (row(call("a"), call("b")), sample(call("a")), (0, 0), "missing_call"),
    "a call too many": (row(call("a")), sample(call("a"), call("b")), (0, 0), "extra_call"),
    "an argument left out": (row(BOOK), sample(call("book", {"city": "Paris"})), (1, 0), "missing_argument"),
    "an argument invented": (
        row(call("book", {"city": "Paris"})),
        sample(call("book", {"city": "Paris", "stars": 5})),
        (1, 0),
        "unknown_argument",
    ),
    "another value": (row(BOOK), sample(call("book", {"city": "Rome", "nights": 2})), (1, 0), "wrong_value"),
    "a number as text": (
        row(BOOK),
        sample(call("book", {"city": "Paris", "nights": "2"})),
        (1, 0),
        "wrong_type",
    ),
    "cut off": (row(BOOK), CUT, (0, 0), "truncated"),
    "a call that nobody can read": (row(BOOK), BROKEN, (0, 0), "invalid_json"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_answers_have_a_class(case: str) -> None:
    expected, answer, wanted, failure = WRONG[case]
    verdict = judged(expected, answer)
    assert scores(verdict) == wanted
    assert verdict.failure == failure


def test_a_refusal_is_called_one() -> None:
    refusing = Sample(response={"choices": [{"message": {"role": "assistant", "refusal": "I won't."}}]})
    assert judged(row(BOOK), refusing).failure == "refused"


def test_an_answer_that_never_came_is_wrong() -> None:
    assert scores(judged(row(BOOK), TIMED_OUT)) == (0.0, 0.0)
    assert scores(judged(row(text="Hi"), TIMED_OUT)) == (0.0, 0.0)


def test_arguments_that_are_no_json_have_no_value_as_at_nvidia_or_are_wrong_if_asked_so() -> None:
    babble = sample(call("book", '{"city": Paris'))
    assert scores(judged(row(BOOK), babble)) == (1.0, None)
    wrong = judged(row(BOOK), babble, invalid_json="wrong")
    assert scores(wrong) == (1.0, 0.0)
    assert wrong.failure == "invalid_json"


@pytest.mark.parametrize("arguments", [{"city": "Paris", "nights": 2}, '{"city": "Paris", "nights": 2}'])
def test_references_are_read_from_objects_and_from_text(arguments: Any) -> None:
    expected = row(BOOK)
    expected["response"]["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = arguments
    assert scores(judged(expected, sample(BOOK))) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([call("book", "{nights: 2}")], "not a JSON object"),
        ([call("book", "[1]")], "not a JSON object"),
        ([{"type": "custom", "custom": {"name": "x", "input": "y"}}], "no function name"),
        ({"name": "book"}, "not a list"),
    ],
)
def test_a_reference_that_cannot_be_a_call_counts_for_nothing_and_says_why(calls: Any, reason: str) -> None:
    expected = row(text="x")
    expected["response"]["choices"][0]["message"]["tool_calls"] = calls
    for answer in (sample(BOOK), TIMED_OUT):
        verdict = judged(expected, answer)
        assert scores(verdict) == (None, None)
        assert verdict.bad_reference is not None
        assert reason in verdict.bad_reference


def test_arguments_that_nest_without_end_are_no_json() -> None:
    abyss = sample(call("book", '{"a":' * 500 + "1" + "}" * 500))
    verdict = judged(row(BOOK), abyss, invalid_json="wrong")
    assert (scores(verdict), verdict.failure) == ((1.0, 0.0), "invalid_json")


def test_a_metric_without_ground_truth_says_what_is_missing() -> None:
    with pytest.raises(BadMetric, match=r"m\.params\.tool_calls_ground_truth: is required"):
        ToolCalling(Params("m", {}))
    with pytest.raises(BadMetric, match="'maybe' is none of exclude, wrong"):
        ToolCalling(Params("m", {"tool_calls_ground_truth": TEMPLATE, "invalid_json": "maybe"}))


@pytest.mark.parametrize("name", ["wire_pydantic-ai", "tau2_retail_gpt-4.1", "apibank"])
def test_every_teacher_agrees_with_itself(shared_data: Path, name: str) -> None:
    """Real references: each is right against itself on both scores, or left out with a reason."""
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    verdicts = [judged(record, Sample(response=record["response"])) for record in records]
    left_out = [verdict for verdict in verdicts if verdict.bad_reference]
    assert all(scores(v) == (1.0, 1.0) for v in verdicts if not v.bad_reference)
    assert all(scores(v) == (None, None) for v in left_out)
    assert len(left_out) <= len(records) * 0.1


OURS = {"tools": "{{ item.request.tools | default([], true) | tojson }}", "invalid_json": "wrong"}
DEFAULTED = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {"type": "object", "properties": {"nights": {"type": "integer", "default": 2}}},
        },
    }
]


def offered(expected: dict[str, Any]) -> dict[str, Any]:
    return {**expected, "request": {**expected["request"], "tools": DEFAULTED}}


def test_the_meaning_of_a_call_is_scored_beside_nvidias_rule() -> None:
    verdict = judged(offered(row(BOOK)), sample(call("book", {"city": "Paris"})), **OURS)
    assert scores(verdict) == (1.0, 0.0), "NVIDIA's rule wants the default said"
    assert verdict.scores["schema_function_name_and_args_accuracy"] == 1.0
    assert verdict.failure is None
    twice = judged(offered(row(BOOK)), sample(BOOK, BOOK), **OURS)
    assert (scores(twice), twice.scores["schema_function_name"]) == ((1.0, 1.0), 0.0)
    assert twice.failure == "extra_call"
    assert twice.details is not None
    assert [each["outcome"] for each in twice.details["calls"]] == ["right", "extra"]


def test_an_answer_that_never_came_is_wrong_by_its_meaning_too() -> None:
    verdict = judged(row(BOOK), TIMED_OUT, **OURS)
    assert {verdict.scores[n] for n in ("schema_function_name", "call_recall", "call_decision_accuracy")} == {
        0.0
    }


def test_what_else_is_right_comes_from_the_record() -> None:
    expected = {
        **offered(row(BOOK)),
        "metadata": {"acceptable": [{"name": "book", "arguments": {"city": "Rome"}}]},
    }
    asked = {**OURS, "acceptable": "{{ item.metadata.acceptable | default(none) | tojson }}"}
    answer = sample(call("book", {"city": "Rome"}))
    assert judged(expected, answer, **asked).scores["schema_function_name_and_args_accuracy"] == 1.0
    del expected["metadata"]
    assert judged(expected, answer, **asked).scores["schema_function_name_and_args_accuracy"] == 0.0
    expected["metadata"] = {"acceptable": "Rome"}
    assert "not a list" in str(judged(expected, answer, **asked).bad_reference)


def test_rules_are_read_and_a_wrong_one_is_named() -> None:
    loose = {
        **OURS,
        "rules": {"strings": "normalized", "arguments": {"book.nights": {"mode": "numeric", "tolerance": 1}}},
    }
    verdict = judged(offered(row(BOOK)), sample(call("book", {"city": "PARIS", "nights": 3})), **loose)
    assert verdict.scores["schema_function_name_and_args_accuracy"] == 1.0
    for rules, place in (
        ({"string": "x"}, r"rules\.string: "),
        ({"arguments": {"a": "near"}}, r"rules\.arguments\.a"),
    ):
        with pytest.raises(BadMetric, match=place):
            judged(row(BOOK), sample(BOOK), **OURS, rules=rules)
