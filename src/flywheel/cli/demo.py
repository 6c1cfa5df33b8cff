"""`flywheel demo`: one turn of the wheel on the demo's traffic, with the result on the screen.

The server runs in this process, as `flywheel serve` would run it; the demo then does what a user does: import
the teacher's log, post a job per workload to the API, watch, read the result.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel import log
from flywheel.app import ROLES, Flywheel
from flywheel.cli import report
from flywheel.cli.console import duration, err, out
from flywheel.cli.importing import import_files
from flywheel.cli.runs import follow_run
from flywheel.cli.serve import listen, lock, run
from flywheel.client import Client
from flywheel.config import Settings, load_settings
from flywheel.errors import UserError
from flywheel.synthesis import support


def demo(
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the finished jobs to this file, as the API shows them."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of everything that is kept.")] = Path(".demo"),
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file.", show_default="the built-in one")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65533, help="Port of the API; 0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the demo's traffic.")] = 7,
) -> None:
    """One turn of the wheel: services, two workloads of teacher traffic, two runs, the result."""
    settings = load_settings(config)
    if json_file and not json_file.absolute().parent.is_dir():
        raise UserError(f"--json {json_file}: there is no folder {json_file.parent}")
    with lock(data), listen("127.0.0.1", port) as sockets:
        log.configure(settings.logging_config.level, file=data / "serve.log")
        jobs = asyncio.run(_demo(settings, data, sockets, seed))
    if json_file:
        json_file.write_text(json.dumps({"jobs": jobs}, indent=2, ensure_ascii=False), "utf-8")
    if not jobs or any(job["status"] != "completed" for job in jobs):
        raise typer.Exit(1)


async def _demo(
    settings: Settings, data: Path, sockets: list[socket.socket], seed: int
) -> list[dict[str, Any]]:
    """The server and its user, side by side; the one that ends first ends the other."""
    stop = asyncio.Event()
    ready: asyncio.Future[Flywheel] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(run(settings, frozenset(ROLES), data, sockets, ready=ready, stop=stop))
    either: list[asyncio.Future[Any]] = [server, ready]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await server  # It did not come up, and raises why.
        return []
    user = asyncio.create_task(asyncio.to_thread(_turn, ready.result(), data, seed, stop))
    either = [server, user]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await server
    return await user


def _turn(flywheel: Flywheel, data: Path, seed: int, stop: asyncio.Event) -> list[dict[str, Any]]:
    """What a user does: import, start, watch, read. Ends early, with the runs so far, once `stop` is set."""
    began = time.monotonic()
    client = Client(flywheel.addresses.api)
    traffic = data / "teacher.jsonl"
    with traffic.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in support.generate(seed))
    assert flywheel.records is not None  # noqa: S101 - the demo has every role
    imported = import_files([traffic], flywheel.records)
    out.print(f"\n{traffic}: {imported.new} records imported, {imported.duplicates} were there", markup=False)
    started = [client.runs.start(workload_id, support.CLIENT) for workload_id in support.WORKLOADS]
    jobs: list[dict[str, Any]] = []
    for each in started:
        job = follow_run(client, each.id, stop=stop.is_set).document
        jobs.append(job)
        out.print()
        for part in report.ended(job):
            out.print(part)
    out.print(
        f"\n{len(jobs)} runs in {duration(time.monotonic() - began)}. Everything lies in {data}:",
        markup=False,
    )
    out.print(
        f"  {traffic.name} the teacher's log, runs.sqlite the runs, datastore/ data sets and adapters,",
        markup=False,
    )
    out.print("  evaluator/ every answer with its scores, serve.log what happened", markup=False)
    out.print(
        f"Next: flywheel serve --data {data}, then flywheel records import YOUR-LOG.jsonl --data {data}",
        markup=False,
    )
    if any(job["status"] != "completed" for job in jobs):
        err.print(f"A run did not complete; see {data / 'serve.log'}", markup=False)
    return jobs
