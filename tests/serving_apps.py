"""Real servers for tests: an ASGI app under uvicorn, on a free loopback port, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from flywheel.web import bound_socket, make_app


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serve_app(app: Any) -> Iterator[str]:
    """Serve `app` inside the block; yields its address, such as `http://127.0.0.1:41234`."""
    listener = bound_socket("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        if not server.listening.wait(30):
            raise TimeoutError("the test's server did not come up; see its log above")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def nemo_app(title: str, *routers: APIRouter) -> FastAPI:
    """An application that speaks NeMo's dialect."""
    return make_app(title, "nemo", routers)
