"""`/api/models`: base models and adapters, where they come from and where they answer.

Names hold slashes, so a file of a model is asked for by parameters, under `/api/model-files`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.model_catalogue import Kind, Models
from flywheel.orchestrator.routers.files import passed_on
from flywheel.orchestrator.routers.paging import PAGE, Offset, PageLimit


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["models"])
    models = Models(context)

    @api.get("/models")
    def list_models(
        search: str = "", kind: Kind | None = None, limit: PageLimit = PAGE, offset: Offset = 0
    ) -> dict[str, Any]:
        """The candidates of the configuration, then the adapters of runs, newest first."""
        found, total = models.page(search=search, kind=kind, offset=offset, limit=limit)
        return {"models": found, "total": total, "offset": offset, "limit": limit}

    @api.get("/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        """One model with its files, its scores, and its lineage: run, data set, records."""
        return models.one(name)

    @api.get("/model-files")
    def model_file(
        name: str, path: str, byte_range: Annotated[str | None, Header(alias="range")] = None
    ) -> StreamingResponse:
        """A file of an adapter; `Range` gives a part of it."""
        return passed_on(models.open(name, path, byte_range), path)

    return api
