"""How errors look on the wire, once per dialect, and what every app of ours has in common.

Three dialects: RFC 9457 problem details for the orchestrator (with the `detail` that NVIDIA's clients read),
`{"detail": …}` for the NeMo services, `{"error": {…}}` where we speak OpenAI's protocol.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from time import perf_counter
from typing import Any, Literal

from anyio import from_thread
from fastapi import APIRouter, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flywheel import __version__
from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.telemetry import metrics, tracing

Dialect = Literal["problem", "nemo", "openai"]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

log = get_logger(__name__)


class AsciiJson(JSONResponse):
    """JSON that any text of a model or a log survives: in ASCII, since it may hold half a surrogate pair; a
    number that JSON does not have becomes null."""

    def render(self, content: Any) -> bytes:
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that `port` is taken with, not listening yet: port 0 takes a free one. Raises OSError.

    It names its protocol, by which asyncio knows to send small packets at once: without, each answer on a
    connection that was used before waits 40 ms for the caller to acknowledge its headers (Nagle's algorithm).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def make_app(
    title: str, dialect: Dialect, routers: Sequence[APIRouter], *, lifespan: Lifespan | None = None
) -> FastAPI:
    """An application of `routers` whose errors are rendered in `dialect`; its /docs needs no internet."""
    app = FastAPIOffline(title=title, version=__version__, lifespan=lifespan)
    for router in routers:
        app.include_router(router)
    install_errors(app, dialect)
    app.add_middleware(Observed, name=title)
    return app


def install_errors(app: FastAPI, dialect: Dialect) -> None:
    """Render every error of `app` in `dialect`; an unforeseen one is logged and answered without details."""

    def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, FlywheelError)  # noqa: S101 - registered for this class only
        if error.status >= 500:
            log.error("request failed", extra={"path": request.url.path, "error": str(error)})
        headers = dict(getattr(error, "headers", {}))
        if error.status == 409:
            headers["x-should-retry"] = "false"  # NVIDIA's SDK retries a 409 twice unless told not to.
        return _render(dialect, error.status, error.code, str(error), headers)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        return _render_invalid(dialect, error)

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        return _render(dialect, error.status_code, "http", str(error.detail), dict(error.headers or {}))

    def unforeseen(request: Request, error: Exception) -> Response:
        log.error("unforeseen error", extra={"path": request.url.path}, exc_info=error)
        text = f"unforeseen {type(error).__name__}; the server's log has the details"
        return _render(dialect, 500, "internal", text, {})

    app.add_exception_handler(FlywheelError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unforeseen)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNTRACED = ("/health/", "/metrics")


class Observed:
    """Counts, times and traces the requests of the application `name`; bodies pass through untouched."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app, self._name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status, began = 500, perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if scope["path"].startswith(_UNTRACED):
                await self._app(scope, receive, sending)
                return
            about = {"http.request.method": method, "url.path": scope["path"]}
            with tracing.span(method, about, kind="server", parent=_traceparent(scope)) as span:
                try:
                    await self._app(scope, receive, sending)
                finally:
                    route = _route(scope)
                    span.rename(f"{method} {route}")
                    span.note(http__route=route, http__response__status_code=status)
                    if status >= 500:
                        span.fail(f"status {status}")
        finally:
            route = _route(scope)
            metrics.HTTP_REQUESTS.labels(self._name, method, route, status).inc()
            metrics.HTTP_SECONDS.labels(self._name, method, route).observe(perf_counter() - began)


def arriving(request: Request, size: int) -> Iterator[bytes]:
    """The request's body as it arrives, about `size` bytes at a time, for a function that runs in a thread.

    Raises starlette's ClientDisconnect where the client goes away before the end.
    """
    stream = request.stream()

    async def following() -> bytes:
        data = bytearray()
        while len(data) < size and (chunk := await anext(stream, None)) is not None:
            data += chunk
        return bytes(data)

    while data := from_thread.run(following):
        yield data


def _route(scope: Scope) -> str:
    """The template that the path was matched with; raw paths are without number."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _traceparent(scope: Scope) -> str | None:
    found = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
    return found.decode("latin-1") if found else None


def _render(dialect: Dialect, status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    body: dict[str, Any]
    if dialect == "openai":
        kind = "invalid_request_error" if status < 500 else "server_error"
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        return JSONResponse(body, status, headers)
    if dialect == "problem":
        body = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "detail": message}
        return JSONResponse(body | {"code": code}, status, headers, media_type="application/problem+json")
    return JSONResponse({"detail": message}, status, headers)


def _render_invalid(dialect: Dialect, error: RequestValidationError) -> Response:
    problems = [{k: e[k] for k in ("loc", "msg", "type") if k in e} for e in error.errors()]
    if dialect == "openai":
        first = problems[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return _render(dialect, 400, "invalid_request", f"{where or 'body'}: {first['msg']}", {})
    body: dict[str, Any] = {"detail": jsonable_encoder(problems)}
    if dialect == "problem":
        body |= {"type": "about:blank", "title": "invalid request", "status": 422, "code": "invalid"}
        return JSONResponse(body, 422, media_type="application/problem+json")
    return JSONResponse(body, 422)
