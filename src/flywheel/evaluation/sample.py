"""The values that evaluation passes around: an example, what a model made of it, and what a metric says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.evaluation.failures import Failure


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a data set, ready to be asked."""

    key: str
    """Identifies (row, request, model with its content where known, scorers): equal keys need not be asked
    twice."""
    index: int
    item: Mapping[str, Any]
    request: Mapping[str, Any] | None
    """The body to send; None where nothing is asked because the row already holds the answer."""
    bad_reference: str | None = None
    """Why the row cannot be asked at all."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of one request: a response, or the failure that came instead."""

    response: Mapping[str, Any] | None = None
    failure: Failure | None = None
    error: str | None = None
    infrastructure: bool = False
    """The machinery failed, not the model."""
    latency_s: float | None = None
    first_token_s: float | None = None
    """Of an answer that was streamed."""

    @property
    def missing(self) -> bool:
        """No answer came, for a reason that `failure` tells."""
        return self.failure is not None

    @property
    def choice(self) -> Mapping[str, Any]:
        choices = (self.response or {}).get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first if isinstance(first, dict) else {}

    @property
    def message(self) -> Mapping[str, Any]:
        message = self.choice.get("message")
        if isinstance(message, dict):
            return message
        text = self.choice.get("text")
        return {} if text is None else {"role": "assistant", "content": text}

    @property
    def text(self) -> str:
        content = self.message.get("content")
        if isinstance(content, list):  # Content parts, as some servers answer.
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            return "".join(text for text in texts if isinstance(text, str))
        return content if isinstance(content, str) else ""

    @property
    def finish_reason(self) -> str | None:
        reason = self.choice.get("finish_reason")
        return reason if isinstance(reason, str) else None

    @property
    def usage(self) -> dict[str, int]:
        usage = (self.response or {}).get("usage")
        found = usage if isinstance(usage, dict) else {}
        names = ("prompt_tokens", "completion_tokens")
        return {name: found[name] for name in names if isinstance(found.get(name), int)}

    def context(self) -> dict[str, Any]:
        """As templates see it: `sample.output_text`, `sample.response`."""
        return {} if self.response is None else {"output_text": self.text, "response": self.response}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one metric says of one sample; a score of None is "no value", and counted as such."""

    scores: Mapping[str, float | None]
    failure: Failure | None = None
    classified: bool = False
    """Whether this metric tells why answers are wrong, so that no failure means right."""
    bad_reference: str | None = None
    """Why the expected answer cannot be one; the sample then counts for nothing."""
    note: str | None = None
    """Why a score has no value, or what a judge said."""
    details: Mapping[str, Any] | None = None
    """What happened to each call, as JSON (`tool_scores.details_of`)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One example with everything that is known about it."""

    example: Example
    sample: Sample
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def failure(self) -> Failure | None:
        """The one class of a wrong sample: what kept the answer away, else what the first metric says that
        classifies.
        """
        if self.sample.failure is not None:
            return self.sample.failure
        return next((verdict.failure for verdict in self.verdicts.values() if verdict.classified), None)

    @property
    def bad_reference(self) -> str | None:
        if self.example.bad_reference is not None:
            return self.example.bad_reference
        return next((v.bad_reference for v in self.verdicts.values() if v.bad_reference is not None), None)
