"""Why a logged answer cannot be a reference, found before it scores any, in the words of curation.

Curation looks at records before a run; this is for references that come from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import jsonschema_rs

from flywheel.evaluation.calls import ToolCall
from flywheel.evaluation.values import Schema

NOT_OFFERED = "a call names a tool that the request did not offer"
BREAKS_SCHEMA = "the arguments of a call break the schema of the tool"
CONFLICTING = "the same request got another answer"


def fault_of(calls: Sequence[ToolCall], parameters: Mapping[str, Schema]) -> str | None:
    """What is wrong with the first bad call. A tool whose schema is none cannot be broken."""
    for call in calls:
        if parameters and call.name not in parameters:
            return NOT_OFFERED
        validator = _validator(json.dumps(parameters.get(call.name)))
        if validator is not None and not validator.is_valid(call.arguments):
            return BREAKS_SCHEMA
    return None


def request_key(request: Mapping[str, Any]) -> bytes | None:
    """Equal for requests in which the teacher read the same; None where nothing was said.

    Tools count in any order, and calls by their number, since servers draw ids anew.
    """
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    tools = request.get("tools")
    ids, numbers = dict[str, int](), count()
    read = [
        [_numbered(message, ids, numbers) for message in messages],
        sorted(map(_text, tools)) if isinstance(tools, list) else None,
        request.get("tool_choice") or "auto",
        request.get("response_format"),
    ]
    return hashlib.blake2b(_text(read).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _numbered(message: Any, ids: dict[str, int], numbers: Iterator[int]) -> Any:
    """The message with call ids replaced by the number of the call; one used again means the later call."""
    if not isinstance(message, Mapping):
        return message
    read = {name: value for name, value in message.items() if value is not None}
    if isinstance(calls := read.get("tool_calls"), list):
        for call in calls:
            if isinstance(call, Mapping):
                ids[str(call.get("id"))] = next(numbers)
        read["tool_calls"] = [call.get("function") if isinstance(call, Mapping) else call for call in calls]
    if "tool_call_id" in read:
        read["tool_call_id"] = ids.get(str(read["tool_call_id"]))
    return read


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@lru_cache(maxsize=4_096)
def _validator(schema: str) -> jsonschema_rs.Validator | None:
    """None for what is no schema (`"type": "dict"` is popular), or has references to elsewhere."""
    try:
        return jsonschema_rs.validator_for(json.loads(schema) or {}, offline=True)
    except ValueError:
        return None
