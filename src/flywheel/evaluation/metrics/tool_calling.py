"""NeMo's `tool-calling` metric: are the right functions called, and with the right arguments?

`function_name_accuracy` compares the sets of names; `function_name_and_args_accuracy` also wants the
arguments of each name to be equal as JSON. That is NVIDIA's published rule with its known edges, kept so
that numbers compare: order is free, case counts, a call made twice looks like one, of several calls of
one name the last is compared, and `true` equals 1. Expected none and predicted none is right on both
scores.

An answer whose arguments are no JSON has no value for the second score in NVIDIA's rule, which leaves it
out of the denominator and so flatters a model that babbles. `invalid_json: wrong` counts it as wrong
instead; a run's jobs ask for that. References are read from text as well as from objects; one that cannot
be a call is left out of both scores and counted by reason.

With the parameter `tools` (which NVIDIA's evaluator ignores) the scores of `tool_scores` are given too, by
the meaning of the call: `schema_function_name`, `schema_function_name_and_args_accuracy`, and those beside
them. `acceptable` is where other right answers stand, `rules` says what counts as the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.evaluation import tool_scores
from flywheel.evaluation.calls import BadReference, ToolCall, calls_of
from flywheel.evaluation.failures import Failure, failure_of
from flywheel.evaluation.matching import ExpectedCall, parameters_of
from flywheel.evaluation.metrics.base import Params, expected_calls, lowest, unscored
from flywheel.evaluation.metrics.rules import read_rules
from flywheel.evaluation.references import Answer, acceptable_answers
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import BadTemplate, check, context_of, render
from flywheel.evaluation.tool_scores import ToolScores, details_of, no_answer, score_answer

NAMES = "function_name_accuracy"
NAMES_AND_ARGS = "function_name_and_args_accuracy"


class ToolCalling:
    type = "tool-calling"

    def __init__(self, params: Params) -> None:
        self._expected = params.required("tool_calls_ground_truth")
        check(self._expected, f"{params.where}.params.tool_calls_ground_truth")
        self._invalid_is_wrong = params.choice("invalid_json", ("exclude", "wrong"), "exclude") == "wrong"
        self._tools, self._acceptable = params.values.get("tools"), params.values.get("acceptable")
        check([self._tools, self._acceptable], f"{params.where}.params")
        self._rules = read_rules(params.values.get("rules") or {}, f"{params.where}.params.rules")

    @property
    def version(self) -> str:
        return "1" if self._tools is None else "2"

    @property
    def score_names(self) -> tuple[str, ...]:
        return (NAMES, NAMES_AND_ARGS) if self._tools is None else (NAMES, NAMES_AND_ARGS, *_SCHEMA.values())

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            expected = expected_calls(self._expected, item, sample)
            answers = self._answers(expected, item, sample)
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if sample.failure is not None:
            missing = _named(no_answer(answers, sample.failure)) if self._tools is not None else {}
            return Verdict({**lowest((NAMES, NAMES_AND_ARGS)).scores, **missing})
        predicted = calls_of(sample.message)
        names, both = nemo_scores(expected, predicted)
        if both is None and self._invalid_is_wrong:
            both = 0.0
        scores = {NAMES: names, NAMES_AND_ARGS: both}
        if self._tools is not None:
            offered = parameters_of(self._rendered(self._tools, item, sample))
            found = score_answer(answers, sample.message, sample.finish_reason, offered, self._rules)
            return Verdict(
                {**scores, **_named(found)}, found.failure, classified=True, details=details_of(found)
            )
        failure = None
        if both != 1.0:
            different = failure_of(expected, predicted, sample.message, sample.finish_reason)
            failure = different or Failure.WRONG_VALUE
        return Verdict(scores, failure, classified=True)

    def _answers(
        self, expected: Sequence[ToolCall], item: Mapping[str, Any], sample: Sample
    ) -> tuple[Answer, ...]:
        """The reference's calls, and what else is right. Raises BadReference."""
        more = self._rendered(self._acceptable, item, sample) if self._acceptable is not None else None
        return (tuple(ExpectedCall.of(call) for call in expected), *acceptable_answers(more))

    def _rendered(self, template: Any, item: Mapping[str, Any], sample: Sample) -> Any:
        try:
            return render(template, context_of(item, sample.context()), "params", lenient=True)
        except BadTemplate as error:
            raise BadReference(str(error)) from error


_SCHEMA: Mapping[str, str] = {
    name: f"schema_{name}" if name in (tool_scores.NAMES, tool_scores.NAMES_AND_ARGS) else name
    for name in tool_scores.SCORES
}


def _named(scored: ToolScores) -> dict[str, float | None]:
    return {_SCHEMA[name]: value for name, value in scored.scores.items()}


def nemo_scores(expected: Sequence[ToolCall], predicted: Sequence[ToolCall]) -> tuple[float, float | None]:
    """(names, names and arguments); the second is None where predicted arguments are no JSON."""
    same_names = {call.name for call in expected} == {call.name for call in predicted}
    if not all(call.readable for call in predicted):
        return float(same_names), None
    if not same_names:
        return 0.0, 0.0
    wanted = {call.name: call.arguments for call in expected}
    got = {call.name: call.arguments for call in predicted}
    return 1.0, float(wanted == got)
