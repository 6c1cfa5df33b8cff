"""A file of answers against a file of references, without any server.

A reference is a logged record `{request, response, metadata?}`; an answer is an OpenAI response, a message,
or `{tool_calls, content}`, under `response`, `message` or at the top. They belong together by `id` (of a
record: its own, or its response's); where no answer has one, by their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flywheel.errors import UserError
from flywheel.evaluation.calls import BadReference, calls_of, reference_calls
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.faults import CONFLICTING, fault_of, request_key
from flywheel.evaluation.matching import ExpectedCall, parameters_of
from flywheel.evaluation.metrics.tool_calling import nemo_scores
from flywheel.evaluation.references import Answer, acceptable_answers, best_match
from flywheel.evaluation.statistics import summary
from flywheel.evaluation.tool_scores import (
    NAMES,
    NAMES_AND_ARGS,
    SCORES,
    ToolScores,
    breakdown,
    details_of,
    no_answer,
    score_answer,
)
from flywheel.evaluation.values import Rules, Schema

NEMO = (f"nemo_{NAMES}", f"nemo_{NAMES_AND_ARGS}")
"""The two accuracies in NVIDIA's semantics, beside ours."""


class BadAnswers(UserError):
    """A file of answers or references that cannot be scored."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One request with what is right for it; `bad` says why nothing can be."""

    key: str
    answers: tuple[Answer, ...]
    parameters: Mapping[str, Schema]
    calls: tuple[Any, ...] = ()
    bad: str | None = None
    request: bytes | None = None
    """The same for references of one request; None where there is none."""
    conversation: str | None = None
    """Of `metadata.conversation_id`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One reference with the answer's scores; `scored` is None where the reference is bad."""

    key: str
    scored: ToolScores | None
    scores: Mapping[str, float | None]
    answered: bool = False
    given: Mapping[str, float] = field(default_factory=dict)
    """Scores that came with the answer, such as a judge's in a downloaded sample, as `metric.score`."""
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Every line, and what they add up to."""

    lines: tuple[Line, ...]
    bad_references: Mapping[str, int]
    unused_answers: int

    def as_dict(self) -> dict[str, Any]:
        """`{scores: {name: {value, stats}}, n, bad_references, missing_answers, breakdown…}`."""
        names = (*SCORES, *NEMO)
        there = [line for line in self.lines if line.scored is not None]
        scored = [line.scored for line in there if line.scored is not None]
        conversations = [(line.conversation, None if line.conversation else line.key) for line in there]
        return {
            "n": len(scored),
            "scores": {
                name: summary([line.scores[name] for line in there], conversations=conversations)
                for name in names
            },
            "failures": dict(Counter(s.failure for s in scored if s.failure).most_common()),
            "bad_references": dict(self.bad_references),
            "missing_answers": sum(s.failure is Failure.ERROR for s in scored),
            "unused_answers": self.unused_answers,
            **breakdown(details_of(s) for s in scored),
        }


def reference_of(record: Mapping[str, Any], number: int) -> Reference:
    """Read a record as a reference; `number` names it where it has no id."""
    key = _key(record, number)
    parameters = parameters_of(_part(record, "request").get("tools"))
    try:
        message = _message(_part(record, "response"))
        calls = reference_calls(message.get("tool_calls"))
        answers = (tuple(ExpectedCall.of(call) for call in calls),)
        more = acceptable_answers(_part(record, "metadata").get("acceptable"))
    except BadReference as error:
        return Reference(key, (), parameters, bad=str(error))
    said = _part(record, "metadata").get("conversation_id")
    return Reference(
        key,
        (*answers, *more),
        parameters,
        calls,
        fault_of(calls, parameters),
        request_key(_part(record, "request")),
        str(said) if isinstance(said, str | int) and said != "" else None,
    )


def evaluate(references: Sequence[Reference], answers: Sequence[Mapping[str, Any]], rules: Rules) -> Report:
    """Score each reference's answer; one that is missing is wrong, with the class `error`.

    Raises BadAnswers where answers cannot be told apart or belong to no reference.
    """
    found = _paired(references, answers)
    conflicting = _conflicting(references, rules)
    lines, bad = [], Counter[str]()
    for reference in references:
        reason = reference.bad or (CONFLICTING if reference.request in conflicting else None)
        if reason is not None:
            bad[reason] += 1
            lines.append(Line(reference.key, None, {}))
            continue
        answer = found.pop(reference.key, None)
        scored, nemo = _scored(reference, answer, rules)
        scores = {**scored.scores, **dict(zip(NEMO, nemo, strict=True))}
        given = _given(answer or {})
        lines.append(Line(reference.key, scored, scores, answer is not None, given, reference.conversation))
    known = {reference.key for reference in references}
    return Report(tuple(lines), dict(bad.most_common()), sum(key not in known for key in found))


def _conflicting(references: Sequence[Reference], rules: Rules) -> set[bytes]:
    """The requests whose references do not let each other's calls pass: nobody knows which is right."""
    first: dict[bytes, Reference] = {}
    found = set()
    for reference in references:
        if reference.bad is not None or reference.request is None:
            continue
        other = first.setdefault(reference.request, reference)
        if other is not reference and not (
            _passes(reference, other, rules) and _passes(other, reference, rules)
        ):
            found.add(reference.request)
    return found


def _passes(reference: Reference, other: Reference, rules: Rules) -> bool:
    return best_match(other.answers, reference.calls, other.parameters, rules).right


def _scored(
    reference: Reference, answer: Mapping[str, Any] | None, rules: Rules
) -> tuple[ToolScores, tuple[float, float | None]]:
    if answer is None:
        return no_answer(reference.answers, Failure.ERROR), (0.0, 0.0)
    message, reason = _message(answer), _finish_reason(answer)
    scored = score_answer(reference.answers, message, reason, reference.parameters, rules)
    names, both = nemo_scores(reference.calls, calls_of(message))
    return scored, (names, 0.0 if both is None else both)


def _given(answer: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{metric}.{name}": float(value)
        for metric, scores in _part(answer, "scores").items()
        if isinstance(scores, Mapping)
        for name, value in scores.items()
        if isinstance(value, int | float)
    }


def _paired(
    references: Sequence[Reference], answers: Sequence[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    named = [answer for answer in answers if _id(answer) is not None]
    if answers and not named:
        if len(answers) != len(references):
            raise BadAnswers(
                f"the answers have no id, and there are {len(answers)} for {len(references)} references; "
                'give each an "id", or one answer for each reference in the same order'
            )
        return {r.key: a for r, a in zip(references, answers, strict=True)}
    if len(named) < len(answers):
        raise BadAnswers(f"{len(answers) - len(named)} of {len(answers)} answers have no id")
    twice = [key for key, count in Counter(_id(answer) for answer in answers).items() if count > 1]
    if twice:
        raise BadAnswers(f"there are several answers with the id {twice[0]!r}")
    if answers and not {reference.key for reference in references} & {_id(answer) for answer in answers}:
        raise BadAnswers(
            f"no answer belongs to a reference; the first answer's id is {_id(answers[0])!r}, "
            f"the first reference's {references[0].key if references else None!r}"
        )
    return {str(_id(answer)): answer for answer in answers}


def _key(record: Mapping[str, Any], number: int) -> str:
    for holder in (record, _part(record, "metadata"), _part(record, "response")):
        if isinstance(holder.get("id"), str | int):
            return str(holder["id"])
    return f"line {number}"


def _id(answer: Mapping[str, Any]) -> str | None:
    value = answer.get("id")
    return str(value) if isinstance(value, str | int) else None


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}


def _message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The assistant's message in a response, a message, or a holder of either."""
    for name in ("response", "message", "answer"):
        if isinstance(answer.get(name), Mapping):
            return _message(answer[name])
    choices = answer.get("choices")
    if isinstance(choices, list):
        first = choices[0] if choices and isinstance(choices[0], Mapping) else {}
        return _part(first, "message")
    return answer


def _finish_reason(answer: Mapping[str, Any]) -> str | None:
    holder = _part(answer, "response") or answer
    choices = holder.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, Mapping) else None
    return reason if isinstance(reason, str) else None
