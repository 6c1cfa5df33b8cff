"""`flywheel runs`: start, list, show, report, watch, cancel and delete turns of the wheel, over the API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from flywheel.cli import report
from flywheel.cli.client import Api, AsJson, DataDir, Url
from flywheel.cli.console import (
    Html,
    duration,
    err,
    load_reports,
    out,
    print_json,
    table,
    write_json,
    write_text,
)
from flywheel.errors import NotFound, UserError

app = typer.Typer(
    no_args_is_help=True, help="Turns of the wheel: start, list, show, report, watch, cancel, delete."
)

HERE = Path(".flywheel")
POLL_S = 0.5
PLAIN_EVERY_S = 10.0
RunId = Annotated[
    str | None, typer.Argument(help="The run; its last characters are enough. Left out: the newest.")
]


@app.command()
def start(
    workload_id: Annotated[str, typer.Option("--workload", "-w", help="Workload to learn.")],
    client_id: Annotated[str, typer.Option("--client", "-c", help="Client whose traffic it is.")],
    overrides: Annotated[
        str | None,
        typer.Option(
            "--set",
            help='Overrides as JSON: {"training_config": {"epochs": 3}}. Blocks as in the configuration.',
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Stay and show the progress.")] = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Start a run."""
    api = Api.find(url, data)
    body = {"workload_id": workload_id, "client_id": client_id, **_overrides(overrides)}
    made = api.post("/api/jobs", body)
    if as_json and not follow:
        print_json(made)
    elif not follow:
        out.print(f"Started run {made['id']}. Next: flywheel runs watch {made['id']}")
    if follow:
        finish(api, follow_run(api, made["id"]), as_json=as_json)


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
    asked = {"workload_id": workload_id, "client_id": client_id, "status": status, "limit": limit}
    jobs = Api.find(url, data).get("/api/jobs", **asked)["jobs"]
    if as_json:
        print_json(jobs)
        return
    rows = [
        (
            job["id"],
            job["client_id"],
            job["workload_id"],
            job["status"],
            job["started_at"] or "",
            (job["error"] or "")[:60],
        )
        for job in jobs
    ]
    out.print(table(["run", "client", "workload", "status", "started (UTC)", "error"], rows, right=9))


@app.command()
def show(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show a run: scores with intervals, what was dropped, artefacts."""
    api = Api.find(url, data)
    job = api.get(f"/api/jobs/{find(api, run)}")
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
    api = Api.find(url, data)
    job = api.get(f"/api/jobs/{find(api, run)}")
    write_json("--json", json_file, job)
    if reports and html:
        write_text("--html", html, reports.run_report(job))


@app.command()
def watch(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Follow a run to its end; exit code 1 if it does not complete."""
    api = Api.find(url, data)
    finish(api, follow_run(api, find(api, run)), as_json=as_json)


@app.command()
def cancel(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Cancel a run; what it started is stopped and released."""
    api = Api.find(url, data)
    answer = api.post(f"/api/jobs/{find(api, run)}/cancel")
    print_json(answer) if as_json else out.print(answer["message"])


@app.command()
def delete(
    run: Annotated[str, typer.Argument(help="The run; its last characters are enough.")],
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Delete a finished run with its data sets and adapters."""
    api = Api.find(url, data)
    answer = api.delete(f"/api/jobs/{find(api, run)}")
    print_json(answer) if as_json else out.print(answer["message"])


def find(api: Api, run: str | None) -> str:
    """The full id of the run that ends in `run`; the newest for None."""
    if run is not None and len(run) == 24:
        return run
    jobs = api.get("/api/jobs", limit=1 if run is None else 1000)["jobs"]
    found = [job["id"] for job in jobs if run is None or job["id"].endswith(run)]
    if not found:
        raise NotFound(
            "there is no run yet; start one with: flywheel runs start"
            if run is None
            else f"no run ends in {run!r}"
        )
    if len(found) > 1:
        raise UserError(f"{len(found)} runs end in {run!r}: {', '.join(found[:5])}; give more characters")
    return str(found[0])


def follow_run(api: Api, run_id: str, *, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Show the run until it ends or `stop` says so: live on a terminal, else a line now and then."""
    began = said = time.monotonic()
    with Live(console=err, refresh_per_second=4, transient=True) as screen:
        while True:
            job: dict[str, Any] = api.get(f"/api/jobs/{run_id}")
            if job["status"] in report.ENDED or stop():
                return job
            if err.is_terminal:
                screen.update(report.live(job))
            elif time.monotonic() - said >= PLAIN_EVERY_S:
                said = time.monotonic()
                err.print(f"{duration(said - began)} {_line(job)}", markup=False)
            time.sleep(POLL_S)


def _line(job: dict[str, Any]) -> str:
    going = [
        f"{name} {work.get('progress') or 0:.0f} % {report.note(work)}".strip()
        for nim in job["nims"]
        for name, work in report.works(nim)
        if not work.get("finished_at")
    ]
    waiting = [
        f"deployment {nim['deployment_status']}" for nim in job["nims"] if nim.get("deployment_status")
    ]
    return f"{job['workload_id']}: {'; '.join(going or waiting) or job['status']}"


def finish(api: Api, job: dict[str, Any], *, as_json: bool) -> None:
    """Print the ended run; exit code 1 unless it completed."""
    if as_json:
        print_json(job)
    else:
        for part in report.ended(job):
            out.print(part)
    if job["status"] != "completed":
        raise typer.Exit(1)


def _overrides(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"--set: this is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(
            f'--set: give a JSON object of blocks such as {{"training_config": {{"epochs": 3}}}}, not {text}'
        )
    return value
