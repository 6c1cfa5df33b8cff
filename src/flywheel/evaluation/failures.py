"""Why an answer is wrong: one class of a closed list for every wrong answer, so that counts add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from flywheel.evaluation.calls import ToolCall
from flywheel.prompts import parse_answer


class Failure(StrEnum):
    NO_CALL_EXPECTED_CALL = "no_call_expected_call"
    """Answered in words where a call was expected."""
    CALL_EXPECTED_NONE = "call_expected_none"
    """Called where words were expected."""
    WRONG_FUNCTION = "wrong_function"
    MISSING_CALL = "missing_call"
    EXTRA_CALL = "extra_call"
    MISSING_ARGUMENT = "missing_argument"
    UNKNOWN_ARGUMENT = "unknown_argument"
    WRONG_VALUE = "wrong_value"
    WRONG_TYPE = "wrong_type"
    INVALID_JSON = "invalid_json"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    ERROR = "error"


def unfinished(message: Mapping[str, Any], finish_reason: str | None) -> Failure | None:
    """Whether the answer was cut off or refused, as far as the server says so."""
    if message.get("refusal") or finish_reason == "content_filter":
        return Failure.REFUSED
    return Failure.TRUNCATED if finish_reason == "length" else None


def failure_of(
    expected: Sequence[ToolCall],
    predicted: Sequence[ToolCall],
    message: Mapping[str, Any],
    finish_reason: str | None,
) -> Failure | None:
    """The class of the first difference found, from the coarsest to the finest; None where there is none."""
    if not expected:
        return Failure.CALL_EXPECTED_NONE if predicted else None
    cut = unfinished(message, finish_reason)
    if not predicted:
        return cut or (Failure.INVALID_JSON if _broken_call(message) else Failure.NO_CALL_EXPECTED_CALL)
    if any(not call.readable for call in predicted):
        return cut or Failure.INVALID_JSON
    return _wrong_names(expected, predicted) or _wrong_arguments(expected, predicted)


def _broken_call(message: Mapping[str, Any]) -> bool:
    """Whether the text holds what was meant to be a call but could not be read as one."""
    content = message.get("content")
    return isinstance(content, str) and bool(parse_answer(content).malformed)


def _wrong_names(expected: Sequence[ToolCall], predicted: Sequence[ToolCall]) -> Failure | None:
    wanted, got = Counter(c.name for c in expected), Counter(c.name for c in predicted)
    lacking, left_over = wanted - got, got - wanted
    if lacking and left_over:
        return Failure.WRONG_FUNCTION
    if lacking:
        return Failure.MISSING_CALL
    return Failure.EXTRA_CALL if left_over else None


def _wrong_arguments(expected: Sequence[ToolCall], predicted: Sequence[ToolCall]) -> Failure | None:
    """Calls of one name are paired by how many arguments agree; then the gravest difference counts."""
    free = list(predicted)
    found: set[Failure] = set()
    for call in expected:
        same = [p for p in free if p.name == call.name]
        partner = max(same, key=lambda p: _agreeing(call.arguments, p.arguments))
        free.remove(partner)
        found |= _differences(call.arguments, partner.arguments)
    order = (
        Failure.MISSING_ARGUMENT,
        Failure.UNKNOWN_ARGUMENT,
        Failure.WRONG_TYPE,
        Failure.WRONG_VALUE,
    )
    return next((failure for failure in order if failure in found), None)


def _agreeing(expected: Any, predicted: Any) -> int:
    if not isinstance(expected, dict) or not isinstance(predicted, dict):
        return int(expected == predicted)
    return sum(1 for key, value in expected.items() if key in predicted and predicted[key] == value)


def _differences(expected: Any, predicted: Any) -> set[Failure]:
    if not isinstance(expected, dict) or not isinstance(predicted, dict):
        return set() if expected == predicted else {Failure.WRONG_TYPE}
    found = set()
    if expected.keys() - predicted.keys():
        found.add(Failure.MISSING_ARGUMENT)
    if predicted.keys() - expected.keys():
        found.add(Failure.UNKNOWN_ARGUMENT)
    for key in expected.keys() & predicted.keys():
        if expected[key] != predicted[key]:
            same_kind = _kind(expected[key]) == _kind(predicted[key])
            found.add(Failure.WRONG_VALUE if same_kind else Failure.WRONG_TYPE)
    return found


def _kind(value: Any) -> str:
    """JSON's type of a value; whole and other numbers are one type."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return type(value).__name__
