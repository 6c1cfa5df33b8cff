"""`/api/datasets`: what runs were trained and measured on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from flywheel.orchestrator.context import Context
from flywheel.orchestrator.dataset_catalogue import Datasets
from flywheel.orchestrator.routers.files import passed_on
from flywheel.orchestrator.routers.paging import PAGE, Offset, PageLimit


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["datasets"])
    datasets = Datasets(context)

    @api.get("/datasets")
    def list_datasets(
        client_id: str | None = None,
        workload_id: str | None = None,
        search: str = "",
        limit: PageLimit = PAGE,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """The data sets of runs, newest first."""
        found, total = datasets.page(
            client_id=client_id, workload_id=workload_id, search=search, offset=offset, limit=limit
        )
        return {"datasets": found, "total": total, "offset": offset, "limit": limit}

    @api.get("/datasets/{name}")
    def dataset(name: str) -> dict[str, Any]:
        """One data set with its files and the report of its curation."""
        return datasets.one(name)

    @api.get("/datasets/{name}/files/{path:path}")
    def dataset_file(
        name: str, path: str, byte_range: Annotated[str | None, Header(alias="range")] = None
    ) -> StreamingResponse:
        """A file of a data set; `Range` gives a part of it."""
        return passed_on(datasets.open(name, path, byte_range), path)

    return api
