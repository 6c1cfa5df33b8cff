"""Arguments side by side: what is shown as different is what made the answer wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.evaluation.calls import calls_of
from flywheel.evaluation.diffing import differences_of
from flywheel.evaluation.matching import ExpectedCall, match, parameters_of
from flywheel.evaluation.values import ArgumentRule, Rules

BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "integer"},
                "smoking": {"type": "boolean", "default": False},
                "guest": {"type": "object"},
            },
            "required": ["city"],
        },
    },
}
REQUEST = {"messages": [], "tools": [BOOK]}


def said(*calls: tuple[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": given}} for name, given in calls]}


def told(expected: Any, got: Any, rules: Rules = Rules(), **more: Any) -> list[tuple[Any, ...]]:  # noqa: B008
    lines = differences_of(REQUEST, expected, got, rules, **more)
    return [(x["argument"], x["expected"], x["got"], x["verdict"]) for x in lines]


GRAZ = ("city", "Graz", "Graz", "same")
ANN, BEN = {"name": "Ann", "age": 3}, {"name": "Ben", "age": 3}


@pytest.mark.parametrize(
    ("expected", "got", "lines"),
    [
        ({}, {}, [GRAZ]),
        ({}, {"city": "Linz"}, [("city", "Graz", "Linz", "wrong_value")]),
        ({"nights": 2}, {}, [GRAZ, ("nights", 2, None, "missing_argument")]),
        ({}, {"pets": 1}, [GRAZ, ("pets", None, 1, "unknown_argument")]),
        ({"nights": 2}, {"nights": "two"}, [GRAZ, ("nights", 2, "two", "wrong_type")]),
        ({}, {"smoking": False}, [GRAZ, ("smoking", None, False, "same")]),
        ({"guest": ANN}, {"guest": BEN}, [GRAZ, ("guest", ANN, BEN, "wrong_value")]),
    ],
)
def test_every_argument_of_both_sides_is_a_line(expected, got, lines):
    reference = said(("book", {"city": "Graz"} | expected))
    assert told(reference, said(("book", json.dumps({"city": "Graz"} | got)))) == lines


def test_lines_differ_where_the_score_says_wrong():
    rules = Rules(strings="normalized", arguments={"book.nights": ArgumentRule("numeric", 1.0)})
    pairs = [("GRAZ", 2), ("graz.", 3), ("Linz", 2), ("Graz", 9)]
    for city, nights in pairs:
        reference, answer = (
            said(("book", {"city": "Graz", "nights": 2})),
            said(("book", {"city": city, "nights": nights})),
        )
        expected = [ExpectedCall.of(call) for call in calls_of(reference)]
        right = match(expected, calls_of(answer), parameters_of([BOOK]), rules).right
        verdicts = {line[3] for line in told(reference, answer, rules)}
        assert (verdicts == {"same"}) == right


def _line(tool: str, expected: Any, got: Any, verdict: str) -> dict[str, Any]:
    return {"tool": tool, "argument": None, "expected": expected, "got": got, "verdict": verdict}


def test_calls_without_a_partner_are_told_whole():
    lines = differences_of(REQUEST, said(("book", {"city": "Graz"})), said(("cancel", '{"id": 7}')), Rules())
    assert lines == [
        _line("book", {"city": "Graz"}, None, "missing_call"),
        _line("cancel", None, {"id": 7}, "extra_call"),
    ]
    assert told(said(("book", {"city": "Graz"})), {"content": "No."}) == [
        (None, {"city": "Graz"}, None, "missing_call")
    ]
    assert told({"content": "No."}, said(("book", {"city": "Graz"}))) == [
        (None, None, {"city": "Graz"}, "extra_call")
    ]


@pytest.mark.parametrize(("raw", "verdict"), [("{oops", "invalid_json"), ("[1]", "wrong_type")])
def test_arguments_that_are_no_object_are_told_as_they_came(raw, verdict):
    got = raw if verdict == "invalid_json" else [1]
    assert told(said(("book", {"city": "Graz"})), said(("book", raw))) == [
        (None, {"city": "Graz"}, got, verdict)
    ]


def test_of_several_right_answers_the_nearest_is_shown():
    acceptable = [{"name": "book", "arguments": {"city": {"any_of": ["Wien", "Vienna"]}}}]
    lines = told(said(("book", {"city": "Graz"})), said(("book", {"city": "Vienna"})), acceptable=acceptable)
    assert lines == [("city", "Wien", "Vienna", "same")]


@pytest.mark.parametrize("reference", [said(("book", "{oops")), said(("", {})), {"tool_calls": 5}])
def test_a_reference_that_cannot_be_one_has_no_lines(reference):
    assert told(reference, said(("book", {"city": "Graz"}))) == []


def test_words_have_no_lines_and_json_has_those_that_differ():
    words = {"content": "Hello"}
    assert told(words, {"content": "Bye"}) == []
    schema = {"type": "object", "properties": {"a": {"type": "array"}, "b.c": {"type": "string"}}}
    asked = {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    right = {"content": '{"a": [1, {"x": 2}], "b.c": "y"}'}

    def lines(text: str) -> list[tuple[Any, ...]]:
        found = differences_of(asked, right, {"content": text}, Rules())
        return [(x["tool"], x["argument"], x["expected"], x["got"], x["verdict"]) for x in found]

    assert lines('{"a": [1, {"x": 2}], "b.c": "y"}') == []
    assert lines('{"a": [1, {"x": 3}], "b.c": "z"}') == [
        (None, "a[1].x", 2, 3, "wrong_value"),
        (None, "b.c", "y", "z", "wrong_value"),
    ]
    assert lines("no JSON") == [(None, None, json.loads(right["content"]), "no JSON", "invalid_json")]
