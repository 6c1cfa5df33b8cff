"""The records that flow through the program, as values.

A Record is one logged call of the teacher. It is a plain frozen dataclass and not a pydantic model because
curation streams hundreds of thousands of them; what is checked, and how a bad one is reported, is the
business of `flywheel.curation`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Workload:
    """One task of one application: the pair that tags every record."""

    client_id: str
    workload_id: str

    def __str__(self) -> str:
        return f"{self.client_id}/{self.workload_id}"


@dataclass(frozen=True, slots=True)
class Record:
    """One logged call of the teacher; `request` and `response` are OpenAI chat-completion bodies.

    `timestamp` is in seconds since the epoch, UTC.
    """

    timestamp: float
    workload_id: str
    client_id: str
    request: dict[str, Any]
    response: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def workload(self) -> Workload:
        return Workload(self.client_id, self.workload_id)
