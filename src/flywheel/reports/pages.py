"""Documents in, pages out: what a page shows is chosen here and laid out in `templates/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from flywheel.reports import plots, words

_TOOL = "tool"
_ROLES = {"base-eval": "base", "teacher-eval": "ceiling"}


def run_report(job: Mapping[str, Any]) -> str:
    """The page of a run, from its document at `/api/jobs/{id}`; of any run, ended or not."""
    job = words.clean(job)
    decision = job.get("decision") or {}
    table = decision.get("table") or {}
    failures = _failures(job, table)
    marks = _marks(job, table)
    cost = decision.get("cost") or {}
    speeds = _speeds(job, cost, marks)
    slices = _slices(table)
    compared = _compared(decision, table)
    figures = {
        "intervals": plots.intervals(systems) if (systems := _systems(job, decision, table)) else None,
        "non_inferiority": plots.non_inferiority(table["non_inferiority"], table["ceiling_measured"])
        if table.get("non_inferiority")
        else None,
        "failures": plots.failures(failures) if any(failures.values()) else None,
        "tools": plots.tools(slices[_TOOL], compared) if slices.get(_TOOL) and compared else None,
        "latency": _latency(speeds, cost.get("per_requests")),
    }
    return _page(
        "run.html.jinja",
        job=job,
        decision=decision,
        table=table,
        failures={
            each: {name: failures[name].get(each, 0) for name in failures} for each in _classes(failures)
        },
        marks=marks,
        speeds=speeds,
        slices=slices,
        figures=figures,
        tools_shown=plots.TOOLS_SHOWN,
        evaluations=_evaluations(job),
        judged={
            name: each["judge_agreement"] for name, each in _evaluations(job) if each.get("judge_agreement")
        },
    )


def evaluation_report(document: Mapping[str, Any], answers: str, references: str) -> str:
    """The page of a file of answers, from the document of `flywheel evaluate`; the names are shown."""
    document = words.clean(document)
    names = {"answers": words.clean(answers), "references": words.clean(references)}
    systems = [
        {"name": name, "role": "candidate", "value": score["value"], "interval": interval}
        for name, score in document["scores"].items()
        if (interval := score["stats"].get("confidence_interval")) is not None
    ]
    failures = {"answers": document["failures"]}
    figures = {
        "intervals": plots.intervals(systems) if systems else None,
        "failures": plots.failures(failures) if document["failures"] else None,
    }
    outcomes = sorted({each for counts in document["tools"].values() for each in counts})
    return _page("evaluation.html.jinja", document=document, figures=figures, names=names, outcomes=outcomes)


def _page(template: str, **what: Any) -> str:
    engine = jinja2.Environment(
        loader=jinja2.PackageLoader("flywheel.reports"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: words.DASH if value is None else value,
    )
    engine.filters |= {
        "percent": words.percent,
        "points": words.points,
        "span": words.span,
        "number": words.number,
        "milliseconds": words.milliseconds,
        "probability": words.probability,
        "duration": words.duration,
        "moment": words.moment,
        "epoch": words.epoch,
        "value": words.value,
        "flat": words.flat,
    }
    return engine.get_template(template).render(**what)


def _evaluations(job: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every evaluation with its system's name, the teacher's last."""
    found = [
        (f"{nim['model_name']} {each['eval_type']}", each)
        for nim in job.get("nims") or ()
        for each in nim.get("evaluations") or ()
    ]
    return found + ([("teacher", job["teacher"])] if job.get("teacher") else [])


def _systems(
    job: Mapping[str, Any], decision: Mapping[str, Any], table: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """What is plotted: the table's systems, else the deciding score as the evaluator gave it."""
    if table.get("systems"):
        return list(table["systems"])
    scored = [
        (name, each["eval_type"], (each.get("score_details") or {}).get(decision.get("metric")) or {})
        for name, each in _evaluations(job)
    ]
    return [
        {"name": name, "role": _ROLES.get(kind, "candidate"), "value": score["value"], "interval": interval}
        for name, kind, score in scored
        if (interval := score.get("confidence_interval")) and 0 <= interval["low"] <= interval["high"] <= 1
    ]


def _failures(job: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
    """Wrong answers by system and class: of the table, else as the evaluator counted them."""
    if table.get("systems"):
        return {system["name"]: system["failures"] for system in table["systems"]}
    return {name: each.get("failures") or {} for name, each in _evaluations(job) if each.get("scores")}


def _classes(failures: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Failure classes, the most frequent first."""
    names = {each for counts in failures.values() for each in counts}
    return sorted(names, key=lambda each: (-sum(c.get(each, 0) for c in failures.values()), each))


def _marks(job: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, str]:
    """A letter for each system, which stands for its name where names would not fit."""
    names = [system["name"] for system in table.get("systems") or ()]
    names += [name for name, _ in _evaluations(job) if name not in names]
    return {
        name: chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
        for number, name in enumerate(names)
    }


def _speeds(
    job: Mapping[str, Any], cost: Mapping[str, Any], marks: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Mark, latency, tokens and cost by system, of those of which anything is known."""
    amounts = {"teacher": cost.get("teacher"), **(cost.get("systems") or {})}
    measured = dict(_evaluations(job))
    found = {
        name: {
            "mark": mark,
            "latency": measured.get(name, {}).get("latency_ms") or {},
            "usage": measured.get(name, {}).get("usage") or {},
            "cost": amounts.get(name),
        }
        for name, mark in marks.items()
    }
    return {name: each for name, each in found.items() if each["latency"] or each["cost"] is not None}


def _latency(speeds: Mapping[str, Mapping[str, Any]], per_requests: int | None) -> Markup | None:
    timed = [
        plots.Speed(each["mark"], each["latency"]["p50"], each["latency"]["p95"], each["cost"])
        for each in speeds.values()
        if {"p50", "p95"} <= each["latency"].keys()
    ]
    return plots.latency(timed, per_requests) if timed else None


def _slices(table: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """By axis, tools first; within an axis the most records first, and the small ones last."""
    axes: dict[str, list[Mapping[str, Any]]] = {}
    for entry in table.get("slices") or ():
        axes.setdefault(entry["axis"], []).append(entry)
    if _TOOL in axes:
        axes = {_TOOL: axes.pop(_TOOL), **axes}
        axes[_TOOL].sort(key=lambda entry: (entry["small"], -entry["records"], entry["label"]))
    return axes


def _compared(decision: Mapping[str, Any], table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The chosen system, its base and the ceiling: what is plotted by tool."""
    chosen = f"{decision.get('model_name')} {decision.get('eval_type')}"
    base = f"{decision.get('model_name')} base-eval"
    systems = table.get("systems") or ()
    return [
        *(each for each in systems if each["name"] == chosen),
        *(each for each in systems if each["name"] == base != chosen),
        *(each for each in systems if each["role"] == "ceiling"),
    ]
