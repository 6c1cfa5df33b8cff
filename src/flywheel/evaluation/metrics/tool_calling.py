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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.evaluation.calls import BadReference, ToolCall, calls_of
from flywheel.evaluation.failures import Failure, failure_of
from flywheel.evaluation.metrics.base import Params, expected_calls, lowest, unscored
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import check

NAMES = "function_name_accuracy"
NAMES_AND_ARGS = "function_name_and_args_accuracy"


class ToolCalling:
    type = "tool-calling"
    version = "1"
    score_names = (NAMES, NAMES_AND_ARGS)

    def __init__(self, params: Params) -> None:
        self._expected = params.required("tool_calls_ground_truth")
        check(self._expected, f"{params.where}.params.tool_calls_ground_truth")
        self._invalid_is_wrong = params.choice("invalid_json", ("exclude", "wrong"), "exclude") == "wrong"

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            expected = expected_calls(self._expected, item, sample)
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if sample.missing:
            return lowest(self.score_names)
        predicted = calls_of(sample.message)
        names, both = nemo_scores(expected, predicted)
        if both is None and self._invalid_is_wrong:
            both = 0.0
        failure = None
        if both != 1.0:
            found = failure_of(expected, predicted, sample.message, sample.finish_reason)
            failure = found or Failure.WRONG_VALUE
        return Verdict({NAMES: names, NAMES_AND_ARGS: both}, failure, classified=True)


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
