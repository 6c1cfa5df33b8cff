"""OpenAI's routes in front of the deployed models: a request goes to an engine that serves its model.

Bodies pass through as they are, answers as they come, chunk by chunk. When the caller goes away, so does the
request to the engine, which may then stop generating.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from flywheel.errors import UpstreamError, UserError
from flywheel.log import get_logger
from flywheel.services.deployments.backends import Backend
from flywheel.services.deployments.meter import Meter
from flywheel.services.deployments.service import DeploymentService, ModelNotReady
from flywheel.telemetry import tracing

log = get_logger(__name__)

# The longest silence of an engine: an answer that is not streamed is silent until it is complete.
_TIMEOUT: Final = httpx.Timeout(600, connect=5, write=60)
_PASSED_ON: Final = ("content-type", "retry-after", "x-request-id")


class BadRequest(UserError):
    """OpenAI's protocol says 400 where others say 422."""

    status = 400
    code = "invalid_request"


class EngineSilent(UpstreamError):
    status = 504
    code = "engine_timeout"

    def __init__(self, model: str) -> None:
        super().__init__(f"the engine of {model!r} said nothing for {_TIMEOUT.read:g} s")


class EngineBroken(UpstreamError):
    code = "engine_broken"

    def __init__(self, model: str, cause: str) -> None:
        super().__init__(f"the engine of {model!r} gave no answer: {cause}")


def proxy_router(service: DeploymentService) -> APIRouter:
    """`/v1/models` and the inference routes, for an app of its own (dialect "openai")."""
    client = httpx.AsyncClient(timeout=_TIMEOUT, limits=httpx.Limits(max_connections=None))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    routes = APIRouter(tags=["inference"], lifespan=lifespan)

    @routes.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": service.models()}

    @routes.get("/v1/models/{name:path}")
    def get_model(name: str) -> dict[str, Any]:
        return service.model(name)

    @routes.get("/v1/health/live")
    @routes.get("/v1/health/ready")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @routes.post("/v1/chat/completions")
    @routes.post("/v1/completions")
    @routes.post("/v1/embeddings")
    @routes.post("/v1/classify")
    async def forward(request: Request) -> Response:
        return await _forward(service, client, request)

    return routes


async def _forward(service: DeploymentService, client: httpx.AsyncClient, request: Request) -> Response:
    body = await request.body()
    model = _model_in(body)
    backend = service.backends.acquire(model)
    if backend is None:  # Whoever looks further may have to wait for others.
        backend = await run_in_threadpool(service.acquire, model)
    meter = Meter(model)
    async with AsyncExitStack() as stack:
        stack.callback(meter.over)
        stack.callback(service.backends.release, backend)
        meter.sent(backend)
        try:
            answer = await _send(client, request, backend, body)
        except httpx.ConnectError:
            # The engine has just died; its deployment may have a sibling.
            besides = frozenset({backend.deployment_id})
            backend = await run_in_threadpool(service.acquire, model, besides)
            stack.callback(service.backends.release, backend)
            try:
                answer = await _send(client, request, backend, body)
            except httpx.ConnectError as error:
                raise ModelNotReady(model, "its engine is being started again") from error
        stack.push_async_callback(answer.aclose)
        meter.answered(answer.status_code)
        keep = stack.pop_all()
    headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
    return _PassedOn(answer, keep, headers, meter)


async def _send(client: httpx.AsyncClient, request: Request, backend: Backend, body: bytes) -> httpx.Response:
    """The engine's answer as soon as its headers are there; given up when the caller goes away."""
    upstream = client.build_request(
        "POST",
        backend.url + request.url.path,
        content=body,
        headers={
            "content-type": "application/json",
            "accept": request.headers.get("accept", "*/*"),
            "accept-encoding": "identity",
            **tracing.headers(),
        },
    )
    sending = asyncio.ensure_future(client.send(upstream, stream=True))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise CallerGone
        return await sending
    except httpx.ReadTimeout as error:
        raise EngineSilent(backend.model) from error
    except httpx.ConnectError:
        raise
    except httpx.TransportError as error:
        raise EngineBroken(backend.model, f"{type(error).__name__}: {error}") from error
    finally:
        gone.cancel()
        if not sending.done():
            sending.cancel()


class CallerGone(BadRequest):
    """Nobody reads this."""

    status = 499
    code = "client_closed_request"

    def __init__(self) -> None:
        super().__init__("the caller went away")


async def _gone(request: Request) -> None:
    """Return when the caller has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


class _PassedOn(StreamingResponse):
    """An engine's answer on its way; `keep` is closed when it has arrived, or the caller has gone."""

    def __init__(
        self, answer: httpx.Response, keep: AsyncExitStack, headers: dict[str, str], meter: Meter
    ) -> None:
        self._keep = keep
        super().__init__(_chunks(answer, meter), answer.status_code, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._keep:
            await super().__call__(scope, receive, send)


async def _chunks(answer: httpx.Response, meter: Meter) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            meter.saw(chunk)
            yield chunk
    except httpx.TransportError as error:
        # The status is long sent; cutting the connection is the only way left to say so.
        log.warning("an engine broke off its answer", extra={"error": f"{type(error).__name__}: {error}"})
        raise


def _model_in(body: bytes) -> str:
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    model = parsed.get("model") if isinstance(parsed, dict) else None
    if not isinstance(model, str) or not model:
        raise BadRequest("model: give the name of a model; GET /v1/models lists them")
    return model
