"""`client.evaluations`: what was measured, across runs."""

from __future__ import annotations

from typing import Any

from flywheel.client.documents import Model, Moment
from flywheel.client.insights import EvalType
from flywheel.client.paging import listed
from flywheel.client.routes import Resource, Route, S, stream
from flywheel.client.steps import Every, Steps


class MeasuredScore(Model):
    value: float
    n: int | None = None
    low: float | None = None
    high: float | None = None


class MeasuredEvaluation(Model):
    """One evaluation of one run."""

    run_id: str
    client_id: str
    workload_id: str
    model_name: str
    eval_type: str
    model: str | None = None
    """The model that was asked: the base model, or the adapter."""
    status: str | None = None
    finished_at: Moment | None = None
    dataset: dict[str, Any] | None = None
    scores: dict[str, MeasuredScore] = {}
    latency_ms: dict[str, Any] | None = None
    cost_per_1000: float | None = None


class Evaluations(Resource[S]):
    """Evaluations of all runs, to compare over time."""

    @stream("GET", "/api/evaluations")
    def list(
        self,
        to: Route,
        /,
        *,
        client_id: str | None = None,
        workload_id: str | None = None,
        model_name: str | None = None,
        eval_type: EvalType | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[MeasuredEvaluation]]:
        """Evaluations that have begun, the one that finished last first; `model_name` is a candidate's."""
        query = {
            "client_id": client_id,
            "workload_id": workload_id,
            "model_name": model_name,
            "eval_type": eval_type,
        }
        return listed(to, "evaluations", MeasuredEvaluation.read, limit=limit, offset=offset, query=query)
