"""Answers and rows for the tests of scoring, made from a few words."""

from __future__ import annotations

import json
from typing import Any

from flywheel.evaluation.failures import Failure
from flywheel.evaluation.sample import Sample


def call(name: str, arguments: Any = None) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}


def message(*calls: dict[str, Any], text: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"role": "assistant", "content": text}
    return answer | {"tool_calls": list(calls)} if calls else answer


def response(*calls: dict[str, Any], text: str | None = None, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message(*calls, text=text), "finish_reason": finish}]}


def sample(*calls: dict[str, Any], text: str | None = None, finish: str = "stop") -> Sample:
    return Sample(response=response(*calls, text=text, finish=finish), latency_s=0.1)


def row(*calls: dict[str, Any], text: str | None = None, question: str = "hello") -> dict[str, Any]:
    """A log record whose teacher answered like this."""
    return {
        "request": {"messages": [{"role": "user", "content": question}]},
        "response": response(*calls, text=text),
    }


TIMED_OUT = Sample(failure=Failure.TIMEOUT, error="no answer in time", infrastructure=True)
