"""Several calls against several calls: the best assignment, and everything that is read from it.

The expected and the predicted calls are matched one to one so that as many pairs as possible are the same
call, and among those assignments the one whose arguments agree most. Order does not count unless the rules
say so. All or nothing for the headline score; precision, recall and F1 over calls and the share of right
arguments beside it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from flywheel.evaluation.calls import ToolCall
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.values import (
    Accepted,
    Difference,
    Rules,
    Schema,
    accepted,
    differences,
    gravest,
)


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that is right, with every value that would do for each argument."""

    name: str
    arguments: Mapping[str, Accepted]

    @classmethod
    def of(cls, call: ToolCall) -> ExpectedCall:
        return cls(call.name, accepted(call.arguments if isinstance(call.arguments, dict) else {}))


@dataclass(frozen=True, slots=True)
class Pair:
    """An expected call and the predicted one that was matched with it; None where there is no other side.

    `right` of `arguments` are right; the arguments are those that either side has.
    """

    expected: ExpectedCall | None
    predicted: ToolCall | None
    differences: tuple[Difference, ...] = ()
    right: int = 0
    arguments: int = 0

    @property
    def same(self) -> bool:
        return self.expected is not None and self.predicted is not None and not self.differences


@dataclass(frozen=True, slots=True)
class Match:
    """What became of the calls of one answer."""

    pairs: tuple[Pair, ...]
    names_right: bool
    """The same functions, each as often."""
    failure: Failure | None
    """The gravest difference; None where everything is right."""

    @property
    def right(self) -> bool:
        return self.failure is None

    @property
    def hits(self) -> int:
        return sum(pair.same for pair in self.pairs)

    @property
    def precision(self) -> float | None:
        """Share of the predicted calls that were expected; None where nothing was predicted."""
        predicted = sum(pair.predicted is not None for pair in self.pairs)
        return self.hits / predicted if predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the expected calls that came; None where none was expected."""
        expected = sum(pair.expected is not None for pair in self.pairs)
        return self.hits / expected if expected else None

    @property
    def f1(self) -> float | None:
        """2 · hits / (expected + predicted); None where there is neither."""
        sides = sum((p.expected is not None) + (p.predicted is not None) for p in self.pairs)
        return 2 * self.hits / sides if sides else None

    @property
    def argument_accuracy(self) -> float | None:
        """Share of all arguments, of calls left over too, that are right; None where there are none."""
        total = sum(pair.arguments for pair in self.pairs)
        return sum(pair.right for pair in self.pairs) / total if total else None


def match(
    expected: Sequence[ExpectedCall],
    predicted: Sequence[ToolCall],
    parameters: Mapping[str, Schema],
    rules: Rules = Rules(),  # noqa: B008 - frozen
) -> Match:
    """Compare the calls of an answer with those that were expected.

    `parameters`: the JSON Schema of each tool's arguments, by its name; one that is missing is {}.
    """
    if rules.sequential:
        pairs = _in_order(expected, predicted, parameters, rules)
    elif len(expected) == 1 and len(predicted) == 1 and expected[0].name == predicted[0].name:
        pairs = [_pair(expected[0], predicted[0], parameters, rules)]
    else:
        pairs = _assigned(expected, predicted, parameters, rules)
    wanted, got = Counter(call.name for call in expected), Counter(call.name for call in predicted)
    return Match(tuple(pairs), wanted == got, _failure(wanted, got, pairs))


def parameters_of(tools: Any) -> dict[str, Schema]:
    """The schema of each offered tool's arguments by the tool's name, from a request's `tools`; odd tools are
    left out."""
    found: dict[str, Schema] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            schema = function.get("parameters")
            found[function["name"]] = schema if isinstance(schema, Mapping) else {}
    return found


def _in_order(
    expected: Sequence[ExpectedCall],
    predicted: Sequence[ToolCall],
    parameters: Mapping[str, Schema],
    rules: Rules,
) -> list[Pair]:
    pairs: list[Pair] = []
    for index in range(max(len(expected), len(predicted))):
        call = expected[index] if index < len(expected) else None
        answer = predicted[index] if index < len(predicted) else None
        if call is not None and answer is not None and call.name == answer.name:
            pairs.append(_pair(call, answer, parameters, rules))
        else:
            pairs += [_alone(call)] if call is not None else []
            pairs += [_left_over(answer)] if answer is not None else []
    return pairs


def _assigned(
    expected: Sequence[ExpectedCall],
    predicted: Sequence[ToolCall],
    parameters: Mapping[str, Schema],
    rules: Rules,
) -> list[Pair]:
    """Kuhn-Munkres over the pairs of equal name: a pair that is the same call outweighs any agreement."""
    if len(expected) > 1:  # Sorted, so that ties do not depend on the order of the calls.
        expected = sorted(expected, key=_sorted_by)
    if len(predicted) > 1:
        predicted = sorted(predicted, key=_canonical)
    made = {
        (i, j): _pair(call, answer, parameters, rules)
        for i, call in enumerate(expected)
        for j, answer in enumerate(predicted)
        if call.name == answer.name
    }
    weights = np.zeros((len(expected), len(predicted)))
    for place, pair in made.items():
        agreement = pair.right / pair.arguments if pair.arguments else 0.0
        weights[place] = len(expected) + 1.0 if pair.same else 0.5 + agreement / 2
    rows, columns = linear_sum_assignment(weights, maximize=True) if made else ((), ())
    chosen = {(int(i), int(j)) for i, j in zip(rows, columns, strict=True)} & made.keys()
    taken_i, taken_j = {i for i, _ in chosen}, {j for _, j in chosen}
    return [
        *(made[place] for place in sorted(chosen)),
        *(_alone(call) for i, call in enumerate(expected) if i not in taken_i),
        *(_left_over(answer) for j, answer in enumerate(predicted) if j not in taken_j),
    ]


def _pair(
    expected: ExpectedCall, predicted: ToolCall, parameters: Mapping[str, Schema], rules: Rules
) -> Pair:
    size = len(expected.arguments)
    if not predicted.readable:
        return Pair(expected, predicted, (Difference("", Failure.INVALID_JSON),), 0, size)
    schema = parameters.get(expected.name, {})
    found = differences(expected.arguments, predicted.arguments, schema, rules, expected.name)
    if not isinstance(predicted.arguments, dict):
        return Pair(expected, predicted, tuple(found), 0, size)
    names = expected.arguments.keys() | predicted.arguments.keys()
    wrong = {argument_of(difference.path, names) for difference in found}
    return Pair(expected, predicted, tuple(found), len(names) - len(wrong), len(names))


def argument_of(path: str, names: Any) -> str:
    """The argument that a path begins with; a name may itself hold dots and brackets."""
    if path in names:
        return path
    return max((n for n in names if path.startswith((f"{n}.", f"{n}["))), key=len, default=path)


def _alone(expected: ExpectedCall) -> Pair:
    return Pair(expected, None, (), 0, len(expected.arguments))


def _left_over(predicted: ToolCall) -> Pair:
    size = len(predicted.arguments) if isinstance(predicted.arguments, dict) else 0
    return Pair(None, predicted, (), 0, size)


def _sorted_by(call: ExpectedCall) -> tuple[str, str]:
    return call.name, repr(sorted(call.arguments.items(), key=lambda item: item[0]))


def _canonical(call: ToolCall) -> tuple[str, str]:
    return call.name, json.dumps(call.arguments if call.readable else call.raw, sort_keys=True, default=str)


def _failure(wanted: Counter[str], got: Counter[str], pairs: Sequence[Pair]) -> Failure | None:
    if not wanted and got:
        return Failure.CALL_EXPECTED_NONE
    if wanted and not got:
        return Failure.NO_CALL_EXPECTED_CALL
    if any(pair.predicted is not None and not pair.predicted.readable for pair in pairs):
        return Failure.INVALID_JSON
    lacking, left_over = wanted - got, got - wanted
    if lacking:
        return Failure.WRONG_FUNCTION if left_over else Failure.MISSING_CALL
    if left_over:
        return Failure.EXTRA_CALL
    if any(pair.expected is None or pair.predicted is None for pair in pairs):
        return Failure.WRONG_FUNCTION  # The right functions in the wrong order, where that counts.
    return gravest(difference for pair in pairs for difference in pair.differences)
