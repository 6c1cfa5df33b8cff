"""The command: take the port, load the model and the adapters, tell the address, serve until told to stop.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 could not start (one sentence on standard error).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI

from flywheel.errors import FlywheelError
from flywheel.lifeline import exit_at_stdin_eof
from flywheel.log import configure
from flywheel.serving.errors import ModelUnservable, PortTaken
from flywheel.serving.spec import ServingSpec, read_spec
from flywheel.web import Lifespan, bound_socket, make_app

GRACE_S = 1
"""How long answers that are under way may take after SIGTERM."""


def main() -> int:
    if len(sys.argv) != 2:
        return _say("usage: python -m flywheel.serving SPEC.json")
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes these over while it serves, and raises them again when it has ended.
        signal.signal(number, lambda *_: os._exit(0))
    configure()
    try:
        spec = read_spec(Path(sys.argv[1]))
        if spec.stdin_lifeline:
            exit_at_stdin_eof(0)
        _serve(spec, _listen(spec))
    except FlywheelError as error:
        return _say(str(error))
    return 0


def _listen(spec: ServingSpec) -> socket.socket:
    """A bound socket, not listening yet: who connects before the model is there is refused."""
    try:
        return bound_socket(spec.host, spec.port)
    except OSError as error:
        raise PortTaken(spec.host, spec.port, error.strerror or str(error)) from error


def _serve(spec: ServingSpec, taken: socket.socket) -> None:
    # torch takes seconds to load, which a bad SPEC or a port in use need not wait for.
    from flywheel.serving.embedding import is_embedding_model  # noqa: PLC0415

    (_serve_embeddings if is_embedding_model(spec.model) else _serve_chat)(spec, taken)


def _serve_embeddings(spec: ServingSpec, taken: socket.socket) -> None:
    from flywheel.serving.embedding import load_embedding_model  # noqa: PLC0415
    from flywheel.serving.embedding_router import embedding_router  # noqa: PLC0415

    if spec.adapters:
        raise ModelUnservable(spec.model, "it embeds, and takes no adapters")
    model = load_embedding_model(spec)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _tell(taken, spec.name, f"embeddings, {model.model.device}, {model.max_model_len} tokens")
        yield

    _run([embedding_router(spec.name, model)], taken, lifespan)


def _serve_chat(spec: ServingSpec, taken: socket.socket) -> None:
    from flywheel.serving.engine import Engine  # noqa: PLC0415
    from flywheel.serving.lora import Adapters  # noqa: PLC0415
    from flywheel.serving.model import load_model  # noqa: PLC0415
    from flywheel.serving.registry import Registry  # noqa: PLC0415
    from flywheel.serving.router import router  # noqa: PLC0415

    served = load_model(spec)
    adapters = Adapters(served.model)
    engine = Engine(
        served.model,
        adapters,
        end_ids=served.end_ids,
        decode=served.text,
        max_batch_size=spec.max_batch_size,
    )
    engine.start()
    registry = Registry(spec.name, adapters, engine)
    for adapter in spec.adapters:
        registry.load(adapter.name, adapter.path, adapter.sha256)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        about = f"{served.model.device}, {served.max_model_len} tokens, {spec.max_batch_size} at once"
        _tell(taken, ", ".join(registry.names()), about)
        yield
        engine.close()

    _run([router(served, engine, registry)], taken, lifespan)


def _tell(taken: socket.socket, names: str, about: str) -> None:
    host, port = taken.getsockname()[:2]
    sys.stdout.write(f"serving {names} on http://{host}:{port} ({about})\n")
    sys.stdout.flush()


def _run(routers: Sequence[APIRouter], taken: socket.socket, lifespan: Lifespan) -> None:
    app = make_app("Flywheel local serving", "openai", routers, lifespan=lifespan)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[taken])


def _say(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # torch takes a second to take itself down; nothing is left to be done.
