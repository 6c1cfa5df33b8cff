"""`flywheel runs export` and `send`, `flywheel datasets export`: what is measured, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, RunId, Url, connect, find
from flywheel.cli.console import out, print_json
from flywheel.cli.datasets import Name, name_of
from flywheel.client import Client
from flywheel.client.files import Format, Target
from flywheel.errors import UserError
from flywheel.orchestrator.exporting import artefacts

Form = Annotated[
    Format | None,
    typer.Option("--format", help="Format of the file.", show_default="by its ending, else csv"),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="File to write; - for stdout. One that is there is replaced.")
]


def export_run(
    run: RunId = None,
    what: Annotated[
        Literal["scores", "samples"],
        typer.Option(help="A row for each score, or for each sample of each evaluation."),
    ] = "scores",
    form: Form = None,
    target: Out = Path("-"),
    url: Url = None,
    data: DataDir = HERE,
) -> None:
    """Write a run's scores or samples as a table: CSV, Parquet or JSON lines."""
    with connect(url, data) as client:
        client.runs.export(find(client, run), _target(target), what=what, format=form)


def export_dataset(
    name: Name,
    file: Annotated[
        str | None, typer.Option(help="Only this file of it, such as training/train_data.jsonl.")
    ] = None,
    form: Form = None,
    target: Out = Path("-"),
    url: Url = None,
    data: DataDir = HERE,
) -> None:
    """Write a data set's rows as a table: CSV, Parquet or JSON lines."""
    with connect(url, data) as client:
        client.datasets.export(name_of(name), _target(target), file=file, format=form)


def send_run(
    run: RunId = None,
    to: Annotated[
        Literal["mlflow", "wandb"],
        typer.Option(
            help="The server's MLflow, or a folder of offline runs that Weights & Biases' own sync uploads."
        ),
    ] = "mlflow",
    folder: Annotated[Path, typer.Option("--out", "-o", help="That folder.")] = Path("wandb-runs"),
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Log a finished run at a tracker; what was logged before is brought up to date."""
    with connect(url, data) as client:
        run_id = find(client, run)
        pages = _offline(client, run_id, folder) if to == "wandb" else client.runs.send(run_id, to).pages
    if as_json:
        print_json({"id": run_id, "to": to, "pages": pages})
        return
    for candidate, page in pages.items():
        out.print(f"{candidate}: {page}", markup=False)


def _offline(client: Client, run_id: str, folder: Path) -> dict[str, str]:
    """The run as offline runs of Weights & Biases, written here. Raises UserError and WandbFailed."""
    try:
        from flywheel.exports import wandb  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise UserError("--to wandb needs its client: pip install 'flywheel[wandb]'") from error
    job = client.runs.get(run_id).document
    if not job.get("decision"):
        raise UserError(f"run {run_id} has not come to a decision; it is {job['status']}")
    losses = [each.document for each in client.runs.losses(run_id)]
    found = wandb.written(job, losses, artefacts(job), folder)
    return {candidate: str(path) for candidate, path in found.items()}


def _target(out: Path) -> Target:
    return sys.stdout.buffer if str(out) == "-" else out
