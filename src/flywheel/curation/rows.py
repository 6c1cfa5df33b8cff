"""Records in the form that training and evaluation read, as rows of JSON lines.

Messages lose what servers add for their own use (annotations, audio, reasoning), and what is loose in the
wild becomes what OpenAI's schema says: typed tools, calls with an id and a type, the old `function_call` as a
tool call. No tool and no row is left out for what it holds, no tool_choice is forced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from flywheel.curation.canonical import text_of
from flywheel.curation.intake import conversation_of
from flywheel.curation.tools import wire_tools
from flywheel.models import Record

Row = dict[str, Any]
Arguments = Literal["object", "text", "as_logged"]


def training_rows(records: Iterable[Record], *, parse_function_arguments: bool = True) -> Iterator[Row]:
    """`{"messages", "tools"}` for NeMo's customizer: the request's messages and the teacher's answer.

    Arguments are objects (as its schema demands), or text with `parse_function_arguments=False`; content is
    text, never null. "tools" is there where the request offers functions.
    """
    form: Arguments = "object" if parse_function_arguments else "text"
    for record in records:
        request = record.request
        messages = [*request["messages"], answer_of(record.response)]
        row: Row = {"messages": clean_messages(messages, form, text_only=True)}
        if tools := wire_tools(request.get("tools"), request.get("functions")):
            row["tools"] = tools
        yield row


def eval_rows(records: Iterable[Record], *, parse_function_arguments: bool = True) -> Iterator[Row]:
    """`{"request", "response", …}` for NVIDIA's evaluator.

    The request can be sent as it is, so its arguments are text; those of the response, which answers are
    compared with, are objects (text that is no JSON stays text). Every answer has `tool_calls`, empty for
    none, because the evaluator's templates look at it. `name` says which record it is, `conversation` which
    ones belong together; `metadata.acceptable` goes along (`flywheel.evaluation.references`).
    """
    form: Arguments = "object" if parse_function_arguments else "text"
    for record in records:
        request, response = record.request, record.response
        row = {
            "name": record.name,
            "conversation": conversation_of(record),
            "timestamp": record.timestamp,
            "workload_id": record.workload_id,
            "client_id": record.client_id,
            "request": wire_request(request, request["messages"]),
            "response": _reference(response, form),
        }
        if (acceptable := record.metadata.get("acceptable")) is not None:
            row["metadata"] = {"acceptable": acceptable}
        yield row


def wire_request(request: Row, messages: Sequence[Row]) -> Row:
    """The request with these messages, fit to be sent to any OpenAI-compatible server."""
    dropped = ("messages", "tools", "functions", "function_call", "stream", "stream_options", "n")
    wired = {key: value for key, value in request.items() if key not in dropped}
    wired["messages"] = clean_messages(messages, "text")
    tools = wire_tools(request.get("tools"), request.get("functions"))
    if tools:
        wired["tools"] = tools
    else:
        wired.pop("tool_choice", None)  # Servers refuse it without tools.
        wired.pop("parallel_tool_calls", None)
    return wired


def answer_of(response: Row) -> Row:
    """The message of the first choice."""
    message: Row = response["choices"][0]["message"]
    return {**message, "role": message.get("role") or "assistant"}


def clean_messages(messages: Sequence[Row], form: Arguments, *, text_only: bool = False) -> list[Row]:
    """Messages with the keys of OpenAI's schema only; calls get the ids and types that they lack."""
    unnamed = 0
    cleaned = []
    for message in messages:
        content = message.get("content")
        turn: Row = {"role": message.get("role") or "user", "content": content}
        if text_only and not isinstance(content, str):
            turn["content"] = text_of(content) or ""
        calls = list(message.get("tool_calls") or ())
        old = message.get("function_call")
        if not calls and isinstance(old, dict) and old.get("name"):
            calls = [{"function": old}]
        if calls:
            turn["tool_calls"] = []
            for call in calls:
                unnamed += 1
                turn["tool_calls"].append(_clean_call(call, f"call_{unnamed:04}", form))
        for key in ("name", "tool_call_id"):
            if isinstance(message.get(key), str):
                turn[key] = message[key]
        cleaned.append(turn)
    return cleaned


def _clean_call(call: Row, spare_id: str, form: Arguments) -> Row:
    function = call.get("function") or {}
    arguments = _arguments(function.get("arguments"), form)
    return {
        "id": call.get("id") or spare_id,
        "type": "function",
        "function": {"name": function.get("name"), "arguments": arguments},
    }


def _arguments(arguments: Any, form: Arguments) -> Any:
    if form == "text":
        return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    if isinstance(arguments, str):
        try:
            return msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, RecursionError):
            return arguments
    return {} if arguments is None else arguments


def _reference(response: Row, form: Arguments) -> Row:
    (message,) = clean_messages([answer_of(response)], form)
    message.setdefault("tool_calls", [])
    first = response["choices"][0]
    choice = {"index": 0, "message": message, "finish_reason": first.get("finish_reason")}
    kept = ("id", "object", "created", "model", "usage")
    return {**{key: response[key] for key in kept if key in response}, "choices": [choice]}
