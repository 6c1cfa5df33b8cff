"""How a process tells the outside how it is: `/health/live`, `/health/ready` and `/metrics`, on each address.

Live says that the process answers; ready, that what it cannot do without answers too: its stores and its
folder. The services that it calls in other processes are shown beside them.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import uvicorn
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from flywheel import __version__
from flywheel.errors import FlywheelError, UserError
from flywheel.stores.logs import LogStore
from flywheel.stores.runs import RunQuery, RunStore
from flywheel.telemetry import metrics
from flywheel.telemetry.health import Check, Finding, Readiness
from flywheel.telemetry.metrics import Reading
from flywheel.web import bound_socket, make_app

FREE_BYTES_NEEDED = 256 * 1024**2
"""With less, the next training or import would end in the middle."""
_SERVICE_TIMEOUT_S = 2.0
_RECORDS_KEPT_S = 60.0
_STOP_S = 5.0


def router(
    findings: Callable[[], Sequence[Finding]], states: Iterable[Callable[[], Iterable[Reading]]] = ()
) -> APIRouter:
    """The three routes, over what `findings` finds and the `states` that the metrics look up."""
    api = APIRouter(tags=["health"])
    states = tuple(states)

    @api.get("/health/live")
    def live() -> dict[str, str]:
        """This process answers."""
        return {"status": "live", "version": __version__}

    @api.get("/health/ready")
    def ready() -> JSONResponse:
        """What this process needs answers; 503, with what does not and why, where it does not."""
        found = findings()
        wrong = [asdict(finding) for finding in found if finding.wrong]
        checks = [{"check": f.check, "ok": f.ok, "seen": f.seen} for f in found]
        body = {"status": "not ready" if wrong else "ready", "version": __version__}
        return JSONResponse(body | {"not_ready": wrong, "checks": checks}, 503 if wrong else 200)

    @api.get("/metrics")
    def page() -> Response:
        """What Prometheus reads; see docs/metrics.md."""
        return Response(metrics.page(states), media_type=metrics.CONTENT_TYPE)

    return api


def service_check(name: str, url: str, transport: httpx.BaseTransport | None = None) -> Check:
    """Whether a service in another process answers at all; one of NVIDIA's may say 404, and that will do."""

    def check() -> list[Finding]:
        try:
            with httpx.Client(transport=transport, timeout=_SERVICE_TIMEOUT_S) as http:
                answer = http.get(f"{url}/health/live")
        except httpx.HTTPError as error:
            seen = f"{url}: no answer ({type(error).__name__}: {error})".replace(": )", ")")
            return [Finding(name, False, seen, "start it, or correct its address in nmp_config")]
        ok = not answer.is_server_error
        return [Finding(name, ok, f"{url} answers {answer.status_code}", "look into its log")]

    return check


def advice(name: str, check: Check) -> Check:
    """What `check` finds, as something that one can work without for a while."""

    def look() -> list[Finding]:
        try:
            return [replace(finding, blocks=False) for finding in check()]
        except FlywheelError as error:
            return [Finding(name, False, str(error), blocks=False)]

    return look


def folder_check(folder: Path) -> Check:
    """Whether the data folder, or where it would be made, takes what is written."""

    def check() -> list[Finding]:
        at = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=at) as probe:
                probe.write(b"0" * 4096)
        except OSError as error:
            seen = f"{folder}: {error.strerror or error}"
            return [Finding("data folder", False, seen, "free some space, or choose another with --data")]
        free = shutil.disk_usage(at).free
        seen = f"{folder}: {free / 1e9:.1f} GB free"
        enough = free >= FREE_BYTES_NEEDED
        return [Finding("data folder", enough, seen, "free some space, or choose another with --data")]

    return check


def run_states(store: RunStore) -> Callable[[], Iterable[Reading]]:
    """Runs that are not over; those that are, each process counts as it ends them."""

    def states() -> Iterable[Reading]:
        pending = store.list(RunQuery(status="pending", limit=1)).total
        running = store.list(RunQuery(status="running", limit=1)).total
        return [(metrics.RUNS, ("pending",), pending), (metrics.RUNS, ("running",), running)]

    return states


def record_states(store: LogStore) -> Callable[[], Iterable[Reading]]:
    """How many records there are; a large store needs a moment to count them."""
    lock, counted, until = threading.Lock(), 0, 0.0

    def states() -> Iterable[Reading]:
        nonlocal counted, until
        with lock:
            if time.monotonic() >= until:
                counted, until = store.count(), time.monotonic() + _RECORDS_KEPT_S
            return [(metrics.RECORDS, (), counted)]

    return states


@contextmanager
def answering(host: str, port: int, checks: Mapping[str, Check]) -> Iterator[str]:
    """The three routes on a port of their own, for a process that serves nothing else; yields the address.

    Port 0 picks a free one. Raises UserError where the port cannot be had.
    """
    try:
        listener = bound_socket(host, port)
    except OSError as error:
        raise UserError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    readiness = Readiness(checks)
    app = make_app("Vitals", "problem", [router(readiness.findings)])
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="vitals", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        listener.close()
        readiness.close()
