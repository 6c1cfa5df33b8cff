"""A run on the screen: a line per piece of work while it lives, tables of scores and of drops at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flywheel.cli.console import duration, percent, table

Job = Mapping[str, Any]
ENDED = ("completed", "failed", "cancelled")


def live(job: Job) -> RenderableType:
    """What the run does now: stage, candidate, step, percent, loss, time left."""
    head = Text.assemble(
        (f"{job['client_id']}/{job['workload_id']}", "bold"),
        f"  run {job['id']}  ",
        (job["status"], "green" if job["status"] == "completed" else "yellow"),
        f"  {job.get('step') or ''}",
    )
    grid = Table.grid(padding=(0, 2))
    for nim in job["nims"]:
        for name, work in works(nim):
            grid.add_row(
                Text("  " + nim["model_name"]),
                Text(name),
                ProgressBar(total=100, completed=work.get("progress") or 0, width=24),
                Text(f"{work.get('progress') or 0:5.1f} %"),
                Text(note(work)),
            )
        if not any(work.get("started_at") for _, work in works(nim)) and nim.get("deployment_status"):
            grid.add_row(Text("  " + nim["model_name"]), Text("deploy"), Text(nim["deployment_status"]))
    return Group(head, grid)


def works(nim: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The evaluations and customizations of a candidate that have begun, in the order of the wheel."""
    evaluations = {each["eval_type"]: each for each in nim["evaluations"]}
    named: list[tuple[str, Mapping[str, Any] | None]] = [
        ("base-eval", evaluations.get("base-eval")),
        ("icl-eval", evaluations.get("icl-eval")),
        *(("customize", each) for each in nim["customizations"]),
        ("customized-eval", evaluations.get("customized-eval")),
    ]
    return ((name, work) for name, work in named if work and work.get("started_at"))


def note(work: Mapping[str, Any]) -> str:
    """Loss, step and time left of a training; the error of what failed."""
    if work.get("error"):
        return str(work["error"]).splitlines()[0]
    parts = []
    if work.get("steps_completed"):
        parts.append(f"step {work['steps_completed']}")
    if work.get("epochs_completed") is not None and "epochs_completed" in work:
        parts.append(f"epoch {work['epochs_completed']}")
    if work.get("train_loss") is not None:
        parts.append(f"loss {work['train_loss']:.3f}")
    if work.get("val_loss") is not None:
        parts.append(f"validation {work['val_loss']:.3f}")
    if work.get("eta_seconds") and not work.get("finished_at"):
        parts.append(f"{duration(work['eta_seconds'])} left")
    if work.get("finished_at"):
        parts.append(f"done in {duration(work.get('runtime_seconds'))}")
    return ", ".join(parts)


def ended(job: Job) -> Iterator[RenderableType]:
    """The result of a run, table by table."""
    yield Text.assemble(
        (f"{job['client_id']}/{job['workload_id']}", "bold"),
        f"  run {job['id']}  ",
        (job["status"], "bold green" if job["status"] == "completed" else "bold red"),
    )
    if job.get("error"):
        yield Text(f"  {job['error']}", "red")
    rows = list(scores(job))
    if rows:
        yield table(
            ["candidate", "evaluation", "score", "value", "95 % interval", "n", "mean latency"], rows, right=3
        )
    for nim in job["nims"]:
        if nim.get("error"):
            yield Text(f"  {nim['model_name']}: {nim['error']}", "red")
    yield from curation(job)
    for nim in job["nims"]:
        for each in nim["customizations"]:
            if each.get("customized_model"):
                yield Text(f"adapter    {each['customized_model']}")
    for each in job["datasets"]:
        yield Text(f"data set   {each['nmp_uri']}")
    if decision := job.get("decision"):
        yield from decided(decision)


def decided(decision: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Paired differences, what a thousand requests cost, the verdicts, and the choice."""
    rows = [
        (
            each["system"],
            f"minus {each['other']}",
            f"{each['value'] * 100:+.1f} points",
            f"{each['interval']['low'] * 100:+.1f} to {each['interval']['high'] * 100:+.1f}",
            f"{each['better']} : {each['worse']}",
            f"{each['p_holm']:.3g}",
        )
        for each in (decision.get("table") or {}).get("differences", ())
    ]
    if rows:
        columns = [
            "system",
            "on the same records",
            "difference",
            "95 % interval",
            "better : worse",
            "p (Holm)",
        ]
        yield table(columns, rows, right=2)
    if cost := decision.get("cost"):
        amounts = {"teacher": cost["teacher"], **cost["systems"]}
        told = ", ".join(f"{name} {amount:.4g}" for name, amount in amounts.items() if amount is not None)
        yield Text(f"cost       of {cost['per_requests']:,} requests: {told}")
    for verdict in decision.get("verdicts", ()):
        yield Text(f"verdict    {verdict['candidate']}: {verdict['text']}")
    yield Text(f"decision   {decision['reason']}")


_SHOWN = (
    "function_name",
    "function_name_and_args_accuracy",
    "tool_calling_correctness",
    "call_decision_accuracy",
    "similarity",
    "embedding_similarity",
    "json_match",
    "rouge_l",
    "exact_match",
    "f1",
)
"""The others are in the JSON."""


def scores(job: Job) -> Iterator[tuple[str, ...]]:
    """One row per score: candidate, evaluation, name, value, interval, n, latency."""
    judge = (job.get("llm_judge") or {}).get("model_name")
    for nim in job["nims"]:
        for each in nim["evaluations"]:
            details = each.get("score_details") or {}
            latency = (each.get("latency_ms") or {}).get("mean")
            for name, value in each["scores"].items():
                if name not in _SHOWN:
                    continue
                detail = details.get(name) or {}
                interval = detail.get("confidence_interval") or {}
                label = (
                    f"{name} ({detail.get('scorer') or judge})"
                    if name == "tool_calling_correctness"
                    else name
                )
                low, high = interval.get("low"), interval.get("high")
                scaled = value <= 1
                yield (
                    nim["model_name"],
                    each["eval_type"],
                    label,
                    percent(value) if scaled else f"{value:.2f}",
                    "–"
                    if low is None or high is None
                    else f"{low * 100:.1f} – {high * 100:.1f} %"
                    if scaled
                    else f"{low:.2f} – {high:.2f}",
                    str(detail.get("n") or ""),
                    "–" if latency is None else f"{latency:.0f} ms",
                )
            if each.get("error"):
                yield (nim["model_name"], each["eval_type"], each["error"].splitlines()[0], "–", "–", "", "")


def curation(job: Job) -> Iterator[RenderableType]:
    """What the data set holds, and what was left out, by reason."""
    report = job.get("curation")
    if not report:
        return
    sizes = ", ".join(f"{part} {entry['records']}" for part, entry in report["parts"].items())
    out_of = f"{report['records_out']} of {report['records_in']} records used"
    yield Text(f"data       {sizes}; {out_of}; {report['conversations']['holdout']} conversations held out")
    rows = [(each["meaning"], each["count"], ", ".join(each["examples"][:2])) for each in report["dropped"]]
    if rows:
        yield table(["left out because", "records", "for example"], rows)
    if report["conflicts"]["requests"]:
        told = report["conflicts"]
        yield Text(f"conflicts  {told['requests']} requests had different answers; kept by {told['policy']}")
    for warning in report["warnings"]:
        yield Text(f"warning    {warning}", "yellow")
