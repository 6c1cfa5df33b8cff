"""A scripted chat model behind the OpenAI protocol: a fake, and named so, for tests, benchmarks and dry runs.

It is an ASGI application, so it can be served on a port or handed to a client as a transport. A script is
a function from the request's body to a `Reply`; every request that arrives is kept in `requests`, which
is how a test counts what was asked.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import Response


@dataclass(frozen=True, slots=True)
class Reply:
    """What the fake says: words, calls `(name, arguments as an object or as raw text)`, or an error
    status.
    """

    text: str | None = None
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    finish_reason: str | None = None
    raw: str | None = None
    """The body, instead of a completion."""


Script = Callable[[dict[str, Any]], Reply]


class ScriptedChat:
    """Answers `/v1/chat/completions` and `/v1/completions` by a script; `/v1/models` lists `models` as it
    is then, names alone or with the `sha256` that our model proxy gives base models.
    """

    def __init__(self, script: Script, models: Sequence[str] | Mapping[str, str] = ("scripted",)) -> None:
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._script = script
        self._models = models
        self._lock = threading.Lock()
        self.app = FastAPI(title="scripted chat model (a fake)")
        self.app.add_api_route("/v1/chat/completions", self._chat, methods=["POST"])
        self.app.add_api_route("/v1/completions", self._chat, methods=["POST"])
        self.app.add_api_route("/v1/models", self._list, methods=["GET"])

    def transport(self) -> httpx.AsyncBaseTransport:
        """For a client in this process, without a socket."""
        return httpx.ASGITransport(app=self.app)

    async def _list(self) -> dict[str, Any]:
        fixed = {"object": "model", "created": 0, "owned_by": "system"}
        told = self._models if isinstance(self._models, Mapping) else {}
        extra = {name: {"sha256": told[name]} if name in told else {} for name in self._models}
        return {"object": "list", "data": [{"id": name} | fixed | more for name, more in extra.items()]}

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        with self._lock:
            self.requests.append(body)
            self.authorizations.append(request.headers.get("authorization", ""))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            number = len(self.requests)
        try:
            reply = self._script(body)
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
        finally:
            with self._lock:
                self._at_once -= 1
        if reply.raw is not None:
            return Response(reply.raw, reply.status, dict(reply.headers), "application/json")
        if reply.status != 200:
            error = {"message": reply.text or "scripted error", "type": "scripted", "code": reply.status}
            return _json({"error": error}, reply)
        completion = _completion(body, reply, number)
        if body.get("stream") and "messages" in body:
            return Response("".join(_events(body, completion)), media_type="text/event-stream")
        return _json(completion, reply)


def _json(body: Mapping[str, Any], reply: Reply) -> Response:
    """In ASCII, since models can say half a surrogate pair."""
    return Response(json.dumps(body), reply.status, dict(reply.headers), "application/json")


def _completion(body: Mapping[str, Any], reply: Reply, number: int) -> dict[str, Any]:
    prompt_tokens = len(json.dumps(body.get("messages", body.get("prompt", "")))) // 4
    completion_tokens = len(reply.text or "") // 4 + 8 * len(reply.calls)
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    common = {"id": f"chatcmpl-{number}", "created": 0, "model": body.get("model", ""), "usage": usage}
    if "prompt" in body:
        choice = {"index": 0, "text": reply.text or "", "finish_reason": reply.finish_reason or "stop"}
        return common | {"object": "text_completion", "choices": [choice]}
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = [_call(number, i, *call) for i, call in enumerate(reply.calls)]
    reason = reply.finish_reason or ("tool_calls" if reply.calls else "stop")
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return common | {"object": "chat.completion", "choices": [choice]}


def _call(number: int, index: int, name: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": f"call_{number}_{index}", "type": "function", "function": {"name": name, "arguments": text}}


def _events(body: Mapping[str, Any], completion: Mapping[str, Any]) -> Iterator[str]:
    """The same completion in pieces: text in words, the arguments of a call in two halves."""
    message, reason = completion["choices"][0]["message"], completion["choices"][0]["finish_reason"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\s*\S+\s*|\s+", message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        halves = arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]
        function = {**call["function"], "arguments": halves[0]}
        deltas.append({"tool_calls": [{"index": index, **call, "function": function}]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": halves[1]}}]})
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": reason}])
    head = {**completion, "object": "chat.completion.chunk", "usage": None}
    for choice in choices:
        yield f"data: {json.dumps({**head, 'choices': choice})}\n\n"
    if (body.get("stream_options") or {}).get("include_usage"):
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': completion['usage']})}\n\n"
    yield "data: [DONE]\n\n"
