"""The routes: parse, submit, answer. vLLM's names where OpenAI has none (adapters)."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from flywheel.prompts import PromptError, prompt_text
from flywheel.serving.answers import Pieces, Reading
from flywheel.serving.engine import Engine, Generation
from flywheel.serving.errors import BadParameter, ContextTooLong
from flywheel.serving.model import CALL_OPENINGS, ServedModel
from flywheel.serving.registry import Registry, Served
from flywheel.serving.wire import (
    ChatRequest,
    CompletionRequest,
    LoadAdapter,
    Sampling,
    UnloadAdapter,
    usage_of,
)

GONE = 499
"""The status of an answer that nobody waits for any more; it never reaches the wire."""


def router(served: ServedModel, engine: Engine, registry: Registry) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        body.refuse_unsupported()
        model, tools = registry.find(body.model), body.offered_tools
        opening = _opening(served.family, body) if tools else ""
        try:
            messages = [message.model_dump() for message in body.messages]
            text = prompt_text(served.tokenizer, messages, tools) + opening
        except PromptError as error:
            raise BadParameter("messages", "…", str(error)) from error
        ids = served.tokenizer.encode(text, add_special_tokens=False)
        reading = Reading(served, tools=tools, opening=opening, stop=body.stops)
        job = _Job(served, engine, model, body, [ids], body.max_completion_tokens or body.max_tokens)
        if body.stream:
            return StreamingResponse(
                _stream(job, reading, _chat_delta, {"role": "assistant", "content": ""}),
                media_type="text/event-stream",
            )
        if not await job.finished(request):
            return Response(status_code=GONE)
        choices = []
        for index, generation in enumerate(job.generations):
            message, finish = reading.choice(generation)
            choices.append({"index": index, "message": message, "finish_reason": finish, "logprobs": None})
        return JSONResponse(job.envelope("chat.completion", "chatcmpl", choices, usage=True))

    @routes.post("/v1/completions")
    async def completion(body: CompletionRequest, request: Request) -> Response:
        body.refuse_unsupported()
        model = registry.find(body.model)
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        ids = [served.tokenizer.encode(prompt) for prompt in prompts]
        reading = Reading(served, stop=body.stops)
        job = _Job(served, engine, model, body, ids, body.max_tokens)
        if body.stream:
            return StreamingResponse(_stream(job, reading, _text_delta, None), media_type="text/event-stream")
        if not await job.finished(request):
            return Response(status_code=GONE)
        choices = [
            {"index": i, "text": reading.text(done.tokens), "finish_reason": done.finish, "logprobs": None}
            for i, done in enumerate(job.generations)
        ]
        return JSONResponse(job.envelope("text_completion", "cmpl", choices, usage=True))

    @routes.post("/v1/embeddings")
    async def no_embeddings() -> None:
        name = registry.names()[0]
        raise BadParameter("model", name, "is a chat model; serve an embedding model for /v1/embeddings")

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(model, served) for model in registry.all()]}

    @routes.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        return _card(registry.find(name), served)

    @routes.post("/v1/load_lora_adapter")
    async def load_adapter(body: LoadAdapter) -> Response:
        await run_in_threadpool(registry.load, body.lora_name, Path(body.lora_path), body.sha256)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @routes.post("/v1/unload_lora_adapter")
    async def unload_adapter(body: UnloadAdapter) -> Response:
        await run_in_threadpool(registry.unload, body.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    @routes.get("/health")
    @routes.get("/v1/health/live")
    @routes.get("/v1/health/ready")
    async def health() -> dict[str, Any]:
        """There is no address before the model is loaded, so to answer is to be ready."""
        return {"object": "health", "message": "ready", "status": "ready"}

    return routes


class _Job:
    """The generations of one request (n, or several prompts), and the way their tokens come to this loop."""

    def __init__(
        self,
        served: ServedModel,
        engine: Engine,
        model: Served,
        body: Sampling,
        prompts: list[list[int]],
        max_tokens: int | None,
    ) -> None:
        for prompt in prompts:
            if len(prompt) >= served.max_model_len:
                raise ContextTooLong(len(prompt), served.max_model_len)
            if not prompt:
                raise BadParameter("prompt", "", "at least one token is needed")
        self._engine, self._model = engine, model
        self._prompts = prompts
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        """(choice, tokens so far)"""
        self.stream_usage = bool(body.stream_options and body.stream_options.include_usage)
        temperature = served.temperature if body.temperature is None else body.temperature
        self.generations = [
            Generation(
                prompt=prompt,
                adapter=model.number,
                max_tokens=min(max_tokens or served.max_model_len, served.max_model_len - len(prompt)),
                deliver=self._deliver,
                temperature=temperature,
                top_p=1.0 if body.top_p is None else body.top_p,
                seed=None if body.seed is None else body.seed + number,
                stop=body.stops,
                stream=body.stream,
            )
            for prompt in prompts
            for number in range(body.n or 1)
        ]
        self._number = {id(generation): i for i, generation in enumerate(self.generations)}

    def submit(self) -> None:
        for generation in self.generations:
            self._engine.submit(generation)

    def cancel(self) -> None:
        for generation in self.generations:
            generation.cancelled = True

    async def finished(self, request: Request) -> bool:
        """Generate all; False when the client went away, and then the slots are freed."""
        self.submit()
        left = asyncio.ensure_future(_disconnected(request))
        try:
            for _ in self.generations:
                next_one = asyncio.ensure_future(self.told.get())
                await asyncio.wait({next_one, left}, return_when=asyncio.FIRST_COMPLETED)
                if not next_one.done():
                    next_one.cancel()
                    self.cancel()
                    return False
        finally:
            left.cancel()
        self.raise_error()
        return True

    def raise_error(self) -> None:
        for generation in self.generations:
            if generation.error is not None:
                self.cancel()
                raise generation.error

    def envelope(
        self, kind: str, prefix: str, choices: list[dict[str, Any]], *, usage: bool
    ) -> dict[str, Any]:
        told = {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self._model.name,
            "choices": choices,
        }
        return told | {"usage": usage_of(sum(map(len, self._prompts)), self.generations)} if usage else told

    def _deliver(self, generation: Generation) -> None:
        news = (self._number[id(generation)], len(generation.tokens))
        try:
            self._loop.call_soon_threadsafe(self.told.put_nowait, news)
        except RuntimeError:
            generation.cancelled = True  # The loop is closed: the server is going down.


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(
    job: _Job, reading: Reading, shape: Any, opening: dict[str, Any] | None
) -> AsyncIterator[str]:
    """Server-sent events of all choices, as their tokens come."""
    head = shape(job)
    pieces = [Pieces(reading) for _ in job.generations]
    open_choices = set(range(len(pieces)))
    try:
        job.submit()
        if opening is not None:
            for number in open_choices:
                yield _event(head, number, opening)
        while open_choices:
            number, count = await job.told.get()
            generation = job.generations[number]
            if generation.error is not None:
                error = generation.error
                kind = {"message": str(error), "type": "server_error", "param": None, "code": error.code}
                yield f"data: {json.dumps({'error': kind})}\n\n"
                break
            if generation.finish is None or count < len(generation.tokens):
                if piece := pieces[number].more(generation.tokens[:count]):
                    yield _event(head, number, {"content": piece})
                continue
            open_choices.discard(number)
            deltas, finish = pieces[number].last(generation)
            for delta in deltas:
                yield _event(head, number, delta)
            yield _event(head, number, {}, finish)
        if job.stream_usage:
            yield _data({**head[0], "choices": [], "usage": job.envelope("", "", [], usage=True)["usage"]})
        yield "data: [DONE]\n\n"
    finally:
        job.cancel()


Head = tuple[dict[str, Any], bool]


def _chat_delta(job: _Job) -> Head:
    return job.envelope("chat.completion.chunk", "chatcmpl", [], usage=False), True


def _text_delta(job: _Job) -> Head:
    return job.envelope("text_completion", "cmpl", [], usage=False), False


def _event(head: Head, number: int, delta: dict[str, Any], finish: str | None = None) -> str:
    told, chat = head
    body = {"delta": delta} if chat else {"text": delta.get("content", "")}
    return _data({**told, "choices": [{"index": number, **body, "finish_reason": finish, "logprobs": None}]})


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _opening(family: str, body: ChatRequest) -> str:
    """What is put in the model's mouth so that it calls, or calls this function."""
    mark = CALL_OPENINGS.get(family)
    if mark is None or body.tool_choice in (None, "auto"):
        return ""
    if (name := body.forced_function) is None:
        return mark
    return f'{mark}{{"name": {json.dumps(name)}, "arguments":'


def _card(model: Served, served: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "flywheel",
        "root": model.root,
        "parent": model.parent,
        "max_model_len": served.max_model_len,
        "permission": [],
    }
