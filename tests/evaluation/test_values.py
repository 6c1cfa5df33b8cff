"""When two values are the same, by the tool's schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.evaluation.values import Accepted, ArgumentRule, Rules, Shape, accepted, differences

INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}


def failures(expected: Any, got: Any, schema: Any = None, **rules: Any) -> list[str]:
    """The classes of what differs in the one argument `x`."""
    parameters = {"type": "object", "properties": {"x": schema or {}}}
    return [d.failure for d in differences(accepted({"x": expected}), {"x": got}, parameters, Rules(**rules))]


SAME = {
    "whole numbers": (5, 5.0, INTEGER),
    "whole numbers the other way round": (5.0, 5, NUMBER),
    "composed and decomposed letters": ("Malm\u00f6", "Malmo\u0308", TEXT),
    "outer blanks": ("Paris", " Paris\n", TEXT),
    "nested, keys in another order": ({"a": {"b": [1, 2]}, "c": 1}, {"c": 1.0, "a": {"b": [1, 2]}}, {}),
    "a set, where the schema says so": (["a", "b"], ["b", "a"], {"type": "array", "uniqueItems": True}),
    "a list of alternatives by reference": ([1], [1.0], {"type": "array", "items": {"$ref": "#/$defs/n"}}),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same(case: str) -> None:
    assert failures(*SAME[case]) == []


OTHER = {
    "true is not one": (1, True, INTEGER, "wrong_type"),
    "one is not true": (True, 1, {"type": "boolean"}, "wrong_type"),
    "text is no number": (5, "5", INTEGER, "wrong_type"),
    "case": ("Paris", "paris", TEXT, "wrong_value"),
    "a label, to the letter": ("a", " a", {"type": "string", "enum": ["a", " a"]}, "wrong_value"),
    "null is no text": ("a", None, TEXT, "wrong_type"),
    "an object is no text": ({"a": 1}, "a", {}, "wrong_type"),
    "a text is no list": (["a"], "a", {}, "wrong_type"),
    "order of a list": ([1, 2], [2, 1], {}, "wrong_value"),
    "a shorter list": ([1, 2], [1], {}, "wrong_value"),
    "a set with one twice": (["a", "b"], ["a", "a"], {"uniqueItems": True}, "wrong_value"),
}


@pytest.mark.parametrize("case", OTHER)
def test_another(case: str) -> None:
    *given_case, failure = OTHER[case]
    assert set(failures(*given_case)) == {failure}


def test_numbers_may_be_told_apart_by_their_notation_or_read_from_text() -> None:
    assert failures(5, 5.0, INTEGER, numbers="strict") == ["wrong_type"]
    assert failures(5.0, 5, NUMBER, numbers="strict") == []
    assert failures(5, "5", INTEGER, numbers="lenient") == []
    assert failures(5, "5", TEXT, numbers="lenient") == ["wrong_type"]
    assert failures(True, "true", {"type": "boolean"}, numbers="lenient") == []
    assert failures(5, "five", INTEGER, numbers="lenient") == ["wrong_type"]


@pytest.mark.parametrize(
    ("rule", "expected", "got", "same"),
    [
        (ArgumentRule("normalized"), "New York, NY", "new york ny", True),
        (ArgumentRule("normalized"), "a", "b", False),
        (ArgumentRule("date"), "2026-03-01", "2026-03-01T00:00:00", True),
        (ArgumentRule("date"), "2026-03-01", "2026-03-02", False),
        (ArgumentRule("date"), "2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z", True),
        (ArgumentRule("date"), "tomorrow", "soon", False),
        (ArgumentRule("numeric", 0.5), 10, 10.4, True),
        (ArgumentRule("numeric", 0.5), 10, 10.6, False),
        (ArgumentRule("numeric", 0.5), 10**400, 0.5, False),
        (ArgumentRule("any"), "whatever", "words", True),
        (ArgumentRule("any"), "whatever", "  ", False),
        (ArgumentRule("alike"), "Broken lamp", "broken lamp", True),
        (ArgumentRule("set"), [1, 2], [2, 1], True),
    ],
)
def test_an_argument_can_have_a_rule_of_its_own(
    rule: ArgumentRule, expected: Any, got: Any, same: bool
) -> None:
    assert (failures(expected, got, arguments={"x": rule}) == []) is same


def test_a_rule_can_be_for_one_tool_only() -> None:
    rules = Rules(arguments={"book.x": ArgumentRule("any")})
    assert differences(accepted({"x": "a"}), {"x": "b"}, {}, rules, "book") == []
    assert differences(accepted({"x": "a"}), {"x": "b"}, {}, rules, "cancel") != []


DEFAULTED = {
    "type": "object",
    "properties": {
        "city": TEXT,
        "nights": {"type": "integer", "default": 1},
        "note": {"type": ["string", "null"]},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"city": "a"}, {"city": "a", "nights": 1}),
        ({"city": "a", "nights": 1}, {"city": "a"}),
        ({"city": "a"}, {"city": "a", "note": None}),
        ({"city": "a", "note": None}, {"city": "a"}),
        ({"city": "a", "maybe": None}, {"city": "a"}),
    ],
)
def test_what_goes_without_saying_may_be_said_or_not(expected: dict[str, Any], got: dict[str, Any]) -> None:
    assert differences(accepted(expected), got, DEFAULTED, Rules()) == []


@pytest.mark.parametrize(
    ("expected", "got", "wanted"),
    [
        ({"city": "a", "nights": 2}, {"city": "a"}, [("nights", "missing_argument")]),
        ({"city": "a"}, {"city": "a", "nights": 2}, [("nights", "unknown_argument")]),
        ({"city": "a"}, {"city": "a", "invented": 2}, [("invented", "unknown_argument")]),
        ({"city": "a"}, {}, [("city", "missing_argument")]),
        ({"city": "a"}, {"city": None}, [("city", "wrong_type")]),
        ({"city": "a"}, "a", [("", "wrong_type")]),
        ({"city": {"a": [{"b": 1}]}}, {"city": {"a": [{"b": 2}]}}, [("city.a[0].b", "wrong_value")]),
    ],
)
def test_a_difference_has_a_path_and_a_class(
    expected: dict[str, Any], got: Any, wanted: list[tuple[str, str]]
) -> None:
    found = differences(accepted(expected), got, DEFAULTED, Rules())
    assert [(d.path, d.failure) for d in found] == wanted


def test_alternatives_are_any_of_and_the_nearest_one_tells_what_is_wrong() -> None:
    right = {"x": Accepted((Shape(a=Accepted((1, 2)), b=Accepted(("x",), optional=True)), "none"))}
    for value in ({"a": 2}, {"a": 1, "b": "x"}, "none"):
        assert differences(right, {"x": value}, {}, Rules()) == []
    (found,) = differences(right, {"x": {"a": 3}}, {}, Rules())
    assert (found.path, found.failure) == ("x.a", "wrong_value")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = st.dictionaries(
    st.sampled_from(
        ["type", "properties", "required", "items", "enum", "default", "anyOf", "$ref", "uniqueItems"]
    ),
    JSON,
    max_size=5,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), JSON, SCHEMAS)
def test_no_json_raises(expected: dict[str, Any], got: Any, schema: dict[str, Any]) -> None:
    for rules in (Rules(), Rules(strings="normalized", numbers="strict"), Rules(numbers="lenient")):
        differences(accepted(expected), got, schema, rules)


def test_values_that_nest_without_end_end() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    assert failures(deep, deep) == []
