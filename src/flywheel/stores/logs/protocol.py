"""What a store of teacher records can do, whatever it is built on.

A store keeps and finds; it does not parse (see `flywheel.curation.reading`) and it does not judge (see
`flywheel.curation`). Filters are the same everywhere: a `workload`, or what `Filter` names. Records older
than a time are removed by `delete(until=…)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack

from flywheel.models import Record, Workload
from flywheel.telemetry.health import Finding

DAY = 86_400
"""Seconds of a day."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of records that were handed to a store: newly kept, or there already."""

    new: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class WorkloadSummary:
    """A workload with the number of its records and the times of the first and the last one."""

    workload: Workload
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """The number of records from `start` on, in seconds since the epoch, for one interval."""

    start: float
    count: int


class Filter(TypedDict, total=False):
    """Which records are meant: all workloads of a `client_id`; `since` (inclusive) and `until` (exclusive) in
    seconds since the epoch; `conversation_id`, as the records' metadata names it. What is left out, or None,
    does not filter."""

    client_id: str | None
    since: float | None
    until: float | None
    conversation_id: str | None


class LogStore(Protocol):
    def add(self, records: Iterable[Record]) -> Added:
        """Keep `records` that are not there yet, by `Record.key`.

        Streams: memory does not grow with the number of records. They are kept batch by batch, so an error
        in the middle leaves the beginning kept, and the same call made again completes it.
        """
        ...

    def query(
        self,
        workload: Workload | None = None,
        *,
        newest_first: bool = True,
        limit: int | None = None,
        **where: Unpack[Filter],
    ) -> Iterator[Record]:
        """Records as of this moment, by time, streamed."""
        ...

    def count(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int: ...

    def workloads(self) -> Sequence[WorkloadSummary]:
        """All workloads, by name."""
        ...

    def histogram(
        self,
        workload: Workload | None = None,
        *,
        interval_s: int = DAY,
        **where: Unpack[Filter],
    ) -> Sequence[TimeBucket]:
        """Records by intervals of `interval_s` seconds, counted from the epoch; empty ones are left out."""
        ...

    def delete(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int:
        """Remove the records for good and say how many there were."""
        ...

    def check(self, *, thorough: bool = False) -> Sequence[Finding]:
        """What is to be said about the store: whether it answers and takes records, in a few quick calls.

        It is asked every few seconds; `thorough` is for an operator. Raises, as any call, where the store
        does not answer.
        """
        ...

    def close(self) -> None: ...
