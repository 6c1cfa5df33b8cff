"""Scoring cases: candidate answers with somebody's verdict on each, to measure a scorer by.

One case a line: `{id, category, request: {messages, tools}, expect: "calls" | "no_call" | "some_call",
unordered, acceptable: [{name, arguments: {param: {any_of, optional}}}], candidates: [{kind, tool_calls,
valid}]}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.evaluation.calls import BadReference, reference_calls
from flywheel.evaluation.matching import match, parameters_of
from flywheel.evaluation.references import acceptable_answers
from flywheel.evaluation.values import Rules


@dataclass(frozen=True, slots=True)
class Judged:
    """Our verdict on one candidate answer, and the one that the case holds."""

    case: str
    kind: str
    right: bool
    valid: bool
    failure: str | None


@dataclass
class Agreement:
    """How often our verdict is the case's, in all and by kind of candidate."""

    judged: Counter[str] = field(default_factory=Counter)
    agree: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Judged) -> None:
        self.judged[verdict.kind] += 1
        self.agree[verdict.kind] += verdict.right == verdict.valid

    def as_dict(self) -> dict[str, Any]:
        """`{"judged": n, "agree": n, "by_kind": {kind: {"judged": n, "agree": n}}}`."""
        return {
            "judged": self.judged.total(),
            "agree": self.agree.total(),
            "by_kind": {
                kind: {"judged": count, "agree": self.agree[kind]}
                for kind, count in sorted(self.judged.items())
            },
        }


def judge(cases: Iterable[Mapping[str, Any]], rules: Rules) -> Iterator[Judged]:
    """Our verdict on every candidate of every case. Raises BadReference, naming the case."""
    for case in cases:
        name = str(case.get("id"))
        try:
            yield from _judge(name, case, rules)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadReference(f"case {name}: it lacks or mistypes {error}") from error
        except BadReference as error:
            raise BadReference(f"case {name}: {error}") from error


def _judge(name: str, case: Mapping[str, Any], rules: Rules) -> Iterator[Judged]:
    parameters = parameters_of(case["request"]["tools"])
    answers = acceptable_answers(case["acceptable"])
    for candidate in case["candidates"]:
        calls = candidate["tool_calls"]
        failure = None
        if case["expect"] == "calls":
            found = match(answers[0], reference_calls(calls), parameters, rules)
            right, failure = found.right, found.failure
        else:
            right = bool(calls) is (case["expect"] == "some_call")
        yield Judged(name, candidate["kind"], right, bool(candidate["valid"]), failure)
