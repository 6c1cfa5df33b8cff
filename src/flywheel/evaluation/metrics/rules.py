"""What counts as the same, read from a metric's configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flywheel.evaluation.metrics.base import BadMetric
from flywheel.evaluation.metrics.text_matcher import alike
from flywheel.evaluation.values import ArgumentRule, Mode, Rules


class _Argument(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: Mode
    tolerance: float = Field(0.0, ge=0)


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid")

    strings: Literal["exact", "normalized"] = "exact"
    numbers: Literal["schema", "strict", "lenient"] = "schema"
    sequential: bool = False
    arguments: dict[str, Mode | _Argument] = {}


def read_rules(values: Any, where: str) -> Rules:
    """Rules from `{strings, numbers, sequential, arguments: {"tool.argument": mode or {mode, tolerance}}}`.

    Raises BadMetric, naming the place below `where`.
    """
    try:
        told = _Rules.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([where, *map(str, first["loc"])])
        raise BadMetric(place, f"{first['msg']}, got {first['input']!r}") from error
    arguments = {
        name: ArgumentRule(rule.mode, rule.tolerance) if isinstance(rule, _Argument) else ArgumentRule(rule)
        for name, rule in told.arguments.items()
    }
    return Rules(told.strings, told.numbers, arguments, told.sequential, alike)
