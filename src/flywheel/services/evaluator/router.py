"""NeMo's evaluation routes: parse, call, return."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import Response, StreamingResponse

from flywheel.nemo.conventions import Deleted, ListQuery
from flywheel.services.evaluator.lifecycle import JOBS, RESULTS
from flywheel.services.evaluator.service import CONFIGS, TARGETS, EvaluatorService
from flywheel.services.evaluator.wire import ConfigBody, JobBody, ResultBody, TargetBody

Answer = dict[str, Any]
Change = Annotated[dict[str, Any], Body()]


def router(service: EvaluatorService) -> APIRouter:
    """`/v1/evaluation` on `service`."""
    routes = APIRouter(prefix="/v1/evaluation", tags=["evaluation"])
    _entities(routes, service)
    _jobs(routes, service)
    _results(routes, service)

    @routes.post("/live")
    async def live(body: JobBody) -> Answer:
        return await service.live(body)

    return routes


def _entities(routes: APIRouter, service: EvaluatorService) -> None:
    @routes.post("/configs")
    def create_config(body: ConfigBody) -> Answer:
        return service.create_config(body)

    @routes.post("/targets")
    def create_target(body: TargetBody) -> Answer:
        return service.create_target(body)

    @routes.get("/configs")
    def list_configs(request: Request) -> Answer:
        return service.list(CONFIGS, ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/targets")
    def list_targets(request: Request) -> Answer:
        return service.list(TARGETS, ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/configs/{namespace}/{name:path}")
    def get_config(namespace: str, name: str) -> Answer:
        return service.get(CONFIGS, namespace, name)

    @routes.get("/targets/{namespace}/{name:path}")
    def get_target(namespace: str, name: str) -> Answer:
        return service.get(TARGETS, namespace, name)

    @routes.patch("/configs/{namespace}/{name:path}")
    def change_config(namespace: str, name: str, change: Change) -> Answer:
        return service.change(CONFIGS, namespace, name, change)

    @routes.patch("/targets/{namespace}/{name:path}")
    def change_target(namespace: str, name: str, change: Change) -> Answer:
        return service.change(TARGETS, namespace, name, change)

    @routes.delete("/configs/{namespace}/{name:path}")
    def delete_config(namespace: str, name: str) -> Deleted:
        return service.delete(CONFIGS, namespace, name)

    @routes.delete("/targets/{namespace}/{name:path}")
    def delete_target(namespace: str, name: str) -> Deleted:
        return service.delete(TARGETS, namespace, name)


def _jobs(routes: APIRouter, service: EvaluatorService) -> None:
    @routes.post("/jobs")
    def create_job(body: JobBody) -> Answer:
        return service.create_job(body)

    @routes.get("/jobs")
    def list_jobs(request: Request) -> Answer:
        return service.list(JOBS, ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/jobs/{job_id}")
    def get_job(job_id: str) -> Answer:
        return service.job(job_id)

    @routes.get("/jobs/{job_id}/status")
    def job_status(job_id: str) -> Answer:
        return service.job_status(job_id)

    @routes.get("/jobs/{job_id}/results")
    def job_results(job_id: str) -> Answer:
        return service.job_result(job_id)

    @routes.get("/jobs/{job_id}/download-results", response_class=Response)
    def download_results(job_id: str) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{job_id}.zip"'}
        return StreamingResponse(service.download(job_id), 200, headers, "application/zip")

    @routes.get("/jobs/{job_id}/samples", response_class=Response)
    def list_samples(job_id: str, request: Request) -> Response:
        """Ours: browse the samples. In ASCII, since answers may hold half a surrogate pair."""
        query = ListQuery.from_params(request.query_params)
        page = service.samples(job_id, query if "sort" in request.query_params else _by_index(query))
        return Response(json.dumps(page.model_dump()), media_type="application/json")

    @routes.get("/jobs/{job_id}/logs")
    def job_logs(job_id: str) -> Answer:
        return service.logs(job_id)

    @routes.post("/jobs/{job_id}/cancel")
    def cancel_job(job_id: str) -> Answer:
        return service.cancel_job(job_id)

    @routes.delete("/jobs/{job_id}", status_code=204)
    def delete_job(job_id: str) -> None:
        service.delete_job(job_id)


def _results(routes: APIRouter, service: EvaluatorService) -> None:
    @routes.post("/results")
    def create_result(body: ResultBody) -> Answer:
        return service.create_result(body)

    @routes.get("/results")
    def list_results(request: Request) -> Answer:
        return service.list(RESULTS, ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/results/{result_id}")
    def get_result(result_id: str) -> Answer:
        return service.result(result_id)

    @routes.patch("/results/{result_id}")
    def change_result(result_id: str, change: Change) -> Answer:
        return service.change_result(result_id, change)

    @routes.delete("/results/{result_id}")
    def delete_result(result_id: str) -> Deleted:
        return service.delete_result(result_id)


def _by_index(query: ListQuery) -> ListQuery:
    return ListQuery(query.page, query.page_size, "index", query.filter, query.search)
