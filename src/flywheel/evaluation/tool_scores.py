"""The scores of one answer with tool calls, by the meaning of the call, and what they add up to.

`function_name` and `function_name_and_args_accuracy` are all or nothing over the calls of the answer, each
under the best assignment (`matching`). Beside them stand precision, recall and F1 over calls, the share of
right arguments, and whether the decision to call or to speak was right. NVIDIA's own version of the two
accuracies is in `metrics.tool_calling`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
DECISIONS: Final = ("called", "called_wrongly", "spoke", "spoke_wrongly")
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


def details_of(scored: ToolScores) -> dict[str, Any]:
    """What happened to each call, as JSON that is kept with the sample: `{decision, calls: [{tool, outcome,
    differences: [{path, failure}]}]}`; the outcome is right, wrong, missing or extra."""
    calls = [_call(pair) for pair in scored.match.pairs] if scored.match else []
    return {"decision": _decision(scored), "calls": calls}


def breakdown(details: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Where answers are wrong, from their `details_of`: by tool `{tool: {outcome: n}}`, by argument
    `{tool.path: {failure: n}}` with the most frequent first, and in the decision to call."""
    tools: dict[str, Counter[str]] = {}
    arguments: dict[str, Counter[str]] = {}
    decisions: Counter[str] = Counter()
    for detail in details:
        decisions[detail["decision"]] += 1
        for call in detail["calls"]:
            tools.setdefault(call["tool"], Counter())[call["outcome"]] += 1
            for difference in call["differences"]:
                where = f"{call['tool']}.{difference['path']}" if difference["path"] else call["tool"]
                arguments.setdefault(where, Counter())[difference["failure"]] += 1
    often = sorted(arguments.items(), key=lambda item: (-item[1].total(), item[0]))
    return {
        "tools": {name: dict(counts) for name, counts in sorted(tools.items())},
        "arguments": {name: dict(counts) for name, counts in often},
        "decisions": {decision: decisions[decision] for decision in DECISIONS},
    }


def _call(pair: Pair) -> dict[str, Any]:
    named = pair.expected or pair.predicted
    return {
        "tool": named.name if named else "",
        "outcome": _outcome(pair),
        "differences": [{"path": d.path, "failure": str(d.failure)} for d in pair.differences],
    }


def _outcome(pair: Pair) -> str:
    if pair.expected is None:
        return "extra"
    if pair.predicted is None:
        return "missing"
    return "right" if pair.same else "wrong"


def _decision(scored: ToolScores) -> str:
    right = scored.scores[DECISION] == 1.0
    return ("called" if scored.did_call else "spoke") + ("" if right else "_wrongly")
