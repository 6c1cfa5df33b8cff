"""The orchestrator's routes, one file per noun: parse, call, return."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.routers import (
    compared,
    config,
    datasets,
    evaluations,
    events,
    exports,
    jobs,
    logs,
    losses,
    models,
    records,
    schedules,
    workloads,
)
from flywheel.orchestrator.watching import Watch


def routers(context: Context, wake: Callable[[str], object], watch: Watch | None = None) -> list[APIRouter]:
    """All of them; `wake` is called with the id of a run that is new or was changed, `watch` is closed by
    whoever gives it."""
    runs = Jobs(context, wake)
    return [
        jobs.router(context, wake),
        events.router(runs, watch or Watch(context.runs)),
        losses.router(context, runs),
        logs.router(context, runs),
        compared.router(context, runs),
        evaluations.router(context),
        workloads.router(context),
        models.router(context),
        datasets.router(context),
        records.router(context),
        config.router(context),
        exports.router(context, wake),
        schedules.router(context, wake),
    ]
