"""Into a run: `flywheel runs compare`, `samples`, `losses`, `logs` and `events`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, RunId, Url, connect, find
from flywheel.cli.console import out, print_json, printable, short, table
from flywheel.client import Client
from flywheel.client.documents import ComparedRecord, Losses
from flywheel.client.insights import EvalType

Candidate = Annotated[
    str | None, typer.Option("--candidate", help="Which candidate; left out: the first with that evaluation.")
]
_CURVE_ROWS = 20
"""Rows of a loss curve on the screen; --json has every point."""


def compare(
    run: RunId = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Show this record in full, with every answer.")
    ] = None,
    tool: Annotated[
        str | None, typer.Option(help='Only records whose teacher calls this tool; "no call" for none.')
    ] = None,
    failure: Annotated[
        str | None, typer.Option(help="Only records with this failure class, such as wrong_value.")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="Whose failure is meant, as a system: MODEL EVAL-TYPE.")
    ] = None,
    right: Annotated[
        list[str] | None, typer.Option(help="Only records that this system has right. Repeatable.")
    ] = None,
    wrong: Annotated[
        list[str] | None, typer.Option(help="Only records that this system has wrong. Repeatable.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only records with this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Compare what every system of a run answered on the same records."""
    filters: dict[str, Any] = {
        "tool": tool,
        "failure": failure,
        "of": of,
        "right": right or None,
        "wrong": wrong or None,
        "search": search,
    }
    with connect(url, data) as client:
        run_id = find(client, run)
        if key is not None:
            record = client.runs.compared_record(run_id, key, **filters)
            print_json(record.document) if as_json else _show_record(record)
            return
        rows = list(client.runs.compared(run_id, limit=limit, **filters))
        if as_json:
            print_json([row.document for row in rows])
            return
        systems = [system.name for system in client.runs.comparison(run_id).systems]
    cells = [
        (
            row.key,
            row.tool or "no call",
            short(row.question or ""),
            *(_mark(row.results.get(s)) for s in systems),
        )
        for row in rows
    ]
    out.print(table(["record", "tool", "asked", *systems], cells, right=9))


def samples(
    run: RunId = None,
    eval_type: Annotated[
        EvalType, typer.Option("--eval-type", "-e", help="Which evaluation.")
    ] = "customized-eval",
    candidate: Candidate = None,
    failure: Annotated[str | None, typer.Option(help="Only this failure class, such as wrong_value.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the samples of an evaluation: what was expected and what was answered."""
    with connect(url, data) as client:
        run_id = find(client, run)
        found = list(
            client.runs.samples(run_id, eval_type, candidate=candidate, failure=failure, limit=limit)
        )
    if as_json:
        print_json([each.document for each in found])
        return
    rows = [
        (
            (each.item or {}).get("name") or each.key,
            each.failure or "",
            short(_first((each.item or {}).get("response"))),
            short(_first(each.response)),
        )
        for each in found
    ]
    out.print(table(["sample", "failure", "expected", "answered"], rows, right=9))


def losses(run: RunId = None, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show the loss curves of a run's trainings."""
    with connect(url, data) as client:
        found = client.runs.losses(find(client, run))
    if as_json:
        print_json([each.document for each in found])
        return
    for each in found:
        out.print(table(["step", "training", "validation"], _curve(each), title=each.model_name, right=0))


def logs(
    run: RunId = None,
    source: Annotated[Literal["run", "customization", "deployment"], typer.Option(help="Whose log.")] = "run",
    candidate: Annotated[str | None, typer.Option("--candidate", help="Only this candidate's.")] = None,
    tail: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 200,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Print the log of a run, of its trainings, or of its deployments."""
    with connect(url, data) as client:
        found = client.runs.logs(find(client, run), source, candidate=candidate, tail=tail)
    if as_json:
        print_json([each.document for each in found])
        return
    for each in found:
        if each.candidate:
            out.print(f"== {each.source} of {each.candidate}", markup=False)
        for line in each.lines:
            out.print(printable(line), markup=False, soft_wrap=True)


def events(
    run: RunId = None,
    every: Annotated[
        bool, typer.Option("--all", help="Of all runs, without end: what is created, changed or deleted.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    url: Url = None,
    data: DataDir = HERE,
) -> None:
    """Print what changes of a run as it changes, as JSON lines, until it has ended."""
    with connect(url, data) as client:
        for each in islice(_changes(client, run, every), limit):
            typer.echo(json.dumps(each.document, ensure_ascii=True))


def _changes(client: Client, run: str | None, every: bool) -> Iterable[Any]:
    return client.runs.changes() if every else client.runs.watch(find(client, run))


def _curve(found: Losses) -> Sequence[tuple[str, ...]]:
    """At most so many rows, evenly, the last one always."""
    train, val = ({point.step: point.value for point in curve} for curve in (found.train, found.val))
    steps = sorted(train.keys() | val.keys())
    every = max(1, -(-len(steps) // _CURVE_ROWS))
    shown = [step for at, step in enumerate(reversed(steps)) if at % every == 0 or step in val][::-1]
    return [(str(step), _number(train.get(step)), _number(val.get(step))) for step in shown]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _mark(outcome: Any) -> str:
    if outcome is None or outcome.right is None:
        return "–"
    return "right" if outcome.right else outcome.failure or "wrong"


def _show_record(record: ComparedRecord) -> None:
    asked = [m for m in record.request.get("messages") or () if m.get("role") == "user"]
    out.print(f"asked    {_said(asked[-1]) if asked else ''}", markup=False, soft_wrap=True)
    out.print(f"teacher  {_said(record.reference)}", markup=False, soft_wrap=True)
    for name, system in record.systems.items():
        verdict = "right" if system.get("right") else system.get("failure") or "wrong"
        out.print(f"{name}: {verdict}", markup=False, style="bold")
        out.print(f"         {_first(system.get('response'))}", markup=False, soft_wrap=True)
        rows = [
            (each.get("tool"), each.get("argument"), _json(each.get("expected")), _json(each.get("got")))
            for each in system.get("differences") or ()
            if each.get("verdict") != "same"
        ]
        if rows:
            out.print(table(["tool", "argument", "expected", "got"], rows, right=9))


def _first(response: Any) -> str:
    """The first choice of a chat completion, or a message, in a line."""
    if isinstance(response, dict) and "choices" not in response:
        return _said(response)
    choices = response.get("choices") if isinstance(response, dict) else None
    return _said(choices[0].get("message")) if choices else ""


def _said(message: Any) -> str:
    """A message in a line: its calls, or its words."""
    if not isinstance(message, dict):
        return "" if message is None else str(message)
    calls = [(call.get("function") or {}) for call in message.get("tool_calls") or ()]
    if calls:
        return printable("; ".join(f"{call.get('name')}({_json(call.get('arguments'))})" for call in calls))
    return printable(str(message.get("content") or ""))


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
