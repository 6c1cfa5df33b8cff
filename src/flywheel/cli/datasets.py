"""`flywheel datasets`: what runs were trained and measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Folder, OneFile, Url, connect
from flywheel.cli.console import amount, moment, out, print_json, print_paths, table

app = typer.Typer(no_args_is_help=True, help="Data sets that runs were trained and measured on.")
Name = Annotated[
    str, typer.Argument(help="The data set, as flywheel datasets list or flywheel runs show names it.")
]


@app.command("list")
def list_datasets(
    workload_id: Annotated[str | None, typer.Option("--workload", "-w", help="Only this workload's.")] = None,
    client_id: Annotated[str | None, typer.Option("--client", "-c", help="Only this client's.")] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this text in their name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List data sets, newest first."""
    with connect(url, data) as client:
        found = list(
            client.datasets.list(client_id=client_id, workload_id=workload_id, search=search, limit=limit)
        )
    if as_json:
        print_json([each.document for each in found])
        return
    rows = [
        (each.name, each.kind, each.client_id, each.workload_id, moment(each.created_at), each.num_records)
        for each in found
    ]
    out.print(table(["data set", "kind", "client", "workload", "made (UTC)", "records"], rows, right=5))


@app.command()
def show(name: Name, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show a data set: whose it is, which run made it, its files."""
    with connect(url, data) as client:
        found = client.datasets.get(name_of(name))
    if as_json:
        print_json(found.document)
        return
    facts = [
        ("data set", found.name),
        ("kind", found.kind),
        ("workload", f"{found.client_id}/{found.workload_id}" if found.workload_id else ""),
        ("runs", ", ".join(found.runs)),
        ("made (UTC)", moment(found.created_at)),
        ("records", found.num_records),
        ("sha256", found.sha256),
        ("size", amount(found.size_bytes)),
    ]
    out.print(table(["", ""], [fact for fact in facts if fact[1]], right=9))
    files = [(file.path, file.rows, amount(file.size_bytes)) for file in found.files]
    out.print(table(["file", "rows", "size"], files))


@app.command()
def download(
    name: Name,
    folder: Folder = Path(),
    path: OneFile = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Download a data set's files as they are; export makes tables of them."""
    with connect(url, data) as client:
        made = client.datasets.download(name_of(name), folder, path=path)
    print_paths(made, as_json=as_json)


def name_of(name: str) -> str:
    """The bare name: the address hf://datasets/NAMESPACE/NAME is fine, too."""
    return name.rpartition("/")[2]
