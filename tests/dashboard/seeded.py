"""A server with something to see: runs of every kind, their tables and samples, behind a real socket.

`served(world)` is what tests of pages share. The world is the fake one of `run_world`, so that a run ends in
a second; its loop is real, and so is the API.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from dashboard.students import Students
from flywheel.config import DataSplitConfig, Pricing
from flywheel.dashboard import router as dashboard_router
from flywheel.models import Record, Workload
from flywheel.orchestrator.context import Limits
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.loop import Loop
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.watching import Watch
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.synthesis import support
from flywheel.web import bound_socket, make_app
from run_world import World, make_world, nim, settings

STUDENT, OTHER = "flywheel/student", "meta/llama-3.2-1b-instruct"
PRICES = Pricing(teacher_input_per_million=3.0, teacher_output_per_million=15.0, gpu_hour=2.5)
BEGAN = datetime(2026, 10, 2, 8, tzinfo=UTC)
"""When the seeded runs began, after the last record. They took minutes of a clock that nobody waited for."""
ROUTER, TRIAGE = (Workload(support.CLIENT, name) for name in support.WORKLOADS)


@dataclass
class Served:
    """A running server, and the ids of what it was given."""

    url: str
    world: World
    completed: str
    """A run of two candidates, measured on 80 records."""
    failed: str
    cancelled: str
    start: Callable[[], str]
    """Begins another run, as somebody else would; gives its id."""


def seeded(folder: Path) -> tuple[World, dict[str, str]]:
    """A world with completed runs of two workloads, a failed and a cancelled one."""
    nims = (nim(STUDENT), nim(OTHER))
    logs = EmbeddedLogStore(folder / "records.sqlite")
    logs.add(map(as_record, support.generate(conversations=300)))
    using = settings(*nims, parallelism=2).model_copy(
        update={
            "data_split_config": DataSplitConfig(eval_size=80, min_total_records=20),
            "pricing": PRICES,
        }
    )
    nemo = Students(strength={OTHER: -0.08}, polls=3)
    world = make_world(folder, logs, nemo, using, poll_s=20.0, poll_max_s=60.0)
    world.clock.now = BEGAN.timestamp()
    world.finish(world.start(TRIAGE))
    nemo.broken = {each.model_name: "CUDA out of memory" for each in nims}
    failed = world.finish(world.start(ROUTER)).id
    nemo.broken = {}
    cancelled = world.start(ROUTER)
    run = world.run(cancelled)
    world.context.runs.apply(run, run.but(cancel_requested=True))
    world.finish(cancelled)
    completed = world.finish(world.start(ROUTER)).id
    world = world.reborn(limits=Limits(poll_s=0.05, poll_max_s=0.1), clock=lambda: datetime.now(UTC))
    return world, {"completed": completed, "failed": failed, "cancelled": cancelled}


def as_record(line: dict[str, Any]) -> Record:
    """A line of the demo's log as a record."""
    workload = Workload(line["client_id"], line["workload_id"])
    return Record.of(workload, line["timestamp"], line["request"], line["response"], line.get("metadata"))


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """The seeded world as a server on a free port of this machine, whose loop runs."""
    world, ids = seeded(folder)
    loop, watch = Loop(world.context, workers=2), Watch(world.context.runs)
    app = make_app("Flywheel", "problem", [*routers(world.context, loop.wake, watch), dashboard_router()])
    with listening() as (serving, url), serving(app):
        loop.start()
        try:
            jobs = Jobs(world.context, loop.wake)
            body = {"client_id": ROUTER.client_id, "workload_id": ROUTER.workload_id}
            yield Served(url, world, **ids, start=lambda: jobs.start(body).id)
        finally:
            watch.close()
            loop.stop()
    world.close()


@contextmanager
def listening() -> Iterator[tuple[Callable[[FastAPI], AbstractContextManager[None]], str]]:
    """A free port of this machine, and what serves an app at it."""
    with bound_socket("127.0.0.1", 0) as listener:
        yield partial(_serving, listener), f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _serving(listener: socket.socket, app: FastAPI) -> Iterator[None]:
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(10)
