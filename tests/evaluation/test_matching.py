"""Calls against calls: the best assignment, and what never changes the score."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.evaluation.calls import ToolCall
from flywheel.evaluation.matching import ExpectedCall, Match, match, parameters_of
from flywheel.evaluation.values import Rules


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, True, arguments)


def matched(expected: list[ToolCall], predicted: list[ToolCall], schema: Any = None, **rules: Any) -> Match:
    parameters = {c.name: schema or {} for c in expected}
    return match([ExpectedCall.of(c) for c in expected], predicted, parameters, Rules(**rules))


A, B = call("a", x=1), call("b", y=2)
BROKEN = ToolCall("a", None, False, '{"x": ')


@pytest.mark.parametrize(
    ("expected", "predicted", "failure", "hits"),
    [
        ([], [], None, 0),
        ([A], [A], None, 1),
        ([A, B], [B, A], None, 2),
        ([A, A], [A, A], None, 2),
        ([], [A], "call_expected_none", 0),
        ([A], [], "no_call_expected_call", 0),
        ([A], [B], "wrong_function", 0),
        ([A, B], [A], "missing_call", 1),
        ([A, A], [A], "missing_call", 1),
        ([A], [A, A], "extra_call", 1),
        ([A], [A, B], "extra_call", 1),
        ([A], [BROKEN], "invalid_json", 0),
        ([A], [call("a")], "missing_argument", 0),
        ([A], [call("a", x=1, z=1)], "unknown_argument", 0),
        ([A], [call("a", x="1")], "wrong_type", 0),
        ([A], [call("a", x=3)], "wrong_value", 0),
        ([A, B], [call("a", x=3), call("b")], "missing_argument", 0),
    ],
)
def test_each_wrong_answer_has_one_class(
    expected: list[ToolCall], predicted: list[ToolCall], failure: str | None, hits: int
) -> None:
    found = matched(expected, predicted)
    assert (found.failure, found.hits, found.right) == (failure, hits, failure is None)


def test_the_assignment_is_the_best_one_and_not_the_first_that_fits() -> None:
    """The first expected call could take the answer that only the second one needs."""
    expected = [ExpectedCall.of(call("f", x=1)), ExpectedCall.of(call("f", x=2))]
    loose = {"f": {"properties": {"x": {"type": "integer", "default": 1}}}}
    assert match(expected, [call("f", x=2), call("f")], loose).right
    assert match(expected, [call("f"), call("f", x=2)], loose).right


def test_partial_answers_have_precision_recall_f1_and_argument_accuracy() -> None:
    found = matched([call("a", x=1, y=2), B], [call("a", x=1, y=9), B, call("c", z=1)])
    assert (found.precision, found.recall, found.f1) == (1 / 3, 1 / 2, 2 / 5)
    assert found.argument_accuracy == 2 / 4
    nothing = matched([], [])
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.argument_accuracy) == (None,) * 4


def test_order_counts_where_the_rules_say_so() -> None:
    assert matched([A, B], [A, B], sequential=True).right
    assert matched([A, B], [B, A], sequential=True).failure == "wrong_function"


def test_odd_tools_are_left_out() -> None:
    tools = [
        {"type": "function", "function": {"name": "a"}},
        {"type": "web_search"},
        7,
        {"name": "b", "parameters": {}},
    ]
    assert parameters_of(tools) == {"a": {}, "b": {}}
    assert parameters_of(None) == {}


ARGUMENTS = st.dictionaries(
    st.sampled_from("xyz"), st.integers(0, 2) | st.sampled_from(["p", "q", None, 1.0, True]), max_size=3
)
CALLS = st.lists(st.builds(lambda name, a: call(name, **a), st.sampled_from("ab"), ARGUMENTS), max_size=4)


def scores(found: Match) -> tuple[Any, ...]:
    values = (
        found.names_right,
        found.right,
        found.precision,
        found.recall,
        found.f1,
        found.argument_accuracy,
    )
    return (found.failure, *values)


@given(CALLS, CALLS, st.randoms())
def test_the_order_of_calls_and_of_keys_changes_nothing(
    expected: list[ToolCall], predicted: list[ToolCall], random: Any
) -> None:
    def shuffled(calls: list[ToolCall]) -> list[ToolCall]:
        turned = [
            call(c.name, **dict(random.sample(list(c.arguments.items()), len(c.arguments)))) for c in calls
        ]
        return random.sample(turned, len(turned))

    assert scores(matched(expected, predicted)) == scores(matched(shuffled(expected), shuffled(predicted)))


@given(CALLS, CALLS, ARGUMENTS)
def test_an_unexpected_call_never_raises_a_score(
    expected: list[ToolCall], predicted: list[ToolCall], arguments: dict[str, Any]
) -> None:
    before = matched(expected, predicted)
    after = matched(expected, [*predicted, call("unexpected", **arguments)])
    assert (after.names_right, after.right) == (False, False)
    for name in ("precision", "recall", "f1", "argument_accuracy"):
        old, new = getattr(before, name), getattr(after, name)
        assert old is None or (new is not None and new <= old), name


@given(CALLS, CALLS)
def test_a_default_that_is_said_changes_nothing(expected: list[ToolCall], predicted: list[ToolCall]) -> None:
    schema = {"properties": {"w": {"type": "integer", "default": 7}}}
    said = [call(c.name, **c.arguments, w=7) for c in predicted]
    names = {c.name: schema for c in [*expected, *predicted]}
    wanted = [ExpectedCall.of(c) for c in expected]
    left_out, spelled_out = match(wanted, predicted, names), match(wanted, said, names)
    assert (left_out.failure, left_out.hits) == (spelled_out.failure, spelled_out.hits)
