"""`/api/jobs/{id}/compared`: the holdout's records with every system's answer, to be stepped through."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool

from flywheel.orchestrator.comparisons import Comparisons
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.onesample import sample
from flywheel.orchestrator.sidebyside import Filter
from flywheel.web import AsciiJson

Names = Annotated[list[str], Query()]


def _wanted(
    tool: str | None = None,
    failure: str | None = None,
    of: str | None = None,
    right: Names = [],  # noqa: B006 - FastAPI copies it
    wrong: Names = [],  # noqa: B006 - as above
    search: str | None = None,
) -> Filter:
    """`tool` is what is expected to be called, or `no call`; `failure` a class of failure, of the system `of`
    or of any; `right` and `wrong` name systems, and may come several times; `search` looks into key, question
    and reference.
    """
    return Filter(tool, failure, of, tuple(right), tuple(wrong), search)


def router(context: Context, jobs: Jobs) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["compared"])
    comparisons = Comparisons(context)

    @api.get("/jobs/{job_id}/compared")
    async def compared(
        job_id: str,
        wanted: Filter = Depends(_wanted),
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """Records with each system's score and failure; systems are named as in the decision's table."""
        run = await run_in_threadpool(jobs.load, job_id)
        table = await comparisons.of(run)
        return AsciiJson(await run_in_threadpool(table.page, wanted, offset, limit))

    @api.get("/jobs/{job_id}/compared/{key:path}")
    async def one(job_id: str, key: str, wanted: Filter = Depends(_wanted)) -> Response:
        """One record in full, and its neighbours among those that match: the request, the teacher's answer,
        and each system's with what differs, argument by argument.
        """
        run = await run_in_threadpool(jobs.load, job_id)
        table = await comparisons.of(run)
        found: dict[str, Any] = await run_in_threadpool(sample, table, key, wanted, run)
        return AsciiJson(found)

    return api
