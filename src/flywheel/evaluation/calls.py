"""Tool calls as they come in messages and references, read once: from text or object, good JSON or bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 64
"""Arguments that nest deeper than this are babble, and would exhaust whoever walks them."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: Any
    """The parsed arguments, normally an object; None where `readable` is False."""
    readable: bool
    raw: Any
    """The arguments as they came."""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": self.arguments if self.readable else self.raw}


class BadReference(ValueError):
    """An expected answer that cannot be one: the message says why."""


def calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of an assistant's message. A call without a name gets the name "" (which matches nothing)."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        legacy = message.get("function_call")
        # Some servers send an empty one with every answer.
        calls = [{"function": legacy}] if isinstance(legacy, dict) and legacy.get("name") else []
    return tuple(_read(call) for call in calls)


def reference_calls(value: Any) -> tuple[ToolCall, ...]:
    """The expected calls, from a list of OpenAI's calls or of `{name, arguments}`. Raises BadReference."""
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        raise BadReference(f"the expected calls are a {type(value).__name__}, not a list")
    calls = tuple(_read(call) for call in value)
    for call in calls:
        if not call.name:
            raise BadReference("an expected call has no function name")
        if not call.readable or not isinstance(call.arguments, dict):
            raise BadReference("the arguments of a call are not a JSON object")
    return calls


def _read(call: Any) -> ToolCall:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    function = function if isinstance(function, Mapping) else {}
    name, raw = function.get("name"), function.get("arguments")
    readable, arguments = _arguments(raw)
    return ToolCall(name if isinstance(name, str) else "", arguments, readable, raw)


def _arguments(raw: Any) -> tuple[bool, Any]:
    """Arguments that are absent or blank are no arguments: several servers write those for `{}`."""
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return True, {}
    if not isinstance(raw, str):
        return True, raw
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return False, None
    return (True, value) if _depth(value) <= DEEPEST else (False, None)


def _depth(value: Any) -> int:
    """How deep objects and lists nest."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return depth
