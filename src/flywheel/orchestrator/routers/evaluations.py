"""`/api/evaluations`: what was measured, across runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.wire import evaluation_entry
from flywheel.stores.runs.document import EvalType
from flywheel.stores.runs.protocol import EvaluationQuery


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["evaluations"])

    @api.get("/evaluations")
    def evaluations(
        client_id: str | None = None,
        workload_id: str | None = None,
        model_name: str | None = None,
        eval_type: EvalType | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> dict[str, Any]:
        """Evaluations that have begun, the one that finished last first. `model_name` is a candidate's name,
        or `teacher`."""
        query = EvaluationQuery(
            client_id=client_id,
            workload_id=workload_id,
            model_name=model_name,
            eval_type=eval_type,
            offset=offset,
            limit=limit,
        )
        found = context.runs.evaluations(query)
        shown = [evaluation_entry(each) for each in found.evaluations]
        return {"evaluations": shown, "total": found.total, "offset": offset, "limit": limit}

    return api
