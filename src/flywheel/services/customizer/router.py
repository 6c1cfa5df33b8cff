"""NeMo's customization routes: parse, call, return."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

from flywheel.nemo.conventions import Deleted, ListQuery
from flywheel.nemo.customization import ConfigBody, JobBody, TargetBody
from flywheel.services.customizer.catalog import Catalog
from flywheel.services.customizer.service import CustomizerService

Answer = dict[str, Any]
Tail = Annotated[int, Query(ge=1, le=10_000)]
Change = Annotated[dict[str, Any], Body()]


def router(service: CustomizerService) -> APIRouter:
    """`/v1/customization/{configs,targets,jobs}` on `service`."""
    routes = APIRouter(tags=["customization"])
    _targets(routes, service.catalog)
    _configs(routes, service.catalog)
    _jobs(routes, service)
    return routes


def _targets(routes: APIRouter, catalog: Catalog) -> None:
    @routes.post("/v1/customization/targets")
    def create_target(body: TargetBody) -> Answer:
        return catalog.create_target(body)

    @routes.get("/v1/customization/targets")
    def list_targets(request: Request) -> Answer:
        return catalog.targets(ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/v1/customization/targets/{namespace}/{name:path}")
    def get_target(namespace: str, name: str) -> Answer:
        return catalog.target(namespace, name)

    @routes.patch("/v1/customization/targets/{namespace}/{name:path}")
    def change_target(namespace: str, name: str, change: Change) -> Answer:
        return catalog.change_target(namespace, name, change)

    @routes.delete("/v1/customization/targets/{namespace}/{name:path}")
    def delete_target(namespace: str, name: str) -> Deleted:
        return catalog.delete_target(namespace, name)


def _configs(routes: APIRouter, catalog: Catalog) -> None:
    @routes.post("/v1/customization/configs")
    def create_config(body: ConfigBody) -> Answer:
        return catalog.create_config(body)

    @routes.get("/v1/customization/configs")
    def list_configs(request: Request) -> Answer:
        return catalog.configs(ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/v1/customization/configs/{namespace}/{name:path}")
    def get_config(namespace: str, name: str) -> Answer:
        return catalog.config(namespace, name)

    @routes.patch("/v1/customization/configs/{namespace}/{name:path}")
    def change_config(namespace: str, name: str, change: Change) -> Answer:
        return catalog.change_config(namespace, name, change)

    @routes.delete("/v1/customization/configs/{namespace}/{name:path}")
    def delete_config(namespace: str, name: str) -> Deleted:
        return catalog.delete_config(namespace, name)


def _jobs(routes: APIRouter, service: CustomizerService) -> None:
    @routes.post("/v1/customization/jobs")
    def create_job(body: JobBody) -> Answer:
        return service.create_job(body)

    @routes.get("/v1/customization/jobs")
    def list_jobs(request: Request) -> Answer:
        return service.jobs(ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/v1/customization/jobs/{job_id}")
    def get_job(job_id: str) -> Answer:
        return service.job(job_id)

    @routes.get("/v1/customization/jobs/{job_id}/status")
    def job_status(job_id: str) -> Answer:
        return service.job_status(job_id)

    @routes.get("/v1/customization/jobs/{job_id}/container-logs")
    def container_logs(job_id: str, tail: Tail = 200) -> Answer:
        """`tail`, the number of lines, is ours."""
        return service.container_logs(job_id, tail)

    # NVIDIA's blueprint calls the second address, which its own server does not have.
    @routes.post("/v1/customization/jobs/{job_id}/cancel")
    @routes.post("/v1/customizations/{job_id}/cancel", include_in_schema=False)
    def cancel_job(job_id: str) -> Answer:
        return service.cancel_job(job_id)
