"""The `flywheel` command: one file per noun.

Commands talk HTTP to a running server like any other client; `serve` and `demo` build one. What a person
reads goes to stdout as a table, or as JSON with --json; progress and errors go to stderr. An error is one
message without a traceback, and exit code 1; a wrong use of the command is exit code 2.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from flywheel import __version__
from flywheel.cli import (
    datasets,
    demo,
    doctor,
    evaluate,
    evaluations,
    exports,
    gate,
    health,
    models,
    push,
    records,
    runs,
    schedules,
    serve,
    settings,
    worker,
    workloads,
)
from flywheel.cli.console import complain
from flywheel.errors import FlywheelError

app = typer.Typer(
    name="flywheel",
    help="Teacher traffic in, a trained and measured student out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("beat")(worker.beat)
app.add_typer(records.app, name="records")
app.add_typer(runs.app, name="runs")
app.add_typer(workloads.app, name="workloads")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(evaluations.app, name="evaluations")
app.add_typer(settings.app, name="config")
app.command("health")(health.health)
runs.app.command("export")(exports.export_run)
runs.app.command("send")(exports.send_run)
app.add_typer(schedules.app, name="schedules")
datasets.app.command("export")(exports.export_dataset)
app.add_typer(push.app, name="push")
app.command("evaluate")(evaluate.evaluate)
app.command("gate")(gate.gate)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flywheel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Teacher traffic in, a trained and measured student out."""


def main() -> None:
    """Entry point of the console script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # A log file shows what `serve` says as it is said.
    try:
        app()
    except FlywheelError as error:
        complain(str(error))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`flywheel records export | head`); that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
