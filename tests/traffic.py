"""Small pieces of teacher traffic for tests: build a record by what matters, the rest is usual."""

from __future__ import annotations

from typing import Any

from flywheel.models import Record, Workload

SHOP = Workload("shop", "support")


def tool(name: str, *properties: str, **schema: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {each: {"type": "string"} for each in properties}, **schema}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


TOOLS = [tool("track_order", "order", required=["order"]), tool("find_product", "query", "color")]


def call(name: str, arguments: Any, id_: str = "call_1") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(
    text: str | None = None, *calls: dict[str, Any], finish: str | None = None, **message: Any
) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": text, **message}
    if calls:
        said["tool_calls"] = list(calls)
    reason = finish or ("tool_calls" if calls else "stop")
    return {"choices": [{"index": 0, "message": said, "finish_reason": reason}]}


def request(
    *messages: dict[str, Any], tools: list[dict[str, Any]] | None = None, **rest: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "teacher", "messages": list(messages), **rest}
    offered = TOOLS if tools is None else tools
    return body | ({"tools": offered} if offered else {})


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def record(
    asked: str | dict[str, Any] = "hello",
    answered: dict[str, Any] | None = None,
    *,
    at: float = 1_700_000_000.0,
    id_: str | None = None,
    conversation: str | None = None,
    workload: Workload = SHOP,
) -> Record:
    body = request(user(asked)) if isinstance(asked, str) else asked
    response = answer("Hello!") if answered is None else answered
    if id_:
        response = {"id": id_, **response}
    metadata = {"conversation_id": conversation} if conversation else None
    return Record.of(workload, at, body, response, metadata)


def tracking(number: int, *, at: float | None = None, conversation: str | None = None) -> Record:
    """A question for an order, with its call; a different one for each number."""
    return record(
        f"where is order {number}",
        answer(None, call("track_order", f'{{"order": "{number}"}}')),
        at=1_700_000_000.0 + number if at is None else at,
        id_=f"chat-{number}",
        conversation=conversation,
    )
