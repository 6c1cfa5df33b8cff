"""What is right beside the teacher's own answer, and the scores of an answer against it."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.answers import call
from flywheel.evaluation.calls import BadReference, calls_of
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.matching import ExpectedCall
from flywheel.evaluation.references import acceptable_answers, best_match
from flywheel.evaluation.tool_scores import (
    DECISION,
    NAMES,
    NAMES_AND_ARGS,
    breakdown,
    details_of,
    no_answer,
    score_answer,
)
from flywheel.evaluation.values import Rules


def message(*calls: Any, text: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def expected(*calls: Any) -> tuple[ExpectedCall, ...]:
    return tuple(ExpectedCall.of(c) for c in calls_of(message(*calls)))


BOOK = call("book", {"city": "Paris", "nights": 2})


def test_alternatives_of_an_argument_and_optional_ones() -> None:
    (answer,) = acceptable_answers(
        [
            {
                "name": "book",
                "arguments": {
                    "city": {"any_of": ["Paris", "paris"]},
                    "nights": {"any_of": [2], "optional": True},
                },
            }
        ]
    )
    for arguments in ({"city": "paris"}, {"city": "Paris", "nights": 2}):
        assert best_match([answer], calls_of(message(call("book", arguments))), {}, Rules()).right
    assert not best_match([answer], calls_of(message(call("book", {"city": "Rome"}))), {}, Rules()).right


def test_several_answers_one_of_which_is_to_say_nothing() -> None:
    answers = acceptable_answers([[{"name": "book", "arguments": {"city": "Paris"}}], []])
    assert best_match(answers, (), {}, Rules()).right
    assert best_match(answers, calls_of(message(call("book", {"city": "Paris"}))), {}, Rules()).right
    assert not best_match(answers, calls_of(message(call("cancel"))), {}, Rules()).right


def test_an_object_among_the_alternatives_has_alternatives_for_each_member() -> None:
    (answer,) = acceptable_answers(
        [{"name": "f", "arguments": {"x": {"any_of": [{"min": [1, 2], "max": [9]}]}}}]
    )
    assert best_match([answer], calls_of(message(call("f", {"x": {"min": 2, "max": 9}}))), {}, Rules()).right
    assert not best_match(
        [answer], calls_of(message(call("f", {"x": {"min": 3, "max": 9}}))), {}, Rules()
    ).right


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("book", "is a str, not a list"),
        ([{"arguments": {}}], r"acceptable\[0\] is no call"),
        ([[{"name": "f", "arguments": 7}]], r"acceptable\[0\]\[0\]\.arguments is a int"),
        ([{"name": "f", "arguments": {"x": {"any_of": 1}}}], r"arguments\.x\.any_of is a int"),
    ],
)
def test_an_acceptable_answer_that_is_none_names_the_place(value: Any, problem: str) -> None:
    with pytest.raises(BadReference, match=problem):
        acceptable_answers(value)


@pytest.mark.parametrize(
    ("right", "answer", "names", "both", "decision", "failure"),
    [
        ([expected(BOOK)], message(BOOK), 1, 1, 1, None),
        ([expected(BOOK)], message(text="Sure"), 0, 0, 0, "no_call_expected_call"),
        ([()], message(BOOK), 0, 0, 0, "call_expected_none"),
        ([()], message(text="Hello"), 1, 1, 1, None),
        ([expected(BOOK), ()], message(text="Hello"), 1, 1, 1, None),
        ([expected(BOOK)], message(call("cancel")), 0, 0, 1, "wrong_function"),
        ([expected(BOOK)], message(BOOK, BOOK), 0, 0, 1, "extra_call"),
        ([expected(BOOK)], message(text='<tool_call>{"name": "book", "arg'), 0, 0, 0, "invalid_json"),
    ],
)
def test_scores_of_one_answer(
    right: Any, answer: Any, names: float, both: float, decision: float, failure: str | None
) -> None:
    scored = score_answer(right, answer, None, {}, Rules())
    assert (scored.scores[NAMES], scored.scores[NAMES_AND_ARGS]) == (names, both)
    assert (scored.scores[DECISION], scored.failure) == (decision, failure)


def test_an_answer_that_was_cut_off_or_never_came() -> None:
    assert score_answer([expected(BOOK)], message(text="I wou"), "length", {}, Rules()).failure == "truncated"
    silent = no_answer([expected(BOOK)], Failure.TIMEOUT)
    assert (silent.scores[NAMES_AND_ARGS], silent.scores["call_recall"], silent.failure) == (
        0.0,
        0.0,
        "timeout",
    )
    assert no_answer([()], Failure.ERROR).scores["call_recall"] is None


def test_the_breakdown_says_where_answers_are_wrong() -> None:
    scored = [
        score_answer([expected(BOOK)], answer, None, {}, Rules())
        for answer in (
            message(BOOK),
            message(call("book", {"city": "Rome", "nights": 2})),
            message(call("book", {"city": "Rome"})),
            message(call("cancel")),
            message(text="Sure"),
        )
    ]
    found = breakdown(map(details_of, scored))
    assert found["tools"]["book"] == {"right": 1, "wrong": 2, "missing": 2}
    assert found["tools"]["cancel"] == {"extra": 1}
    assert found["arguments"] == {"book.city": {"wrong_value": 2}, "book.nights": {"missing_argument": 1}}
    assert found["decisions"] == {"called": 4, "called_wrongly": 0, "spoke": 0, "spoke_wrongly": 1}
