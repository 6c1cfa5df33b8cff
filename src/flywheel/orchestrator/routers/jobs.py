"""`/api/jobs` as NVIDIA's Data Flywheel API has it.

Paging, filters, overrides, idempotency keys and samples are additions; a client of theirs does not notice
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.wire import detail, summary
from flywheel.stores.runs.document import EvalType, RunStatus
from flywheel.stores.runs.protocol import RunQuery
from flywheel.web import AsciiJson

Limit = Annotated[int | None, Query(ge=1, le=1000)]
_PAGE = 20


def router(context: Context, wake: Callable[[str], object]) -> APIRouter:
    """The routes; `wake` is called with the id of a run that is new or was changed."""
    api = APIRouter(prefix="/api", tags=["jobs"])
    jobs = Jobs(context, wake)

    @api.post("/jobs")
    def start(
        body: Annotated[Any, Body()],
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> dict[str, Any]:
        """Start a run. A repeated Idempotency-Key gives the run that it started first."""
        run = jobs.start(body, idempotency_key)
        return {"id": run.id, "status": "queued", "message": "NIM workflow started"}

    @api.get("/jobs")
    def list_jobs(
        workload_id: str | None = None,
        client_id: str | None = None,
        status: RunStatus | None = None,
        limit: Limit = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        page: Annotated[int | None, Query(ge=1)] = None,
    ) -> dict[str, Any]:
        """Runs, newest first; all unless `limit` is given. `page` counts from 1, in steps of `limit`."""
        if page is not None:
            limit = limit or _PAGE
            offset = (page - 1) * limit
        query = RunQuery(
            workload_id=workload_id, client_id=client_id, status=status, offset=offset, limit=limit
        )
        found = context.runs.briefs(query)
        shown = [summary(run) for run in found.runs]
        return {"jobs": shown, "total": found.total, "offset": offset, "limit": limit}

    @api.get("/jobs/{job_id}")
    def job(job_id: str) -> dict[str, Any]:
        """Everything about one run."""
        return detail(jobs.load(job_id), context.services.urls, context.clock())

    @api.get("/jobs/{job_id}/samples")
    def samples(job_id: str, request: Request, eval_type: EvalType, candidate: str | None = None) -> Response:
        """The samples of an evaluation, as they are scored: question, answer, scores, failure class.

        `page`, `page_size`, `sort` and `filter[failure]=wrong_value` as in any list of NeMo's. In ASCII,
        since answers may hold half a surrogate pair.
        """
        query = {k: v for k, v in request.query_params.items() if k not in ("eval_type", "candidate")}
        found = jobs.samples(job_id, candidate, eval_type, query)
        return AsciiJson(found)

    @api.delete("/jobs/{job_id}")
    def delete(job_id: str) -> dict[str, Any]:
        """Delete a finished run with its data sets and adapters, in the background."""
        jobs.delete(job_id)
        message = "Job deletion started. Resources will be cleaned up in the background."
        return {"id": job_id, "message": message}

    @api.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str) -> dict[str, Any]:
        """Cancel a run: its remote jobs end, its deployments are released."""
        jobs.cancel(job_id)
        return {"id": job_id, "message": "Job cancellation initiated successfully."}

    return api
