"""Which slices of the traffic a record belongs to: by turn, tools offered, length, and the tool to be called.

Slices are of the request and the reference, never of an answer, so all systems have the same.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

Slices = Mapping[str, tuple[str, ...]]
"""Labels by axis. A record that calls two tools has two labels on one axis."""

TOOL = "tool"
"""The axis of the tools that the reference calls."""
NO_CALL = "(no call)"

_TURNS = (1, 2, 3, 6)
_TURN_LABELS = ("1", "2", "3 to 5", "6 or more")
_TOOLS = (0, 1, 2, 6, 16)
_TOOL_LABELS = ("none", "1", "2 to 5", "6 to 15", "16 or more")
_LENGTHS = (0, 1_000, 4_000, 16_000)
_LENGTH_LABELS = ("under 1,000", "1,000 to 3,999", "4,000 to 15,999", "16,000 or more")


def slices_of(request: Mapping[str, Any], expected_tools: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The slices of one record, from its request body and the names of the tools that the reference calls.

    `turn`: which answer of the conversation this is. `request_length`: characters of the messages as JSON.
    """
    found = request.get("messages")
    messages = found if isinstance(found, list) else []
    answers = sum(isinstance(m, Mapping) and m.get("role") == "assistant" for m in messages)
    tools = request.get("tools")
    length = len(json.dumps(messages, ensure_ascii=False, default=str))
    return {
        "turn": (_label(answers + 1, _TURNS, _TURN_LABELS),),
        "tools_offered": (_label(len(tools) if isinstance(tools, list) else 0, _TOOLS, _TOOL_LABELS),),
        "request_length": (_label(length, _LENGTHS, _LENGTH_LABELS),),
        TOOL: tuple(sorted(set(expected_tools))) or (NO_CALL,),
    }


def _label(number: int, edges: tuple[int, ...], labels: tuple[str, ...]) -> str:
    return labels[bisect_right(edges, number) - 1]
