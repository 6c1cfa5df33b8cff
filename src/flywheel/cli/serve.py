"""`flywheel serve`: every role in one process, on three addresses, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated

import typer
import uvicorn
from fastapi import FastAPI

from flywheel import log
from flywheel.app import ROLES, Flywheel, create_app
from flywheel.cli.console import out
from flywheel.client.finding import ADDRESS_FILE
from flywheel.config import Settings, load_settings
from flywheel.errors import StorageFull, UserError
from flywheel.opening import Addresses
from flywheel.telemetry import tracing
from flywheel.web import bound_socket

DataDir = Annotated[
    Path, typer.Option("--data", help="Folder of everything that Flywheel keeps.", envvar="FLYWHEEL_DATA")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file.", show_default="config/config.yaml, else the built-in one"
    ),
]
LOCAL_CONFIG = Path("config/config.yaml")


def serve(
    data: DataDir = Path(".flywheel"),
    config: ConfigFile = None,
    host: Annotated[str, typer.Option(help="Interface to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65533, help="Port of the API; services take N+1, models N+2. 0: any free ones."
        ),
    ] = 8000,
    roles: Annotated[str, typer.Option(help=f"Comma-separated: all, or some of {', '.join(ROLES)}.")] = "all",
) -> None:
    """Run the server: API, services and model proxy, in this process."""
    chosen = parse_roles(roles)
    settings = settings_at(config)
    log.configure(settings.logging_config.level, as_json=settings.logging_config.format == "json")
    with lock(data), listen(host, port) as sockets:
        asyncio.run(run(settings, chosen, data, sockets))


def settings_at(config: Path | None) -> Settings:
    """The settings of `config`, else of the file in its usual place, else the built-in ones."""
    return load_settings(config or (LOCAL_CONFIG if LOCAL_CONFIG.is_file() else None))


def parse_roles(text: str) -> frozenset[str]:
    """The roles that `text` names. Raises UserError for one that does not exist."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if names == {"all"}:
        return frozenset(ROLES)
    if unknown := names - set(ROLES):
        raise UserError(
            f"--roles: there is no role {', '.join(sorted(unknown))}; "
            f"choose all, or some of {', '.join(ROLES)}"
        )
    if not names:
        raise UserError(f"--roles: name at least one of {', '.join(ROLES)}, or all")
    return names


@contextlib.contextmanager
def lock(data: Path) -> Iterator[None]:
    """Keep other servers off this folder; two would start every training twice."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle: IO[str] = (data / "serve.lock").open("a+", encoding="utf-8")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(str(data)) from error
        raise UserError(f"--data {data}: this folder cannot be used: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise UserError(
                f"--data {data}: another flywheel serve (process {holder}) works in this folder; "
                "stop it, or choose another folder with --data"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets of the API, the services and the models; UserError where a port is taken."""
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for offset in range(3):
            number = port + offset if port else 0
            try:
                sockets.append(stack.enter_context(bound_socket(host, number)))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise UserError(
                        f"port {number} on {host} is in use; stop what listens there, or choose other ports: "
                        "--port N takes N, N+1 and N+2, --port 0 any free ones"
                    ) from error
                raise UserError(
                    f"--host {host} --port {number}: cannot listen there: {error.strerror or error}"
                ) from error
        yield sockets


async def run(
    settings: Settings,
    roles: frozenset[str],
    data: Path,
    sockets: list[socket.socket],
    *,
    ready: asyncio.Future[Flywheel] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until a signal, or until `stop` is set; `ready` gets the running server.

    Sockets come before the applications, because the parts need each other's addresses.
    """
    stop = stop or asyncio.Event()
    _call_loopback_directly()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    urls = [_url(each) for each in sockets]
    tracing.start(settings.telemetry, "all" if roles == set(ROLES) else ",".join(sorted(roles)))
    flywheel = create_app(settings, roles, data_dir=data, addresses=Addresses(*urls))
    servers = [_Server(app) for app in (flywheel.api, flywheel.nemo, flywheel.models)]
    serving = [loop.create_task(s.serve(sockets=[each])) for s, each in zip(servers, sockets, strict=True)]
    try:
        await asyncio.gather(*(server.up.wait() for server in servers))
        await asyncio.to_thread(flywheel.start)
        (data / ADDRESS_FILE).write_text(
            json.dumps({**asdict(flywheel.addresses), "pid": os.getpid()}), "utf-8"
        )
        await asyncio.to_thread(_announce, flywheel)
        if ready:
            ready.set_result(flywheel)
        await stop.wait()
    finally:
        await asyncio.to_thread(flywheel.stop)
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        await asyncio.to_thread(tracing.stop)
        (data / ADDRESS_FILE).unlink(missing_ok=True)


def _call_loopback_directly() -> None:
    """The parts call each other on this machine; a proxy of the environment is for the world outside."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join([*known, *({"127.0.0.1", "localhost", "::1"} - set(known))])


def _url(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - the parts reach each other by loopback
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _announce(flywheel: Flywheel) -> None:
    for part in flywheel.health():
        mark = "ok" if part.ok else "DOWN"
        out.print(
            f"{part.name:<16} {mark:<5} {part.address or '':<28} {part.detail}", soft_wrap=True, markup=False
        )
    out.print(
        "Ready. Next: flywheel records import FILE, then flywheel runs start "
        f"(the API is described at {flywheel.addresses.api}/docs)"
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: there are three of them in this process, and one way to stop."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=5
            )
        )
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
