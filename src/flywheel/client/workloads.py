"""`client.workloads`: what has been recorded."""

from __future__ import annotations

from flywheel.client.documents import Profile, Workload
from flywheel.client.paging import listed
from flywheel.client.routes import Resource, Route, S, call, stream
from flywheel.client.steps import Every, Steps

_PROFILE_S = 120.0
"""Seconds that the server may take to look at tens of thousands of records."""


class Workloads(Resource[S]):
    """The tasks whose traffic was recorded, by client and workload."""

    @call("GET", "/api/workloads/profile")
    def profile(
        self, to: Route, /, workload_id: str, client_id: str, *, limit: int | None = None
    ) -> Steps[Profile]:
        """Records per day; and of the newest `limit` records the tools, tokens, health and tool schemas."""
        query = {"workload_id": workload_id, "client_id": client_id, "limit": limit}
        return to.ask(Profile.read, query=query, timeout_s=_PROFILE_S)

    @stream("GET", "/api/workloads")
    def list(
        self,
        to: Route,
        /,
        *,
        client_id: str | None = None,
        search: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[Workload]]:
        """Every workload; `sort` by `name`, `count` or `last`."""
        query = {"client_id": client_id, "search": search, "sort": sort}
        return listed(to, "workloads", Workload.read, limit=limit, offset=offset, query=query)
