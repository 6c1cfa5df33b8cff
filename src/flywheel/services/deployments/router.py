"""NeMo's deployment routes: parse, call, return."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

from flywheel.nemo.conventions import Deleted, ListQuery
from flywheel.nemo.deployment import DeploymentConfigBody, ModelDeploymentBody
from flywheel.services.deployments.service import DeploymentService

Answer = dict[str, Any]
Tail = Annotated[int, Query(ge=1, le=10_000)]
Change = Annotated[dict[str, Any], Body()]


def router(service: DeploymentService) -> APIRouter:
    """`/v1/deployment/{configs,model-deployments}` on `service`."""
    routes = APIRouter(prefix="/v1/deployment", tags=["deployment"])

    @routes.post("/model-deployments")
    def create_deployment(body: ModelDeploymentBody) -> Answer:
        return service.deploy(body)

    @routes.get("/model-deployments")
    def list_deployments(request: Request) -> Answer:
        return service.deployments(ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/model-deployments/{namespace}/{name}")
    def get_deployment(namespace: str, name: str) -> Answer:
        return service.deployment(namespace, name)

    @routes.get("/model-deployments/{namespace}/{name}/logs")
    def deployment_logs(namespace: str, name: str, tail: Tail = 200) -> Answer:
        """Ours: the last lines that its server wrote, also after it was taken down."""
        return service.logs(namespace, name, tail)

    @routes.patch("/model-deployments/{namespace}/{name}")
    def change_deployment(namespace: str, name: str, change: Change) -> Answer:
        return service.change(namespace, name, change)

    @routes.delete("/model-deployments/{namespace}/{name}")
    def delete_deployment(namespace: str, name: str) -> Deleted:
        return service.delete(namespace, name)

    @routes.post("/configs")
    def create_config(body: DeploymentConfigBody) -> Answer:
        return service.create_config(body)

    @routes.get("/configs")
    def list_configs(request: Request) -> Answer:
        return service.configs(ListQuery.from_params(request.query_params)).model_dump()

    @routes.get("/configs/{namespace}/{name}")
    def get_config(namespace: str, name: str) -> Answer:
        return service.config(namespace, name)

    @routes.patch("/configs/{namespace}/{name}")
    def change_config(namespace: str, name: str, change: Change) -> Answer:
        return service.change_config(namespace, name, change)

    @routes.delete("/configs/{namespace}/{name}")
    def delete_config(namespace: str, name: str) -> Deleted:
        return service.delete_config(namespace, name)

    return routes
