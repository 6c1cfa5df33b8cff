"""`flywheel schedules`: runs that begin by themselves, over the API."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Overrides, Url, connect, overrides_of
from flywheel.cli.console import out, print_json, table
from flywheel.client import Client
from flywheel.errors import NotFound, UserError

app = typer.Typer(
    no_args_is_help=True,
    help="Runs that begin by themselves: at times, with new records, on drift, changed tools or candidates.",
)


class DriftOf(StrEnum):
    """What may drift."""

    TOOLS = "tools"
    ARGUMENTS = "arguments"


ScheduleId = Annotated[str, typer.Argument(help="The schedule; its last characters are enough.")]
Workload = Annotated[str | None, typer.Option("--workload", "-w", help="Workload to learn.")]
ClientId = Annotated[str | None, typer.Option("--client", "-c", help="Client whose traffic it is.")]
Name = Annotated[str | None, typer.Option(help="Name for people.", show_default="the workload's")]
Cron = Annotated[
    list[str] | None,
    typer.Option(help="Times: minute hour day month weekday, such as '0 3 * * 1-5'. May be given again."),
]
Timezone = Annotated[str, typer.Option(help="Time zone of --cron, such as Europe/Berlin.")]
Records = Annotated[int | None, typer.Option(min=1, help="So many new records since the last data set.")]
Of = Annotated[
    list[DriftOf] | None,
    typer.Option("--drift", help="Drift of the tool mix, or of argument values. May be given again."),
]
Threshold = Annotated[
    float | None, typer.Option(help="Distance from which --drift counts, 0 to 1.", show_default="0.1")
]
Schemas = Annotated[bool, typer.Option("--schemas", help="Changed tool schemas.")]
Candidates = Annotated[bool, typer.Option("--candidates", help="New candidates in the configuration.")]
Debounce = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds between the beginnings of two runs.", show_default="900"),
]
Missed = Annotated[
    Literal["skip", "once"] | None,
    typer.Option(help="Times that were missed: left out, or made up for once.", show_default="skip"),
]
RunsPerWeek = Annotated[int | None, typer.Option(min=1, help="Runs of the workload in seven days.")]
GpuHours = Annotated[
    float | None, typer.Option("--gpu-hours-per-week", min=0, help="GPU hours of its runs in seven days.")
]


@app.command()
def create(
    workload_id: Annotated[str, typer.Option("--workload", "-w", help="Workload to learn.")],
    client_id: Annotated[str, typer.Option("--client", "-c", help="Client whose traffic it is.")],
    name: Name = None,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    records: Records = None,
    drift: Of = None,
    threshold: Threshold = None,
    schemas: Schemas = False,
    candidates: Candidates = False,
    debounce: Debounce = None,
    missed: Missed = None,
    runs_per_week: RunsPerWeek = None,
    gpu_hours: GpuHours = None,
    overrides: Overrides = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not start runs yet.")] = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a schedule; give at least one trigger."""
    triggers = _triggers(cron, timezone, records, drift, threshold, schemas=schemas, candidates=candidates)
    if not triggers:
        raise UserError("say when: --cron, --records, --drift, --schemas or --candidates")
    fields = _fields(name, debounce, missed, runs_per_week, gpu_hours, overrides)
    with connect(url, data) as client:
        made = client.schedules.create(workload_id, client_id, triggers, enabled=not disabled, **fields)
    if as_json:
        print_json(made.document)
    else:
        out.print(f"Made schedule {made.id}. Next: flywheel schedules explain {made.id}")


@app.command("list")
def list_schedules(
    workload_id: Workload = None,
    client_id: ClientId = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List schedules."""
    with connect(url, data) as client:
        listed = client.schedules.list(workload_id=workload_id, client_id=client_id)
        found = [each.document for each in listed]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["id"],
            each["name"],
            f"{each['client_id']}/{each['workload_id']}",
            "yes" if each["enabled"] else "no",
            ", ".join(_said(trigger) for trigger in each["triggers"]),
            each["next_at"] or "",
            _last(each),
        )
        for each in found
    ]
    columns = ["schedule", "name", "workload", "enabled", "triggers", "next (UTC)", "last decision"]
    out.print(table(columns, rows, right=9))


@app.command()
def show(schedule: ScheduleId, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Show a schedule in full."""
    with connect(url, data) as client:
        found = client.schedules.get(find(client, schedule)).document
    if as_json:
        print_json(found)
        return
    rows = [
        ("id", found["id"]),
        ("name", found["name"]),
        ("workload", f"{found['client_id']}/{found['workload_id']}"),
        ("enabled", "yes" if found["enabled"] else "no"),
        *(("trigger", _said(trigger)) for trigger in found["triggers"]),
        ("debounce", f"{found['debounce']:g} s"),
        ("missed", found["missed"]),
        ("budget", _budget(found["budget"])),
        ("overrides", json.dumps(found["overrides"]) if found["overrides"] else "none"),
        ("next", found["next_at"] or "when a trigger fires"),
        (
            "last run",
            f"{found['last_run']['id']} {found['last_run']['status'] or 'deleted'}"
            if found["last_run"]
            else "none",
        ),
        ("last decision", _last(found) or "none"),
    ]
    out.print(table(["", ""], rows, right=2))


@app.command()
def edit(
    schedule: ScheduleId,
    name: Name = None,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    records: Records = None,
    drift: Of = None,
    threshold: Threshold = None,
    schemas: Schemas = False,
    candidates: Candidates = False,
    debounce: Debounce = None,
    missed: Missed = None,
    runs_per_week: RunsPerWeek = None,
    gpu_hours: GpuHours = None,
    overrides: Overrides = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Change a schedule; triggers that are given replace all that it has."""
    triggers = _triggers(cron, timezone, records, drift, threshold, schemas=schemas, candidates=candidates)
    change: dict[str, Any] = {"triggers": triggers} if triggers else {}
    change |= _fields(name, debounce, missed, runs_per_week, gpu_hours, overrides)
    if not change:
        raise UserError("say what is to be different, such as --debounce 3600")
    _change(schedule, change, "Changed", url, data, as_json=as_json)


@app.command()
def enable(schedule: ScheduleId, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Let a schedule start runs; times that passed meanwhile do not count."""
    _change(schedule, {"enabled": True}, "Enabled", url, data, as_json=as_json)


@app.command()
def disable(schedule: ScheduleId, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Keep a schedule from starting runs."""
    _change(schedule, {"enabled": False}, "Disabled", url, data, as_json=as_json)


@app.command()
def delete(schedule: ScheduleId, url: Url = None, data: DataDir = HERE) -> None:
    """Delete a schedule with its history; its runs stay."""
    with connect(url, data) as client:
        schedule_id = find(client, schedule)
        client.schedules.delete(schedule_id)
    out.print(f"Deleted schedule {schedule_id}.")


@app.command()
def run(schedule: ScheduleId, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Start a schedule's run now, whatever triggers, debounce and budget say."""
    with connect(url, data) as client:
        made = client.schedules.run(find(client, schedule))
    if as_json:
        print_json(made.document)
    else:
        out.print(f"Started run {made.id}. Next: flywheel runs watch {made.id}")


@app.command()
def explain(schedule: ScheduleId, url: Url = None, data: DataDir = HERE, as_json: AsJson = False) -> None:
    """Say why a schedule would or would not start a run now."""
    with connect(url, data) as client:
        found = client.schedules.explain(find(client, schedule)).document
    if as_json:
        print_json(found)
        return
    out.print("It would start a run now." if found["would_run"] else "It would not start a run now.")
    rows = [
        (each["trigger"], "fires" if each["fires"] else "quiet", each["says"]) for each in found["reasons"]
    ]
    rows += [("held", each["what"], each["says"] + _until(each)) for each in found["holds"]]
    out.print(table(["trigger", "", "why"], rows, right=3))
    for drift in (found["drift"] or {}).values():
        shifts = [
            (
                each["what"],
                each["calls_before"],
                each["calls_now"],
                f"{each['distance']:.3f}",
                f"{each['noise']:.3f}",
                f"{each['excess']:.3f}",
                f"{each['p_value']:.2g}",
            )
            for each in drift["shifts"][:10]
        ]
        columns = [f"drift of {drift['of']}", "before", "now", "distance", "noise", "beyond noise", "p"]
        out.print(table(columns, shifts))


@app.command()
def history(
    schedule: ScheduleId,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what a schedule decided and why, newest first."""
    with connect(url, data) as client:
        found = [each.document for each in client.schedules.history(find(client, schedule), limit=limit)]
    if as_json:
        print_json(found)
        return
    rows = [
        (each["at"], each["decision"], each["trigger"] or "", each["run_id"] or "", each["says"])
        for each in found
    ]
    out.print(table(["at (UTC)", "decision", "trigger", "run", "why"], rows, right=9))


def find(client: Client, schedule: str) -> str:
    """The full id of the schedule that ends in `schedule`."""
    if len(schedule) == 24:
        return schedule
    found = [each.id for each in client.schedules.list() if each.id.endswith(schedule)]
    if not found:
        raise NotFound(f"no schedule ends in {schedule!r}")
    if len(found) > 1:
        raise UserError(f"{len(found)} schedules end in {schedule!r}: {', '.join(found[:5])}; give more")
    return found[0]


def _change(
    schedule: str, change: dict[str, Any], did: str, url: str | None, data: Path, *, as_json: bool
) -> None:
    with connect(url, data) as client:
        found = client.schedules.change(find(client, schedule), **change)
    print_json(found.document) if as_json else out.print(f"{did} schedule {found.id}.")


def _triggers(
    cron: list[str] | None,
    timezone: str,
    records: int | None,
    drift: list[DriftOf] | None,
    threshold: float | None,
    *,
    schemas: bool,
    candidates: bool,
) -> list[dict[str, Any]]:
    if threshold is not None and not drift:
        raise UserError("--threshold belongs to --drift tools or --drift arguments")
    triggers: list[dict[str, Any]] = [
        {"type": "cron", "cron": each, "timezone": timezone} for each in cron or ()
    ]
    triggers += [{"type": "records", "every": records}] if records is not None else []
    limit = {} if threshold is None else {"threshold": threshold}
    triggers += [{"type": "drift", "of": of.value, **limit} for of in drift or ()]
    triggers += [{"type": "schemas"}] if schemas else []
    triggers += [{"type": "candidates"}] if candidates else []
    return triggers


def _fields(
    name: str | None,
    debounce: float | None,
    missed: str | None,
    runs_per_week: int | None,
    gpu_hours: float | None,
    overrides: str | None,
) -> dict[str, Any]:
    budget = {"runs_per_week": runs_per_week, "gpu_hours_per_week": gpu_hours}
    budget = {key: value for key, value in budget.items() if value is not None}
    fields: dict[str, Any] = {"name": name, "debounce": debounce, "missed": missed, "budget": budget or None}
    if overrides is not None:
        fields["overrides"] = overrides_of(overrides)
    return {key: value for key, value in fields.items() if value is not None}


def _said(trigger: dict[str, Any]) -> str:
    match trigger["type"]:
        case "cron":
            return f"{trigger['cron']} {trigger['timezone']}"
        case "records":
            return f"every {trigger['every']} records"
        case "drift":
            limit = f" beyond {trigger['threshold']:g}" if trigger["threshold"] is not None else ""
            return f"drift of {trigger['of']}{limit}"
        case "schemas":
            return "changed tool schemas"
    return "new candidates"


def _budget(budget: dict[str, Any]) -> str:
    parts = []
    if budget["runs_per_week"] is not None:
        parts.append(f"{budget['runs_per_week']} runs a week")
    if budget["gpu_hours_per_week"] is not None:
        parts.append(f"{budget['gpu_hours_per_week']:g} GPU hours a week")
    return ", ".join(parts) or "none"


def _last(schedule: dict[str, Any]) -> str:
    last = schedule["last_decision"]
    return f"{last['at']} {last['decision']}: {last['says']}" if last else ""


def _until(hold: dict[str, Any]) -> str:
    return f" (until {hold['until']})" if hold["until"] else ""
