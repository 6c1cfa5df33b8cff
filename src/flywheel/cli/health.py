"""`flywheel health`: how a running server is, as it says itself."""

from __future__ import annotations

from typing import Annotated

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Url, connect
from flywheel.cli.console import out, print_json, table
from flywheel.client import Client
from flywheel.errors import UserError


def health(
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Let the server look at everything, as flywheel doctor does.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Only whether the process answers.")] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only whether what it cannot do without answers.")
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print what Prometheus would read instead.")
    ] = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask a running server how it is; exit code 1 if a part does not answer."""
    if sum((thorough, live, ready, metrics)) > 1:
        raise UserError("give one of --thorough, --live, --ready and --metrics")
    with connect(url, data) as client:
        if metrics:
            typer.echo(client.health.metrics(), nl=False)
        elif live:
            _live(client, as_json)
        elif ready:
            _ready(client, as_json)
        else:
            _parts(client, thorough, as_json)


def _live(client: Client, as_json: bool) -> None:
    found = client.health.live()
    print_json(found) if as_json else out.print(f"{client.url} answers", markup=False)


def _ready(client: Client, as_json: bool) -> None:
    found = client.health.ready()
    if as_json:
        print_json(found.document)
    else:
        rows = [(each.check, "ok" if each.ok else "WRONG", each.seen) for each in found.checks]
        out.print(table(["check", "", "seen"], rows, right=9))
    if not found.ready:
        raise typer.Exit(1)


def _parts(client: Client, thorough: bool, as_json: bool) -> None:
    found = client.health.get(thorough=thorough)
    if as_json:
        print_json(found.document)
    else:
        rows = [(p.name, "ok" if p.ok else "DOWN", p.address or "", p.detail) for p in found.parts]
        out.print(table(["part", "", "address", ""], rows, right=9))
        for each in found.findings:
            word = "ok" if each.ok else "WRONG" if each.blocks else "ADVICE"
            out.print(f"{word:<7}{each.check}: {each.seen}", markup=False, soft_wrap=True)
    if any(not part.ok for part in found.parts) or any(each.wrong for each in found.findings):
        raise typer.Exit(1)
