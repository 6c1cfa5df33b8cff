"""The scores of one answer with tool calls, by the meaning of the call, and what they add up to.

`function_name` and `function_name_and_args_accuracy` are all or nothing over the calls of the answer, each
under the best assignment (`matching`). Beside them stand precision, recall and F1 over calls, the share of
right arguments, and whether the decision to call or to speak was right. NVIDIA's own version of the two
accuracies is in `metrics.tool_calling`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flywheel.evaluation.calls import ToolCall, calls_of
from flywheel.evaluation.failures import Failure, unfinished
from flywheel.evaluation.matching import Match, Pair
from flywheel.evaluation.references import Answer, best_match
from flywheel.evaluation.values import Rules, Schema
from flywheel.prompts import parse_answer

NAMES: Final = "function_name"
NAMES_AND_ARGS: Final = "function_name_and_args_accuracy"
DECISION: Final = "call_decision_accuracy"
SCORES: Final = (
    NAMES,
    NAMES_AND_ARGS,
    DECISION,
    "call_precision",
    "call_recall",
    "call_f1",
    "argument_accuracy",
)


@dataclass(frozen=True, slots=True)
class ToolScores:
    """What one answer is worth; `match` is None where no answer came."""

    scores: Mapping[str, float | None]
    failure: Failure | None
    should_call: bool
    did_call: bool
    match: Match | None = None


def score_answer(
    answers: Sequence[Answer],
    message: Mapping[str, Any],
    finish_reason: str | None,
    parameters: Mapping[str, Schema],
    rules: Rules,
) -> ToolScores:
    """Score an assistant's message against the acceptable answers (one at least)."""
    predicted = calls_of(message)
    found = best_match(answers, predicted, parameters, rules)
    should, did = any(answers) and not any(not answer for answer in answers), bool(predicted)
    decided = did if should else (not did or any(answers))
    scores = {
        NAMES: float(found.names_right),
        NAMES_AND_ARGS: float(found.right),
        DECISION: float(decided),
        "call_precision": found.precision,
        "call_recall": found.recall,
        "call_f1": found.f1,
        "argument_accuracy": found.argument_accuracy,
    }
    return ToolScores(scores, _class(found, predicted, message, finish_reason), should, did, found)


def no_answer(answers: Sequence[Answer], failure: Failure) -> ToolScores:
    """An answer that never came is wrong on every score that it could have had."""
    should = any(answers)
    scores: dict[str, float | None] = dict.fromkeys((NAMES, NAMES_AND_ARGS, DECISION), 0.0)
    scores |= dict.fromkeys(("call_precision",))
    scores |= dict.fromkeys(("call_recall", "call_f1", "argument_accuracy"), 0.0 if should else None)
    return ToolScores(scores, failure, should, False)


def _class(
    found: Match, predicted: Sequence[ToolCall], message: Mapping[str, Any], finish_reason: str | None
) -> Failure | None:
    """What the server says of an answer that was cut off comes first, then a call that nobody can read."""
    if found.failure is None or found.failure is Failure.CALL_EXPECTED_NONE:
        return found.failure
    cut = unfinished(message, finish_reason)
    if cut and (not predicted or found.failure is Failure.INVALID_JSON):
        return cut
    content = message.get("content")
    if not predicted and isinstance(content, str) and parse_answer(content).malformed:
        return Failure.INVALID_JSON
    return found.failure


@dataclass
class Breakdown:
    """Where answers are wrong: by class, by tool, by argument, and in the decision to call."""

    failures: Counter[str] = field(default_factory=Counter)
    tools: dict[str, Counter[str]] = field(default_factory=dict)
    arguments: dict[str, Counter[str]] = field(default_factory=dict)
    decisions: Counter[str] = field(default_factory=Counter)

    def add(self, scored: ToolScores) -> None:
        if scored.failure is not None:
            self.failures[scored.failure] += 1
        self.decisions[_decision(scored)] += 1
        for pair in scored.match.pairs if scored.match else ():
            self._add_pair(pair)

    def _add_pair(self, pair: Pair) -> None:
        if pair.expected is None:
            extra = pair.predicted.name if pair.predicted else ""
            self.tools.setdefault(extra, Counter())["extra"] += 1
            return
        counts = self.tools.setdefault(pair.expected.name, Counter())
        counts["expected"] += 1
        counts["right"] += pair.same
        counts["missing"] += pair.predicted is None
        for difference in pair.differences:
            where = f"{pair.expected.name}.{difference.path}" if difference.path else pair.expected.name
            self.arguments.setdefault(where, Counter())[difference.failure] += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "failures": dict(self.failures.most_common()),
            "tools": {name: dict(counts) for name, counts in sorted(self.tools.items())},
            "arguments": {
                name: dict(counts)
                for name, counts in sorted(self.arguments.items(), key=lambda item: -item[1].total())
            },
            "decisions": {key: self.decisions[key] for key in _DECISIONS},
        }


_DECISIONS: Final = ("called", "called_wrongly", "spoke", "spoke_wrongly")


def _decision(scored: ToolScores) -> str:
    right = scored.scores[DECISION] == 1.0
    return ("called" if scored.did_call else "spoke") + ("" if right else "_wrongly")


def breakdown(scored: Iterable[ToolScores]) -> Breakdown:
    made = Breakdown()
    for each in scored:
        made.add(each)
    return made
