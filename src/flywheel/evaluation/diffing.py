"""How one answer differs from the reference, argument by argument, for people who look at both.

By the same matching and the same rules as the scores (`matching`, `values`), so that what is shown as
different is what made the answer wrong. Arguments that agree are told too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flywheel.evaluation.calls import BadReference, calls_of, reference_calls
from flywheel.evaluation.matching import ExpectedCall, Pair, argument_of, parameters_of
from flywheel.evaluation.references import acceptable_answers, best_match
from flywheel.evaluation.values import Accepted, Difference, Rules, Shape, gravest, value_differences

Line = dict[str, Any]
"""`{tool, argument, expected, got, verdict}`: tool and argument None where there is none; the verdict is
`same`, a class of failure, `missing_call` or `extra_call`."""

SAME: Final = "same"
MISSING_CALL: Final = "missing_call"
EXTRA_CALL: Final = "extra_call"
_STEP = re.compile(r"\[(\d+)\]")


def differences_of(
    request: Mapping[str, Any],
    reference: Mapping[str, Any],
    answer: Mapping[str, Any],
    rules: Rules,
    acceptable: Any = None,
) -> list[Line]:
    """The arguments of an answer beside those of the reference, both assistant's messages; of a request for
    JSON the members that differ. Of several right answers the nearest is shown. A reference that cannot be
    one gives no lines.
    """
    try:
        expected = tuple(ExpectedCall.of(call) for call in reference_calls(reference.get("tool_calls")))
        answers = (expected, *acceptable_answers(acceptable))
    except BadReference:
        return []
    predicted = calls_of(answer)
    if not any(answers) and not predicted:
        return _json_lines(request, reference.get("content"), answer.get("content"), rules)
    found = best_match(answers, predicted, parameters_of(request.get("tools")), rules)
    return [line for pair in found.pairs for line in _lines(pair)]


def _lines(pair: Pair) -> Iterable[Line]:
    expected, predicted = pair.expected, pair.predicted
    if expected is None or predicted is None:
        verdict = EXTRA_CALL if expected is None else MISSING_CALL
        got = None if predicted is None else predicted.arguments if predicted.readable else predicted.raw
        right = None if expected is None else _plain(expected.arguments)
        tool = expected.name if expected else predicted.name if predicted else ""
        return [_line(tool, None, right, got, verdict)]
    if not isinstance(predicted.arguments, dict):
        got = predicted.arguments if predicted.readable else predicted.raw
        verdict = _verdict(pair.differences)
        return [_line(expected.name, None, _plain(expected.arguments), got, verdict)]
    names = list(dict.fromkeys([*expected.arguments, *predicted.arguments]))
    wrong: dict[str, list[Difference]] = {}
    for difference in pair.differences:
        wrong.setdefault(argument_of(difference.path, names), []).append(difference)
    return [
        _line(
            expected.name,
            name,
            _plain(expected.arguments.get(name)),
            predicted.arguments.get(name),
            _verdict(wrong.get(name, ())),
        )
        for name in names
    ]


def _json_lines(request: Mapping[str, Any], expected: Any, got: Any, rules: Rules) -> list[Line]:
    """The members that differ, where the request asked for JSON and the reference is some."""
    wanted = request.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") not in ("json_schema", "json_object"):
        return []
    try:
        right = json.loads(expected)
    except (TypeError, ValueError, RecursionError):
        return []
    try:
        value = json.loads(got)
    except (TypeError, ValueError, RecursionError):
        return [_line(None, None, right, got, "invalid_json")]
    holder = wanted.get("json_schema")
    schema = holder.get("schema", holder) if isinstance(holder, Mapping) else {}
    found = value_differences(right, value, schema if isinstance(schema, Mapping) else {}, rules)
    return [
        _line(None, d.path or None, _at(right, d.path), _at(value, d.path), str(d.failure)) for d in found
    ]


def _line(tool: str | None, argument: str | None, expected: Any, got: Any, verdict: str) -> Line:
    return {"tool": tool, "argument": argument, "expected": expected, "got": got, "verdict": verdict}


def _verdict(found: Sequence[Difference]) -> str:
    gravest_one = gravest(found)
    if gravest_one is not None:
        return str(gravest_one)
    return str(found[0].failure) if found else SAME


def _plain(value: Any) -> Any:
    """What was expected as plain JSON: of several values that would do, the first."""
    if isinstance(value, Accepted):
        return _plain(value.any_of[0]) if value.any_of else None
    if isinstance(value, Shape | Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _at(value: Any, path: str) -> Any:
    """The value that a difference's path leads to; None where there is none. Names may hold dots."""
    while path:
        if isinstance(value, list) and (step := _STEP.match(path)):
            place = int(step[1])
            if place >= len(value):
                return None
            value, path = value[place], path[step.end() :].removeprefix(".")
        elif isinstance(value, Mapping):
            name = argument_of(path, value)
            if name not in value:
                return None
            value, path = value[name], path[len(name) :].removeprefix(".")
        else:
            return None
    return value
