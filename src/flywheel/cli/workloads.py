"""`flywheel workloads`: what has been recorded, as the server knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from flywheel.cli.client import HERE, AsJson, DataDir, Url, connect
from flywheel.cli.console import moment, out, percent, print_json, table
from flywheel.client.documents import Profile, Workload

app = typer.Typer(no_args_is_help=True, help="Workloads: what has been recorded, by client and task.")


@app.command("list")
def list_workloads(
    client_id: Annotated[str | None, typer.Option("--client", "-c", help="Only this client's.")] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this text in their name.")] = None,
    sort: Annotated[
        Literal["name", "count", "last"], typer.Option(help="By name, the largest or the latest first.")
    ] = "name",
    limit: Annotated[int | None, typer.Option(min=1, help="How many.", show_default="all")] = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List workloads with the number of their records, their last run and their best student."""
    with connect(url, data) as client:
        found = list(client.workloads.list(client_id=client_id, search=search, sort=sort, limit=limit))
    if as_json:
        print_json([each.document for each in found])
        return
    rows = [
        (w.client_id, w.workload_id, _last_run(w), _best(w), moment(w.last), f"{w.count:,}") for w in found
    ]
    out.print(
        table(["client", "workload", "last run", "best student", "last (UTC)", "records"], rows, right=5)
    )


@app.command()
def show(
    workload_id: Annotated[str, typer.Option("--workload", "-w", help="The workload.")],
    client_id: Annotated[str, typer.Option("--client", "-c", help="Whose workload it is.")],
    newest: Annotated[
        int | None, typer.Option(min=1, help="How many records to look at.", show_default="the server's")
    ] = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what a workload is made of: days, tools, the teacher's tokens, health, versions of the tools."""
    with connect(url, data) as client:
        found = client.workloads.profile(workload_id, client_id, limit=newest)
    if as_json:
        print_json(found.document)
        return
    for part in _profile(found):
        out.print(part)


def _last_run(workload: Workload) -> str:
    run = workload.last_run
    return f"{run['id'][-6:]} {run['status']}" if run else ""


def _best(workload: Workload) -> str:
    best = workload.best
    if not best or best.get("value") is None:
        return ""
    return f"{best['model_name']} {best['eval_type']}: {best['metric']} {percent(best['value'])}"


def _profile(found: Profile) -> Iterator[RenderableType]:
    yield Text(
        f"{found.client_id}/{found.workload_id}  {found.count:,} records,"
        f" {moment(found.first)} to {moment(found.last)}; looked at the newest {found.looked_at or 0:,}"
    )
    calls = [(each["name"], f"{each['count']:,}", percent(each["share"])) for each in found.tools]
    if found.no_call:
        calls.append(("(no call)", f"{found.no_call['count']:,}", percent(found.no_call["share"])))
    yield table(["the teacher calls", "records", "share"], calls)
    if found.teacher:
        yield Text(f"teacher    {_teacher(found.teacher)}")
    if found.health:
        yield Text(f"health     {_health(found.health)}")
    versions = [
        (tool["tool"], version["sha256"][:12], version["count"], _at(version["first"]), _at(version["last"]))
        for tool in found.tool_schemas
        for version in tool["versions"]
    ]
    if versions:
        yield table(["tool", "schema", "records", "first (UTC)", "last (UTC)"], versions, right=2)


def _teacher(told: dict[str, Any]) -> str:
    models = ", ".join(f"{name} {count:,}" for name, count in (told.get("models") or {}).items())
    text = (
        f"{models}; {told.get('prompt_tokens') or 0:,} tokens in, {told.get('completion_tokens') or 0:,} out"
    )
    cost = told.get("cost")
    return f"{text}; {cost['total']:.4g} {cost['currency']}" if cost else text


def _health(told: dict[str, Any]) -> str:
    invalid = ", ".join(f"{count:,} {reason}" for reason, count in (told.get("invalid") or {}).items())
    return (
        f"{told.get('valid', 0):,} valid in {told.get('conversations', 0):,} conversations,"
        f" {told.get('duplicates', 0):,} duplicates, {told.get('conflicts', 0):,} conflicts"
        + (f"; invalid: {invalid}" if invalid else "")
    )


def _at(when: Any) -> str:
    return moment(Workload(client_id="", workload_id="", count=0, first=when).first)
