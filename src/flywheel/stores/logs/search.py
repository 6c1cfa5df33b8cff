"""Records by the names that people give: a workload's name may be used by many clients."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flywheel.models import Record, Workload
from flywheel.stores.logs.protocol import LogStore


def filters_of(store: LogStore, workload_id: str | None, client_id: str | None) -> list[dict[str, Any]]:
    """The filters of the store that stand for these names, None for any."""
    if workload_id is None:
        return [{"client_id": client_id}]
    if client_id is not None:
        return [{"workload": Workload(client_id, workload_id)}]
    named = (each.workload for each in store.workloads())
    return [{"workload": workload} for workload in named if workload.workload_id == workload_id]


def search(
    store: LogStore,
    *,
    workload_id: str | None,
    client_id: str | None,
    since: float | None,
    until: float | None,
    newest_first: bool,
    limit: int | None = None,
) -> Iterator[Record]:
    """Records by time, streamed; `since` (inclusive) and `until` (exclusive) in seconds since the epoch."""
    streams = [
        store.query(**each, since=since, until=until, newest_first=newest_first, limit=limit)
        for each in filters_of(store, workload_id, client_id)
    ]
    merged = heapq.merge(*streams, key=lambda record: record.timestamp, reverse=newest_first)
    return islice(merged, limit)
