"""Gathers what a decision looks at, cheaply enough for hundreds of schedules every minute.

Of records it takes counts, and at most SAMPLE of the newest ones where drift is to be told; of runs their
heads, and the documents of those that changed. What it has worked out is kept in memory, within bounds:
finished runs do not change, and drift is measured anew only when the new records have grown by a fifth.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from flywheel.config import NimConfig
from flywheel.curation.drift import SchemaChange, Shift, measure, schema_changes
from flywheel.curation.traffic import Traffic, describe, seen_of
from flywheel.models import Workload
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.request import configured, read_request
from flywheel.orchestrator.scheduling.decision import WEEK, DatasetFact, Facts, RunFact
from flywheel.stores.runs.document import Run, created_of
from flywheel.stores.runs.errors import RunNotFound
from flywheel.stores.runs.protocol import RunHead
from flywheel.stores.schedules.document import DriftTrigger, RecordsTrigger, Schedule, SchemasTrigger

SAMPLE: Final = 2_000
"""Newest records that tell what the traffic is like now; a drift that matters shows in fewer."""
_HEADS: Final = 200
"""Runs of a workload that are looked at; more in seven days are more than any budget."""
_KEPT: Final = 4_000
_GROWTH: Final = 1.2
_COUNTED: Final = (RecordsTrigger, DriftTrigger, SchemasTrigger)

V = TypeVar("V")


class _Memory(Generic[V]):
    """The last `most` values that were asked for, by key; safe to use from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Any, V] = OrderedDict()

    def get(self, key: Any) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Any, value: V) -> V:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class _Look:
    """What the newest records came to."""

    now: Traffic
    shifts: Mapping[str, tuple[Shift, ...]]
    changes: tuple[SchemaChange, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a run."""

    fact: RunFact
    has_dataset: bool


class Gatherer:
    """Facts about schedules, from the stores of `context`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs: _Memory[_Known] = _Memory(_KEPT)
        self._datasets: _Memory[DatasetFact] = _Memory(_KEPT // 10)
        self._looks: _Memory[_Look] = _Memory(_KEPT // 10)

    def facts(self, schedule: Schedule, now: datetime) -> Facts:
        """Everything but the look at the newest records. Raises what the stores raise."""
        config = configured(read_request(body_of(schedule)), self._context.settings)
        workload = schedule.workload
        runs, dataset = self._history(workload, now)
        logs = self._context.logs
        counted = any(isinstance(trigger, _COUNTED) for trigger in schedule.triggers)
        last = dataset.traffic.last if counted and dataset and dataset.traffic else None
        return Facts(
            records=logs.count(workload),
            later=0 if last is None else logs.count(workload, since=math.nextafter(last, math.inf)),
            needed=config.data_split_config.min_total_records,
            runs=runs,
            dataset=dataset,
            candidates={nim.model_name: _source(nim) for nim in config.nims},
        )

    def look(self, schedule: Schedule, facts: Facts, *, anew: bool = False) -> Facts:
        """The facts with what the newest records are like, where there is a data set to compare them with.

        `anew`: whatever was remembered.
        """
        dataset = facts.dataset
        if dataset is None or dataset.traffic is None or facts.new <= 0:
            return facts
        key = (dataset.run_id, int(math.log(facts.new, _GROWTH)))
        look = None if anew else self._looks.get(key)
        if look is None:
            look = self._looks.put(key, self._newest(schedule.workload, dataset.traffic, facts.new))
        return replace(facts, now=look.now, shifts=look.shifts, changes=look.changes)

    def _newest(self, workload: Workload, before: Traffic, count: int) -> _Look:
        records = self._context.logs.query(workload, limit=min(count, SAMPLE))
        now = describe(seen_of(records), like=before)
        shifts = {"tools": measure(before, now, "tools"), "arguments": measure(before, now, "arguments")}
        return _Look(now, shifts, schema_changes(before, now))

    def _history(self, workload: Workload, now: datetime) -> tuple[tuple[RunFact, ...], DatasetFact | None]:
        """The runs of the last seven days and those up to the last data set, newest first; that data set."""
        facts: list[RunFact] = []
        dataset: DatasetFact | None = None
        for head in self._context.runs.heads(workload, _HEADS):
            if dataset is not None and created_of(head.id) < now - WEEK:
                break
            known = self._known(head, now)
            if known is None:
                continue
            facts.append(known.fact)
            if dataset is None and known.has_dataset:
                dataset = self._dataset(head.id)
        return tuple(facts), dataset

    def _known(self, head: RunHead, now: datetime) -> _Known | None:
        """The run, from memory where it is at the revision that was seen; None where it is gone."""
        key = (head.id, head.revision)
        known = self._runs.get(key)
        if known is None:
            try:
                run = self._context.runs.load(head.id)
            except RunNotFound:
                return None
            known = self._runs.put(key, _Known(_fact(run, now), run.curation is not None))
        return known

    def _dataset(self, run_id: str) -> DatasetFact | None:
        found = self._datasets.get(run_id)
        if found is None:
            try:
                run = self._context.runs.load(run_id)
            except RunNotFound:
                return None
            found = self._datasets.put(run_id, _dataset_fact(run))
        return found


def body_of(schedule: Schedule) -> dict[str, Any]:
    """What the schedule asks of `POST /api/jobs`."""
    return {
        **schedule.overrides,
        "workload_id": schedule.workload_id,
        "client_id": schedule.client_id,
    }


def gpu_hours(run: Run, now: datetime) -> float:
    """GPU hours of the run so far: for each candidate the time that it was deployed and the time of its
    training, each times the GPUs that the configuration gives it; none for one that is served on a CPU."""
    hours = 0.0
    for candidate in run.candidates:
        nim = candidate.nim
        if candidate.deployed_at:
            end = candidate.finished_at or now
            hours += (nim.gpus or 0) * max(0.0, (end - candidate.deployed_at).total_seconds()) / 3600
        training = candidate.customization
        if training and training.started_at:
            end = training.finished_at or now
            gpus = nim.customizer_configs.gpus if nim.gpus is not None else 0
            hours += gpus * max(0.0, (end - training.started_at).total_seconds()) / 3600
    return hours


def _fact(run: Run, now: datetime) -> RunFact:
    return RunFact(
        id=run.id,
        created_at=run.created_at,
        finished=run.finished,
        status=run.status,
        schedule_id=run.trigger.schedule_id if run.trigger else None,
        gpu_hours=gpu_hours(run, now),
        candidates={nim.model_name: _source(nim) for nim in run.config.nims},
    )


def _dataset_fact(run: Run) -> DatasetFact:
    return DatasetFact(
        run_id=run.id,
        at=run.started_at or run.created_at,
        records=int((run.curation or {}).get("records_in", 0)),
        traffic=Traffic.model_validate(run.traffic) if run.traffic else None,
    )


def _source(nim: NimConfig) -> str:
    """Where the weights come from: with another source it is another candidate under an old name."""
    return "@".join(part for part in (nim.model_path, nim.tag) if part)
