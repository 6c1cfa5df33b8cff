"""Samples of several evaluations become scores on the same records."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.evaluation.comparison import BadComparison, compare
from flywheel.evaluation.pairing import NOT_ASKED, NOT_SCORED, Evaluated, pair
from flywheel.evaluation.verdicts import verdicts

METRIC, SCORE = "tool-calling-accuracy", "function_name_and_args_accuracy"


def entry(
    name: str | None, value: float | None, *, conversation: str | None = None, **more: Any
) -> dict[str, Any]:
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "search", "arguments": {}}}]}
    item = {
        "name": name,
        "conversation": conversation,
        "request": {
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"function": {"name": "search"}}],
        },
        "response": {"choices": [{"message": message}]},
    }
    return {
        "item": {key: each for key, each in item.items() if each is not None},
        "metrics": {METRIC: {"scores": {SCORE: {"value": value}}}},
        **more,
    }


def test_samples_are_joined_by_the_name_of_their_row_in_any_order() -> None:
    rows, (base, tuned) = pair(
        [
            Evaluated("base", "base", [entry("a", 0.0, conversation="k"), entry("b", 1.0, conversation="k")]),
            Evaluated("tuned", "candidate", [entry("b", 0.0), entry("a", 1.0)]),
        ],
        metric=METRIC,
        score=SCORE,
    )
    assert [(row.key, row.conversation, row.bad_reference) for row in rows] == [
        ("a", "k", None),
        ("b", "k", None),
    ]
    assert rows[0].slices["tool"] == ("search",)
    assert (base.scores, tuned.scores) == ({"a": 0.0, "b": 1.0}, {"b": 0.0, "a": 1.0})


def test_an_answer_that_never_came_is_missing_and_a_silent_judge_leaves_the_record_out() -> None:
    rows, (student,) = pair(
        [
            Evaluated(
                "student",
                "candidate",
                [entry("a", None, failure="timeout"), entry("b", None), entry("c", 1.0)],
            )
        ],
        metric=METRIC,
        score=SCORE,
    )
    assert [row.bad_reference for row in rows] == [None, NOT_SCORED, None]
    assert (student.scores["a"], student.failures) == (None, {"a": "timeout"})
    table = compare(rows, [student])
    assert (table.records, table.systems[0].value, table.left_out) == (2, 0.5, {NOT_SCORED: 1})


def test_a_bad_reference_and_a_record_that_not_all_were_asked_are_left_out_with_the_reason() -> None:
    rows, _ = pair(
        [
            Evaluated(
                "one", "candidate", [entry("a", 1.0, bad_reference="arguments are not JSON"), entry("b", 1.0)]
            ),
            Evaluated("two", "candidate", [entry("a", 1.0)]),
        ],
        metric=METRIC,
        score=SCORE,
    )
    assert [row.bad_reference for row in rows] == ["arguments are not JSON", NOT_ASKED]


def test_rows_without_names_are_told_apart_by_their_place_and_stand_alone() -> None:
    rows, _ = pair(
        [Evaluated("s", "candidate", [entry(None, 1.0), entry(None, 0.0)])], metric=METRIC, score=SCORE
    )
    assert [(row.key, row.conversation) for row in rows] == [("row 0", "row 0"), ("row 1", "row 1")]


def test_a_judges_grades_are_brought_to_one_scale() -> None:
    _, (student,) = pair(
        [Evaluated("s", "candidate", [entry("a", 10.0), entry("b", 1.0), entry("c", 5.5)])],
        metric=METRIC,
        score=SCORE,
        scale=(1, 10),
    )
    assert student.scores == {"a": 1.0, "b": 0.0, "c": 0.5}


@pytest.mark.parametrize("grade", [0.0, 11.0, float("nan")])
def test_a_grade_off_the_scale_is_no_grade_and_costs_that_record_only(grade: float) -> None:
    rows, (student,) = pair(
        [Evaluated("s", "candidate", [entry("a", grade), entry("b", 10.0)])],
        metric=METRIC,
        score=SCORE,
        scale=(1, 10),
    )
    assert [row.bad_reference for row in rows] == [NOT_SCORED, None]
    assert student.scores == {"a": None, "b": 1.0}


def test_a_score_that_no_sample_has_is_named() -> None:
    evaluated = [Evaluated("s", "candidate", [entry("a", 1.0)])]
    with pytest.raises(BadComparison, match="no sample has the score 'similarity' of the metric 'llm-judge'"):
        pair(evaluated, metric="llm-judge", score="similarity")


def test_a_name_that_comes_again_is_another_record() -> None:
    rows, (student,) = pair(
        [Evaluated("s", "candidate", [entry("a", 1.0), entry("a", 0.0)])], metric=METRIC, score=SCORE
    )
    assert [row.key for row in rows] == ["a", "a#2"]
    assert student.scores == {"a": 1.0, "a#2": 0.0}


def test_from_samples_to_a_verdict() -> None:
    def samples(wrong: int) -> list[dict[str, Any]]:
        return [entry(f"r{i}", float(i >= wrong), conversation=f"c{i // 2}") for i in range(600)]

    rows, systems = pair(
        [Evaluated("teacher", "ceiling", samples(6)), Evaluated("student", "candidate", samples(120))],
        metric=METRIC,
        score=SCORE,
    )
    (verdict,) = verdicts(compare(rows, systems))
    assert str(verdict) == "no: loses on tool search (19 points on 600 records)"


def test_records_are_told_apart_by_the_language_of_their_users_where_that_is_sure() -> None:
    def asked(name: str, text: str) -> dict[str, Any]:
        made = entry(name, 1.0)
        system = {"role": "system", "content": "You answer in English, whatever customers write in."}
        made["item"]["request"]["messages"] = [system, {"role": "user", "content": text}]
        return made

    german = [asked(f"g{k}", f"Wo ist meine Bestellung {k}, und wann kommt sie an?") for k in range(25)]
    english = [asked(f"e{k}", f"Where is my order {k}, and when will it arrive?") for k in range(30)]
    french = [asked(f"f{k}", f"Où est ma commande {k}, et quand arrive-t-elle ?") for k in range(19)]
    rows, systems = pair(
        [Evaluated("tuned", "candidate", [*german, *english, *french])], metric=METRIC, score=SCORE
    )
    slices = {each.label: each for each in compare(rows, systems).slices if each.axis == "language"}
    assert {label: each.records for label, each in slices.items()} == {"en": 30, "de": 25, "unknown": 19}
