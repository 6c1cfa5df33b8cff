"""`flywheel models`: base models and adapters, where they come from, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Folder, OneFile, Url, connect
from flywheel.cli.console import amount, moment, out, print_json, print_paths, table
from flywheel.client import ModelEntry

app = typer.Typer(no_args_is_help=True, help="Models: candidates of the configuration, and trained adapters.")
Name = Annotated[str, typer.Argument(help="The model, as flywheel models list names it.")]


@app.command("list")
def list_models(
    kind: Annotated[Literal["base", "adapter"] | None, typer.Option(help="Only this kind.")] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this text in their name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List models: base models first, then adapters, newest first."""
    with connect(url, data) as client:
        found = list(client.models.list(kind=kind, search=search, limit=limit))
    if as_json:
        print_json([each.document for each in found])
        return
    rows = [
        (each.name, each.kind, each.base_model or "", "yes" if each.served else "no", moment(each.created_at))
        for each in found
    ]
    out.print(table(["model", "kind", "base model", "served", "made (UTC)"], rows, right=9))


@app.command()
def show(name: Name, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show a model: its lineage, where it is served, its files."""
    with connect(url, data) as client:
        found = client.models.get(name)
    if as_json:
        print_json(found.document)
        return
    facts = [
        ("model", found.name),
        ("kind", found.kind),
        ("base model", found.base_model),
        ("made (UTC)", moment(found.created_at)),
        ("sha256", found.sha256),
        ("size", amount(found.size_bytes)),
        ("served", ", ".join(f"{d['name']} {d['status']}" for d in found.deployments) or "no"),
        *_lineage(found),
    ]
    out.print(table(["", ""], [fact for fact in facts if fact[1]], right=9))
    if found.files:
        out.print(table(["file", "size"], [(file.path, amount(file.size_bytes)) for file in found.files]))


@app.command()
def download(
    name: Name,
    folder: Folder = Path(),
    path: OneFile = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Download an adapter's files."""
    with connect(url, data) as client:
        made = client.models.download(name, folder, path=path)
    print_paths(made, as_json=as_json)


def _lineage(model: ModelEntry) -> list[tuple[str, str]]:
    lineage = model.lineage or {}
    dataset, records = lineage.get("dataset") or {}, lineage.get("records") or {}
    return [
        ("run", str(lineage.get("run_id") or "")),
        (
            "workload",
            f"{lineage['client_id']}/{lineage['workload_id']}" if lineage.get("workload_id") else "",
        ),
        ("data set", str(dataset.get("name") or "")),
        ("records", f"{records['count']:,}" if records.get("count") is not None else ""),
    ]
