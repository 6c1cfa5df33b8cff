"""The datastore's addresses. The entity store belongs to NeMo's host, the hub and `/v1/datastore` to another.

One process may serve both from one port, except that the model proxy's `GET /v1/models` is another thing
than the entity store's and needs another address.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import orjson
from anyio import from_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from flywheel.nemo.conventions import Deleted
from flywheel.nemo.datastore import DatastoreNamespace
from flywheel.services.datastore.entity_store import entity_router
from flywheel.services.datastore.errors import BadUpload, NamespaceNotFound
from flywheel.services.datastore.hub import hub_router
from flywheel.services.datastore.service import DatastoreService


def router(service: DatastoreService) -> APIRouter:
    """Everything, for one host that plays both roles."""
    routes = health_router(service)
    routes.include_router(entity_router(service.entities))
    routes.include_router(files_router(service))
    return routes


def files_router(service: DatastoreService) -> APIRouter:
    """The data store's routes, for its own host: `/v1/datastore/namespaces` and the hub."""
    routes = APIRouter()
    routes.include_router(_namespaces_router(service))
    routes.include_router(hub_router(service))
    return routes


def health_router(service: DatastoreService) -> APIRouter:
    """Alive is whoever answers; ready is who can read its state, too."""
    routes = APIRouter(tags=["health"])

    def live() -> dict[str, str]:
        return {"status": "healthy"}

    def ready() -> dict[str, str]:
        service.check()
        return {"status": "ready"}

    for path in ("/health", "/v1/health", "/v1/health/live"):
        routes.add_api_route(path, live, methods=["GET"])
    routes.add_api_route("/v1/health/ready", ready, methods=["GET"])
    return routes


def _namespaces_router(service: DatastoreService) -> APIRouter:
    repositories = service.repositories
    routes = APIRouter(prefix="/v1/datastore/namespaces", tags=["data store"])

    def create(request: Request) -> JSONResponse:
        namespace = _namespace_asked(request)
        created_at = repositories.create_namespace(namespace)
        return JSONResponse(_described(namespace, created_at), status_code=201)

    def listed() -> dict[str, Any]:
        found = [_described(*item) for item in repositories.namespaces().items()]
        return {"object": "list", "data": found}

    def get(namespace: str) -> dict[str, str]:
        created_at = repositories.namespaces().get(namespace)
        if created_at is None:
            raise NamespaceNotFound(namespace)
        return _described(namespace, created_at)

    def delete(namespace: str) -> Deleted:
        repositories.delete_namespace(namespace)
        return Deleted(id=namespace)

    for path in ("", "/"):
        routes.add_api_route(path, create, methods=["POST"], response_model=None)
        routes.add_api_route(path, listed, methods=["GET"], response_model=None)
    routes.add_api_route("/{namespace}", get, methods=["GET"], response_model=None)
    routes.add_api_route("/{namespace}", delete, methods=["DELETE"], response_model=None)
    return routes


def _described(namespace: str, created_at: str) -> dict[str, str]:
    described: dict[str, str] = DatastoreNamespace(
        namespace=namespace, created_at=created_at, updated_at=created_at
    ).model_dump()
    return described


def _namespace_asked(request: Request) -> str:
    """The new namespace's name, which some clients send as a form and others as JSON."""
    body = from_thread.run(request.body)
    try:
        fields = orjson.loads(body) if body.lstrip().startswith(b"{") else parse_qs(body.decode())
        value = fields["namespace"]
    except (ValueError, KeyError) as e:
        raise BadUpload("namespace: give its name, as a form field or as JSON") from e
    return str(value[0] if isinstance(value, list) else value)
