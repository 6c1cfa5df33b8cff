"""What is right for a request: one answer, or several, each with the values that would do.

A record's reference is the teacher's answer. Beside it, `metadata.acceptable` may hold what else is right,
from human review or from a benchmark's key:

    [{"name": "book", "arguments": {"city": {"any_of": ["Paris", "paris"]},
                                    "nights": {"any_of": [1], "optional": true}}}]

is one answer whose arguments have alternatives; a list of such lists holds several answers, of which an
empty one says that no call is right too. An argument may also stand there as a plain value. In `any_of` an
object `{"key": [value, …]}` lists the accepted values of each member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.evaluation.calls import BadReference, ToolCall
from flywheel.evaluation.matching import ExpectedCall, Match, match
from flywheel.evaluation.values import Accepted, Rules, Schema, Shape

Answer = tuple[ExpectedCall, ...]
"""The calls of one acceptable answer; none where words are right."""


def acceptable_answers(value: Any) -> tuple[Answer, ...]:
    """Read `metadata.acceptable`; () where it is absent. Raises BadReference, naming the place."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadReference(f"metadata.acceptable is a {type(value).__name__}, not a list of calls")
    if value and all(isinstance(item, list) for item in value):
        return tuple(_answer(item, f"acceptable[{index}]") for index, item in enumerate(value))
    return (_answer(value, "acceptable"),)


def best_match(
    answers: Sequence[Answer],
    predicted: Sequence[ToolCall],
    parameters: Mapping[str, Schema],
    rules: Rules,
) -> Match:
    """The match with the acceptable answer that the predicted calls come nearest to; one answer at least."""
    matches = [match(answer, predicted, parameters, rules) for answer in answers]
    return max(matches, key=lambda m: (m.right, m.f1 or 0.0, m.argument_accuracy or 0.0))


def _answer(calls: Any, where: str) -> Answer:
    return tuple(_call(call, f"{where}[{index}]") for index, call in enumerate(calls))


def _call(call: Any, where: str) -> ExpectedCall:
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str) or not call["name"]:
        raise BadReference(f"{where} is no call: it needs a name and arguments")
    arguments = call.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise BadReference(f"{where}.arguments is a {type(arguments).__name__}, not an object")
    read = {name: _accepted(value, f"{where}.arguments.{name}") for name, value in arguments.items()}
    return ExpectedCall(call["name"], read)


def _accepted(value: Any, where: str) -> Accepted:
    if not isinstance(value, Mapping) or "any_of" not in value or value.keys() - {"any_of", "optional"}:
        return Accepted((value,))
    if not isinstance(value["any_of"], list):
        raise BadReference(f"{where}.any_of is a {type(value['any_of']).__name__}, not a list of values")
    return Accepted(tuple(_shaped(item) for item in value["any_of"]), bool(value.get("optional", False)))


def _shaped(value: Any) -> Any:
    """An alternative as it is compared: an object of lists becomes a Shape, in arrays too."""
    if isinstance(value, Mapping):
        return Shape(
            (name, Accepted(tuple(_shaped(item) for item in options)))
            if isinstance(options, list)
            else (name, Accepted((_shaped(options),)))
            for name, options in value.items()
        )
    return [_shaped(item) for item in value] if isinstance(value, list) else value
