"""Every route of the orchestrator can be called from Python and from the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typer.testing import CliRunner

from flywheel.app import Flywheel, create_app
from flywheel.cli import app
from flywheel.client import AsyncClient, Client
from flywheel.client.routes import ROUTES, Call, Stream
from flywheel.curation.envelope import log_line
from flywheel.opening import Addresses
from run_world import settings, tool_record
from serving_apps import serve_app

RUN = "0123456789abcdef01234567"
WORKLOAD = ("--workload", "tool_router", "--client", "support-app")

COMMANDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/api/jobs"): ("runs", "start", *WORKLOAD),
    ("GET", "/api/jobs"): ("runs", "list"),
    ("GET", "/api/jobs/{job_id}"): ("runs", "show", RUN),
    ("DELETE", "/api/jobs/{job_id}"): ("runs", "delete", RUN),
    ("POST", "/api/jobs/{job_id}/cancel"): ("runs", "cancel", RUN),
    ("GET", "/api/jobs/{job_id}/samples"): ("runs", "samples", RUN),
    ("GET", "/api/jobs/{job_id}/export"): ("runs", "export", RUN),
    ("POST", "/api/jobs/{job_id}/export"): ("runs", "send", RUN),
    ("GET", "/api/datasets/{name}/export"): ("datasets", "export", "some"),
    ("GET", "/api/workloads"): ("workloads", "list"),
    ("GET", "/api/workloads/profile"): ("workloads", "show", *WORKLOAD),
    ("GET", "/api/models"): ("models", "list"),
    ("GET", "/api/models/{name}"): ("models", "show", "test/student"),
    ("GET", "/api/model-files"): ("models", "download", "test/student", "--file", "adapter.bin"),
    ("GET", "/api/datasets"): ("datasets", "list"),
    ("GET", "/api/datasets/{name}"): ("datasets", "show", "some"),
    ("GET", "/api/datasets/{name}/files/{path}"): ("datasets", "download", "some", "--file", "a/b.jsonl"),
    ("GET", "/api/jobs/{job_id}/events"): ("runs", "events", RUN),
    ("GET", "/api/jobs/{job_id}/losses"): ("runs", "losses", RUN),
    ("GET", "/api/jobs/{job_id}/logs"): ("runs", "logs", RUN),
    ("GET", "/api/jobs/{job_id}/compared"): ("runs", "compare", RUN),
    ("GET", "/api/jobs/{job_id}/compared/{key}"): ("runs", "compare", RUN, "--key", "a/b"),
    ("GET", "/api/events"): ("runs", "events", "--all", "--limit", "1"),
    ("POST", "/api/records"): ("records", "import", "records.jsonl"),
    ("GET", "/api/records"): ("records", "export"),
    ("GET", "/api/config"): ("config", "show"),
    ("GET", "/api/evaluations"): ("evaluations", "list"),
    ("POST", "/api/schedules"): ("schedules", "create", *WORKLOAD, "--records", "500"),
    ("GET", "/api/schedules"): ("schedules", "list"),
    ("GET", "/api/schedules/{schedule_id}"): ("schedules", "show", RUN),
    ("PATCH", "/api/schedules/{schedule_id}"): ("schedules", "disable", RUN),
    ("DELETE", "/api/schedules/{schedule_id}"): ("schedules", "delete", RUN),
    ("POST", "/api/schedules/{schedule_id}/run"): ("schedules", "run", RUN),
    ("GET", "/api/schedules/{schedule_id}/explain"): ("schedules", "explain", RUN),
    ("GET", "/api/schedules/{schedule_id}/history"): ("schedules", "history", RUN),
    ("GET", "/api/health"): ("health",),
    ("GET", "/health/live"): ("health", "--live"),
    ("GET", "/health/ready"): ("health", "--ready"),
    ("GET", "/metrics"): ("health", "--metrics"),
}
"""A command for each route; the tests below run each of them and see that the route was called."""


class Heard:
    """An application that writes down which routes were called."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self.routes: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if (route := scope.get("route")) is not None:
                self.routes.add((scope["method"], route.path.replace(":path}", "}")))
            await send(message)

        await self._inner(scope, receive, sending)


@pytest.fixture(scope="module")
def flywheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flywheel]:
    """A server of the role that has the API, with some records; its background work is not begun."""
    nowhere = "http://127.0.0.1:9"
    made = create_app(
        settings(),
        frozenset({"orchestrator"}),
        data_dir=tmp_path_factory.mktemp("data"),
        addresses=Addresses(nowhere, nowhere, nowhere),
    )
    assert made.records is not None
    made.records.add(map(tool_record, range(40)))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def heard(flywheel: Flywheel) -> Heard:
    return Heard(flywheel.api)


@pytest.fixture(scope="module")
def url(heard: Heard) -> Iterator[str]:
    with serve_app(heard) as address:
        yield address


def routes_of(flywheel: Flywheel) -> set[tuple[str, str]]:
    """Method and path of everything that the API describes."""
    paths: dict[str, dict[str, Any]] = flywheel.api.openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


@contextmanager
def something_happens(url: str) -> Iterator[None]:
    """Runs are started meanwhile, for those who watch for changes."""
    over = threading.Event()

    def start() -> None:
        with Client(url) as client:
            while not over.wait(0.05):
                client.runs.start("tool_router", "support-app")

    thread = threading.Thread(target=start)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_every_route_has_a_method_in_both_clients(flywheel: Flywheel) -> None:
    assert routes_of(flywheel) - ROUTES == set(), "give it a method in flywheel.client"
    assert ROUTES - routes_of(flywheel) == set(), "a method of flywheel.client calls what is not there"
    for client in (Client("http://127.0.0.1:9"), AsyncClient("http://127.0.0.1:9")):
        nouns = [noun for noun in vars(client).values() if hasattr(noun, "_session")]
        methods = [getattr(type(noun), name) for noun in nouns for name in dir(type(noun))]
        reached = {(m.method, m.path.replace(":path}", "}")) for m in methods if isinstance(m, Call | Stream)}
        assert reached == ROUTES


def test_every_route_has_a_command(flywheel: Flywheel) -> None:
    assert routes_of(flywheel) - COMMANDS.keys() == set(), "give it a command, and name it here"
    assert COMMANDS.keys() - routes_of(flywheel) == set()


@pytest.mark.parametrize("route", sorted(COMMANDS), ids=" ".join)
def test_the_command_calls_its_route(
    route: tuple[str, str], heard: Heard, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records.jsonl").write_bytes(log_line(tool_record(1)))
    heard.routes.clear()
    with something_happens(url) if route == ("GET", "/api/events") else nullcontext():
        done = CliRunner().invoke(app, [*COMMANDS[route], "--url", url])
    assert done.exit_code in (0, 1), done.output
    assert route in heard.routes, (done.output, done.exception)
