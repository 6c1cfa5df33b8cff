"""How the commands reach a running server, and the options that they share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel.client import Client
from flywheel.client.finding import DEFAULT_URL
from flywheel.errors import NotFound, UserError

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="FLYWHEEL_URL",
        help="Address of the server's API.",
        show_default=f"the server that works in --data, else {DEFAULT_URL}",
    ),
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="FLYWHEEL_DATA", help="Folder of everything that is kept.")
]
RunId = Annotated[
    str | None, typer.Argument(help="The run; its last characters are enough. Left out: the newest.")
]
Overrides = Annotated[
    str | None,
    typer.Option(
        "--set",
        help='Overrides as JSON: {"training_config": {"epochs": 3}}. Blocks as in the configuration.',
    ),
]
HERE = Path(".flywheel")
Folder = Annotated[Path, typer.Option("--to", help="Folder to write to.")]
OneFile = Annotated[
    str | None, typer.Option("--file", help="Only this file of it.", show_default="all of them")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def connect(url: str | None, data: Path) -> Client:
    """The server at `url`, else the one that recorded its address in `data`, else at the default address."""
    return Client(url, data=data)


def find(client: Client, run: str | None) -> str:
    """The full id of the run that ends in `run`; the newest for None."""
    if run is not None and len(run) == 24:
        return run
    listed = client.runs.list(limit=1 if run is None else 1000)
    found = [each.id for each in listed if run is None or each.id.endswith(run)]
    if not found:
        raise NotFound(
            "there is no run yet; start one with: flywheel runs start"
            if run is None
            else f"no run ends in {run!r}"
        )
    if len(found) > 1:
        raise UserError(f"{len(found)} runs end in {run!r}: {', '.join(found[:5])}; give more characters")
    return found[0]


def overrides_of(text: str | None) -> dict[str, Any]:
    """What --set says, block by block. Raises UserError."""
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
