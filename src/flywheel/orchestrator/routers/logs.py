"""`/api/jobs/{id}/logs`: what was written while a run turned."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.logs import MOST_LINES, Source, logs_of
from flywheel.web import AsciiJson


def router(context: Context, jobs: Jobs) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["logs"])

    @api.get("/jobs/{job_id}/logs")
    def logs(
        job_id: str,
        source: Source | None = None,
        candidate: str | None = None,
        tail: Annotated[int, Query(ge=1, le=MOST_LINES)] = 200,
    ) -> Response:
        """The last `tail` lines of the run's own log, of its trainings and of its servers; no secrets."""
        found = logs_of(jobs.load(job_id), context, source=source, candidate=candidate, tail=tail)
        return AsciiJson({"logs": found})

    return api
