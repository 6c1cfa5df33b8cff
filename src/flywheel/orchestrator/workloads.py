"""What has been recorded: workloads with what their runs have come to, and what one of them is made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from flywheel.config import Pricing, nearest
from flywheel.curation.profile import Profile, Usage, profile
from flywheel.models import Workload
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.cost import teacher_cost
from flywheel.orchestrator.errors import WorkloadNotFound
from flywheel.orchestrator.wire import moment
from flywheel.stores.logs import LogStore, WorkloadSummary
from flywheel.stores.runs import Standing

Sort = Literal["name", "count", "last"]

_REQUESTS = 1000
_ASKED = 1000  # Workloads that are asked for by name; more cost less as all of them.
_KEPT = 256  # Profiles; each is a few kilobytes, most of it the schemas of tools.
_ORDERS: Mapping[Sort, Callable[[WorkloadSummary], Any]] = {
    "name": lambda each: (each.workload.client_id, each.workload.workload_id),
    "count": lambda each: -each.count,
    "last": lambda each: -each.last,
}


@dataclass(frozen=True, slots=True)
class _Look:
    """What a profile was made from: with more records, or fewer, it is made anew."""

    count: int
    last: float


class Workloads:
    """The workloads of a store of records. Safe to use from any thread."""

    def __init__(self, context: Context) -> None:
        self._logs, self._runs = context.logs, context.runs
        self._pricing = context.settings.pricing
        self._profiles: OrderedDict[tuple[Workload, int], tuple[_Look, dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def page(
        self, *, client_id: str | None, search: str, sort: Sort, offset: int, limit: int | None
    ) -> tuple[list[dict[str, Any]], int]:
        """A part of the list, and how many workloads match; `search` is looked for in both names."""
        wanted = search.casefold()
        found = [
            each
            for each in self._logs.workloads()
            if client_id in (None, each.workload.client_id) and wanted in str(each.workload).casefold()
        ]
        found.sort(key=_ORDERS[sort])
        page = list(islice(found, offset, None if limit is None else offset + limit))
        few = len(page) <= _ASKED
        standings = self._runs.standings([each.workload for each in page] if few else None)
        return [_summary(each) | _standing(standings.get(each.workload)) for each in page], len(found)

    def profile(self, workload: Workload, looked_at: int) -> dict[str, Any]:
        """The newest `looked_at` records of a workload, summed up. Raises WorkloadNotFound."""
        summary = _one(self._logs, workload)
        look, key = _Look(summary.count, summary.last), (workload, looked_at)
        with self._lock:
            known = self._profiles.get(key)
            if known and known[0] == look:
                self._profiles.move_to_end(key)
                return known[1]
        days = self._logs.histogram(workload)
        records = list(self._logs.query(workload, limit=looked_at))
        made = _summary(summary) | {"per_day": [asdict(day) for day in days]}
        made |= _profile(profile(records, workload), self._pricing)
        with self._lock:
            self._profiles[key] = (look, made)
            self._profiles.move_to_end(key)
            while len(self._profiles) > _KEPT:
                self._profiles.popitem(last=False)
        return made


def _one(logs: LogStore, workload: Workload) -> WorkloadSummary:
    found = {each.workload: each for each in logs.workloads()}
    if workload not in found:
        hint = nearest(str(workload), map(str, found)) if found else ": nothing has been recorded yet"
        raise WorkloadNotFound(workload.client_id, workload.workload_id, hint)
    return found[workload]


def _summary(found: WorkloadSummary) -> dict[str, Any]:
    """Times are seconds since the epoch."""
    return {
        "client_id": found.workload.client_id,
        "workload_id": found.workload.workload_id,
        "count": found.count,
        "first": found.first,
        "last": found.last,
    }


def _standing(standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        return {"last_run": None, "best": None}
    last = standing.last
    return {
        "last_run": {"id": last.id, "status": last.status, "created_at": moment(last.created_at)},
        "best": standing.best.model_dump() if standing.best else None,
    }


def _profile(found: Profile, pricing: Pricing) -> dict[str, Any]:
    shown = asdict(found)
    usage, silent = shown.pop("usage"), shown.pop("no_call")
    silent.pop("name")
    return shown | {"no_call": silent, "teacher": usage | {"cost": _cost(found.usage, pricing)}}


def _cost(usage: Usage, pricing: Pricing) -> dict[str, Any] | None:
    """What the records that tell their tokens have cost, and what a thousand of them do."""
    total = teacher_cost(usage.prompt_tokens, usage.completion_tokens, pricing)
    if total is None or not usage.with_usage:
        return None
    per = total / usage.with_usage * _REQUESTS
    return {"currency": pricing.currency, "total": total, f"per_{_REQUESTS}": per}
