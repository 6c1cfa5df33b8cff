"""`flywheel runs`: start, list, show, report, watch, cancel and delete turns of the wheel, over the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from flywheel.cli import looking, report
from flywheel.cli.client import HERE, AsJson, DataDir, Overrides, RunId, Url, connect, find, overrides_of
from flywheel.cli.console import (
    Html,
    duration,
    err,
    load_reports,
    moment,
    out,
    print_json,
    table,
    write_json,
    write_text,
)
from flywheel.client import Client, Run
from flywheel.errors import UserError

app = typer.Typer(
    no_args_is_help=True, help="Turns of the wheel: start, list, show, report, watch, cancel, delete."
)

PLAIN_EVERY_S = 10.0


@app.command()
def start(
    workload_id: Annotated[str, typer.Option("--workload", "-w", help="Workload to learn.")],
    client_id: Annotated[str, typer.Option("--client", "-c", help="Client whose traffic it is.")],
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--watch", help="Stay and show the progress.")] = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Start a run."""
    with connect(url, data) as client:
        run = client.runs.start(workload_id, client_id, **overrides_of(overrides))
        if follow:
            finish(follow_run(client, run.id), as_json=as_json)
        elif as_json:
            print_json(run.document)
        else:
            out.print(f"Started run {run.id}. Next: flywheel runs watch {run.id}")


@app.command("list")
def list_runs(
    workload_id: Annotated[str | None, typer.Option("--workload", "-w", help="Only this workload.")] = None,
    client_id: Annotated[str | None, typer.Option("--client", "-c", help="Only this client.")] = None,
    status: Annotated[str | None, typer.Option(help="Only runs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with connect(url, data) as client:
        runs = list(
            client.runs.list(workload_id=workload_id, client_id=client_id, status=status, limit=limit)
        )
    if as_json:
        print_json([run.document for run in runs])
        return
    rows = [
        (run.id, run.client_id, run.workload_id, run.status, moment(run.started_at), (run.error or "")[:60])
        for run in runs
    ]
    out.print(table(["run", "client", "workload", "status", "started (UTC)", "error"], rows, right=9))


@app.command()
def show(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show a run: scores with intervals, what was dropped, artefacts."""
    with connect(url, data) as client:
        job = client.runs.get(find(client, run)).document
    if as_json:
        print_json(job)
        return
    for part in report.ended(job) if job["status"] in report.ENDED else [report.live(job)]:
        out.print(part)


@app.command("report")
def write_report(
    run: RunId = None,
    html: Html = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the run's document to this file as JSON.")
    ] = None,
    url: Url = None,
    data: DataDir = HERE,
) -> None:
    """Write a run as one HTML file: verdict, scores, plots, data, configuration."""
    if html is None and json_file is None:
        raise UserError("say where the report goes: --html FILE, --json FILE, or both")
    reports = load_reports() if html else None
    with connect(url, data) as client:
        job = client.runs.get(find(client, run)).document
    write_json("--json", json_file, job)
    if reports and html:
        write_text("--html", html, reports.run_report(job))


@app.command()
def watch(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Follow a run to its end; exit code 1 if it does not complete."""
    with connect(url, data) as client:
        finish(follow_run(client, find(client, run)), as_json=as_json)


for each in (looking.compare, looking.samples, looking.losses, looking.logs, looking.events):
    app.command()(each)


@app.command()
def cancel(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Cancel a run; what it started is stopped and released."""
    with connect(url, data) as client:
        answer = client.runs.cancel(find(client, run))
    print_json(answer.document) if as_json else out.print(answer.message, markup=False)


@app.command()
def delete(
    run: Annotated[str, typer.Argument(help="The run; its last characters are enough.")],
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Delete a finished run with its data sets and adapters."""
    with connect(url, data) as client:
        answer = client.runs.delete(find(client, run))
    print_json(answer.document) if as_json else out.print(answer.message, markup=False)


class _Stopped(Exception):
    """Whoever follows the run has had enough."""


def follow_run(
    client: Client, run_id: str, *, timeout: float | None = None, stop: Callable[[], bool] = lambda: False
) -> Run:
    """Show the run until it ends or `stop` says so: live on a terminal, else a line now and then.

    Raises StillRunning after `timeout` seconds.
    """
    began = said = time.monotonic()
    latest: list[Run] = []

    def show(run: Run) -> None:
        nonlocal said
        latest[:] = [run]
        if stop():
            raise _Stopped
        if err.is_terminal:
            screen.update(report.live(run.document))
        elif time.monotonic() - said >= PLAIN_EVERY_S and not run.ended:
            said = time.monotonic()
            err.print(f"{duration(said - began)} {_line(run.document)}", markup=False)

    with Live(console=err, refresh_per_second=4, transient=True) as screen, suppress(_Stopped):
        client.runs.wait(run_id, timeout=timeout, progress=show, check=False)
    return latest[0]


def _line(job: dict[str, Any]) -> str:
    going = [
        f"{name} {work.get('progress') or 0:.0f} % {report.note(work)}".strip()
        for nim in job["nims"]
        for name, work in report.works(nim)
        if not work.get("finished_at")
    ]
    waiting = [
        f"deployment {nim['deployment_status']}"
        if nim["stage"] == "deploy" and nim.get("deployment_status")
        else nim["stage"]
        for nim in job["nims"]
    ]
    return f"{job['workload_id']}: {'; '.join(going or waiting) or job['status']}"


def finish(run: Run, *, as_json: bool) -> None:
    """Print the ended run; exit code 1 unless it completed."""
    if as_json:
        print_json(run.document)
    else:
        for part in report.ended(run.document):
            out.print(part)
    if run.status != "completed":
        raise typer.Exit(1)
