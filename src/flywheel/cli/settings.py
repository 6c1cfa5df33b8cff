"""`flywheel config`: what a running server is set to, as far as it concerns those who start runs."""

from __future__ import annotations

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Url, connect
from flywheel.cli.console import out, print_json, table

app = typer.Typer(no_args_is_help=True, help="What a running server is set to.")


@app.command()
def show(url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show the server's candidates, and the defaults that --set of flywheel runs start overrides."""
    with connect(url, data) as client:
        found = client.config.get()
    if as_json:
        print_json(found.document)
        return
    rows = [
        (
            each.get("model_name"),
            each.get("engine"),
            "yes" if each.get("customization_enabled") else "no",
            each.get("context_length"),
        )
        for each in found.candidates
    ]
    out.print(table(["candidate", "engine", "trained", "context"], rows, right=3))
    settings = [
        (f"{block}.{name}", value)
        for block, values in found.defaults.items()
        for name, value in values.items()
    ]
    out.print(table(["default", "value"], settings, right=9))
