"""`/api/workloads`: what has been recorded, and what it is made of.

Names of workloads and clients may hold slashes, so they are query parameters.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from flywheel.models import Workload
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.routers.paging import Limit, Offset
from flywheel.orchestrator.workloads import Sort, Workloads

LOOKED_AT = 5_000
"""Records that a profile is made from."""
MOST_LOOKED_AT = 50_000


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["workloads"])
    workloads = Workloads(context)

    @api.get("/workloads")
    def list_workloads(
        client_id: str | None = None,
        search: str = "",
        sort: Sort = "name",
        limit: Limit = None,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """What has been recorded, by client and workload, with the last run and the best student.

        Times of records are seconds since the epoch. All unless `limit` is given; `sort` by count or last has
        the largest, or the latest, first.
        """
        found, total = workloads.page(
            client_id=client_id, search=search, sort=sort, offset=offset, limit=limit
        )
        return {"workloads": found, "total": total, "offset": offset, "limit": limit}

    @api.get("/workloads/profile")
    def profile(
        client_id: str,
        workload_id: str,
        limit: Annotated[int, Query(ge=1, le=MOST_LOOKED_AT)] = LOOKED_AT,
    ) -> dict[str, Any]:
        """Records per day, and of the newest `limit` records the tools, tokens, health and tool schemas."""
        return workloads.profile(Workload(client_id, workload_id), limit)

    return api
