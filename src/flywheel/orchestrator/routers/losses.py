"""`/api/jobs/{id}/losses`: how a run's trainings went."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.losses import in_full


def router(context: Context, jobs: Jobs) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["losses"])

    @api.get("/jobs/{job_id}/losses")
    def losses(job_id: str) -> dict[str, Any]:
        """The loss of each candidate's training by step, at most 500 points a curve; kept with the run."""
        return {"losses": in_full(jobs.load(job_id), context)}

    return api
