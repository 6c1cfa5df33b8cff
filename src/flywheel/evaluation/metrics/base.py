"""What a metric is, and what they share: parameters read with clear errors, references rendered from
templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flywheel.errors import UserError
from flywheel.evaluation.calls import BadReference, ToolCall, reference_calls
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import BadTemplate, context_of, render


class BadMetric(UserError):
    """A metric's configuration makes no sense; `where` is its path in the configuration."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"metric {where}: {reason}")


@runtime_checkable
class Metric(Protocol):
    """Scores one sample. `version` changes whenever the same answer could get another score."""

    @property
    def type(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def score_names(self) -> tuple[str, ...]: ...
    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        """Judge an answer. One that never came (`sample.missing`) is wrong, at the low end of every scale; a
        reference that cannot be one makes the sample count for nothing, whatever the answer."""
        ...


@runtime_checkable
class Overall(Protocol):
    """A metric with scores that only all samples together have, such as BLEU's of a corpus."""

    def overall(self, details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The scores by name, from the `details` of every verdict that has them; {} where none has."""
        ...


@runtime_checkable
class Judging(Protocol):
    """A metric whose scores are an opinion, which can be held against other opinions."""

    @property
    def score_names(self) -> tuple[str, ...]: ...
    def right_from(self, score: str, values: Sequence[float]) -> float | None:
        """From which value on `score`, which took these values, says that an answer is right; None where it
        cannot be told."""
        ...


@dataclass(frozen=True, slots=True)
class Params:
    """A metric's parameters and where they stand, so that an error can say so."""

    where: str
    values: Mapping[str, Any]

    def required(self, name: str) -> Any:
        if self.values.get(name) in (None, ""):
            raise BadMetric(f"{self.where}.params.{name}", "is required")
        return self.values[name]

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.values.get(name, default)
        if value not in allowed:
            raise BadMetric(f"{self.where}.params.{name}", f"{value!r} is none of {', '.join(allowed)}")
        return str(value)


def lowest(names: tuple[str, ...], value: float = 0.0) -> Verdict:
    return Verdict(dict.fromkeys(names, value))


def unscored(names: tuple[str, ...], *, bad_reference: str | None = None, note: str | None = None) -> Verdict:
    return Verdict(dict.fromkeys(names), bad_reference=bad_reference, note=note)


def expected_calls(template: Any, item: Mapping[str, Any], sample: Sample) -> tuple[ToolCall, ...]:
    """The reference's calls; a row that has none expects none. Raises BadReference."""
    context = context_of(item, sample.context())
    try:
        return reference_calls(render(template, context, "tool_calls_ground_truth", lenient=True))
    except BadTemplate as error:
        raise BadReference(str(error)) from error


def text_of(template: Any, item: Mapping[str, Any], sample: Sample, where: str) -> str:
    """A template as text; a value that is null is no text. Raises BadReference where it cannot be
    rendered.
    """
    try:
        value = render(template, context_of(item, sample.context()), where)
    except BadTemplate as error:
        raise BadReference(str(error)) from error
    return "" if value is None else str(value)
