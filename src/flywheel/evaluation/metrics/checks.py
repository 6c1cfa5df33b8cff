"""NeMo's `string-check` and `number-check`: `[left, operation, right]`, with templates on both sides.

A number is the last one in its text; where a side has none the score has no value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.metrics.base import BadMetric, Params, lowest, text_of, unscored
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import check

_STRING: Mapping[str, Callable[[str, str], bool]] = {
    "equals": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "not equals": operator.ne,
    "contains": lambda left, right: right in left,
    "not contains": lambda left, right: right not in left,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_NUMBER: Mapping[str, Callable[[float, float], bool]] = {
    "equals": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "not equals": operator.ne,
    ">=": operator.ge,
    "gte": operator.ge,
    "greater than or equal": operator.ge,
    ">": operator.gt,
    "gt": operator.gt,
    "greater than": operator.gt,
    "<=": operator.le,
    "lte": operator.le,
    "less than or equal": operator.le,
    "<": operator.lt,
    "lt": operator.lt,
    "less than": operator.lt,
}


class Check:
    """`compare` gets both sides as text and answers None where they cannot be compared."""

    version = "1"

    def __init__(self, kind: str, compare: Callable[[str, str], bool | None], params: Params) -> None:
        self.type = kind
        self.score_names = (kind,)
        self._compare = compare
        parts = params.values["check"]
        self._left, self._right = parts[0], parts[2]
        check(self._left, f"{params.where}.params.check[0]")
        check(self._right, f"{params.where}.params.check[2]")

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        if sample.missing:
            return lowest(self.score_names)
        try:
            left = text_of(self._left, item, sample, "check[0]")
            right = text_of(self._right, item, sample, "check[2]")
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        result = self._compare(left, right)
        return Verdict({self.type: None if result is None else float(result)})


def string_check(params: Params) -> Check:
    operation = _operation(params, tuple(_STRING))
    return Check("string-check", _STRING[operation], params)


def number_check(params: Params) -> Check:
    operation = _operation(params, (*_NUMBER, "absolute difference"))
    within = _epsilon(params) if operation == "absolute difference" else 0.0

    def near(left: float, right: float) -> bool:
        return abs(left - right) <= within

    compare = _NUMBER.get(operation, near)

    def numbers(left: str, right: str) -> bool | None:
        a, b = last_number(left), last_number(right)
        return None if a is None or b is None else compare(a, b)

    return Check("number-check", numbers, params)


def last_number(text: str) -> float | None:
    found = re.findall(r"[+-]?[\.\d]*\d+", text)
    return float(found[-1]) if found and found[-1].count(".") <= 1 else None


def _operation(params: Params, allowed: tuple[str, ...]) -> str:
    parts = params.required("check")
    if not isinstance(parts, list) or len(parts) < 3:
        raise BadMetric(f"{params.where}.params.check", f"{parts!r} is not [left, operation, right]")
    if parts[1] not in allowed:
        raise BadMetric(f"{params.where}.params.check[1]", f"{parts[1]!r} is none of {', '.join(allowed)}")
    return str(parts[1])


def _epsilon(params: Params) -> float:
    rest = params.values["check"][3:]
    value = rest[1] if len(rest) == 2 and rest[0] == "epsilon" else params.values.get("epsilon")
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise BadMetric(f"{params.where}.params.check", 'absolute difference needs "epsilon" and a number')
