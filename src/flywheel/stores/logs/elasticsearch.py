"""Records in Elasticsearch: the store of a team or a company.

How a record lies in an index is told by `documents.py`, how the server is talked to by
`elasticsearch_client.py`. What a store promises (a record counts once, a query sees everything that was added
before it, nothing is lost in silence) is kept here: by ids made of the record's key, by a refresh before
every look, and by reading every bulk's answer item by item.

Nothing is asked of the server before the first use, so a process may start before its Elasticsearch. An index
that is not there is empty; the first `add` makes it.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from itertools import islice
from typing import Any, Unpack

from flywheel.config import ElasticsearchRecords
from flywheel.errors import FlywheelError, StorageFull
from flywheel.log import get_logger
from flywheel.models import NO_METADATA, Record, Workload
from flywheel.stores.logs import elasticsearch_checks as checks
from flywheel.stores.logs.documents import (
    ADDED_FIELDS,
    TIME,
    Layout,
    layout_of,
    matching,
    operation,
    record_of,
    template,
)
from flywheel.stores.logs.elasticsearch_client import (
    PAUSES,
    ElasticsearchClient,
    IndexExists,
    IndexMissing,
    PointInTimeGone,
    TooLarge,
)
from flywheel.stores.logs.errors import LogStoreDenied, LogStoreOverloaded, LogStoreRefused, RecordRefused
from flywheel.stores.logs.protocol import DAY, Added, Filter, TimeBucket, WorkloadSummary
from flywheel.telemetry.health import Finding

_BATCH = 1_000  # Records of a bulk …
_BATCH_BYTES = 8 * 1024**2  # … and about its size: Elastic's advice is 5 to 15 MB.
_PAGE_BYTES = 8 * 1024**2  # About the size of a search's answer.
_PAGES = (100, 2_000)  # Records of the first page, and of the largest.
_DELETED_AT_ONCE = 10_000
_BUCKETS = 1_000
_KEEP_ALIVE = "5m"  # Renewed by every page.

log = get_logger(__name__)

_Line = tuple[Record, bytes, bytes]


class ElasticsearchLogStore:
    """A LogStore on the index of `config`; see `ElasticsearchClient` for what it raises besides.

    Raises RecordRefused for a record that the index does not take (too long a name, too large a body), after
    those before it were kept. Safe to use from any thread.
    """

    def __init__(
        self,
        config: ElasticsearchRecords,
        *,
        environment: Mapping[str, str] = os.environ,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._config = config
        self._index = config.index
        self._client = ElasticsearchClient(config, environment, pause=pause)
        self._known: Layout | None = None

    def add(self, records: Iterable[Record]) -> Added:
        """As promised by the protocol; what a call kept whose connection broke counts as there already."""
        new = total = 0
        for batch in _batches(records):
            layout = self._layout() or self._create()
            if not layout.metadata and any(record.metadata_json != NO_METADATA for record, *_ in batch):
                self._extend()
            try:
                new += self._send(batch)
            except StorageFull as error:
                raise StorageFull(
                    f"everything after the first {total:,} records (Elasticsearch at {self._client.address})"
                ) from error
            total += len(batch)
        return Added(new=new, duplicates=total - new)

    def query(
        self,
        workload: Workload | None = None,
        *,
        newest_first: bool = True,
        limit: int | None = None,
        **where: Unpack[Filter],
    ) -> Iterator[Record]:
        layout = self._refreshed()
        if layout is None or limit == 0:
            return
        with ExitStack() as stack:
            streams = [
                stack.enter_context(
                    closing(
                        self._stream(
                            matching(clock, workload, where),
                            "desc" if newest_first else "asc",
                        )
                    )
                )
                for clock in layout.clocks
            ]
            merged = heapq.merge(*streams, key=lambda record: record.timestamp, reverse=newest_first)
            yield from islice(merged if len(streams) > 1 else streams[0], limit)

    def count(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int:
        layout = self._refreshed()
        if layout is None:
            return 0
        query = layout.where(workload, where)
        answer = self._search(index=self._index, query=query, size=0, track_total_hits=True)
        return int(answer["hits"].total["value"])

    def workloads(self) -> list[WorkloadSummary]:
        """All workloads, by name; times are to the millisecond."""
        layout = self._refreshed()
        found: dict[Workload, WorkloadSummary] = {}
        names: dict[str, Any] = {name: {"terms": {"field": name}} for name in ("client_id", "workload_id")}
        edges = {"first": {"min": {"field": TIME}}, "last": {"max": {"field": TIME}}}
        for clock in layout.clocks if layout else ():
            for bucket in self._buckets(matching(clock, None, {}), names, edges):
                workload = Workload(bucket["key"]["client_id"], bucket["key"]["workload_id"])
                first, last = (clock.read(bucket[name]["value"] or 0.0) for name in ("first", "last"))
                count = bucket["doc_count"]
                if other := found.get(workload):
                    first, last = min(first, other.first), max(last, other.last)
                    count += other.count
                found[workload] = WorkloadSummary(workload, count, first, last)
        return sorted(found.values(), key=lambda each: (each.workload.client_id, each.workload.workload_id))

    def histogram(
        self,
        workload: Workload | None = None,
        *,
        interval_s: int = DAY,
        **where: Unpack[Filter],
    ) -> list[TimeBucket]:
        layout = self._refreshed()
        counts: dict[float, int] = {}
        for clock in layout.clocks if layout else ():
            query = matching(clock, workload, where)
            spans = {
                "span": {"date_histogram": {"field": TIME, "fixed_interval": clock.interval(interval_s)}}
            }
            for bucket in self._buckets(query, spans):
                start = clock.read(bucket["key"]["span"])
                counts[start] = counts.get(start, 0) + bucket["doc_count"]
        return [TimeBucket(start, counts[start]) for start in sorted(counts)]

    def delete(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int:
        """As promised by the protocol; the disk's bytes go when Elasticsearch merges its segments."""
        layout = self._refreshed()
        if layout is None:
            return 0
        query = layout.where(workload, where)
        deleted = 0
        conflicts = iter(PAUSES)
        while True:  # Piece by piece: every call ends within its timeout, and needs no right but `delete`.
            answer = self._client.call(
                lambda es: es.delete_by_query(
                    index=self._index,
                    query=query,
                    conflicts="proceed",
                    max_docs=_DELETED_AT_ONCE,
                    refresh=True,
                ),
                patient=True,
            )
            if answer["failures"]:
                cause = answer["failures"][0].get("cause", {})
                raise self._refused(cause, StorageFull("the deletion"))
            deleted += int(answer["deleted"])
            if answer["version_conflicts"]:  # Somebody else deletes or writes the same documents.
                if (wait := next(conflicts, None)) is None:
                    raise LogStoreOverloaded(self._client.address, "others keep changing what is deleted")
                self._client.pause(wait)
            elif answer["total"] < _DELETED_AT_ONCE:
                return deleted

    def check(self, *, thorough: bool = False) -> list[Finding]:
        findings = list(checks.quick(self._client, self._index))
        return [*findings, *checks.thorough(self._client, self._index)] if thorough else findings

    def close(self) -> None:
        self._client.close()

    def _layout(self) -> Layout | None:
        """How the index holds records; None where there is no index yet."""
        if self._known is None:
            try:
                answer = self._client.call(lambda es: es.indices.get_mapping(index=self._index))
            except IndexMissing:
                return None
            layouts = {layout_of(each["mappings"].get("properties", {})) for each in answer.values()}
            if len(layouts) != 1 or None in layouts:
                raise LogStoreRefused(
                    self._client.address,
                    f"index {self._index!r} holds something else than records: client_id and workload_id must"
                    " be keywords and timestamp a date; name another one in records.index",
                )
            self._known = layouts.pop()
        return self._known

    def _create(self) -> Layout:
        made = template(self._index, shards=self._config.shards, replicas=self._config.replicas)
        self._client.call(
            lambda es: es.indices.put_index_template(name=f"flywheel-{self._index}", **_arguments(made))
        )
        with suppress(IndexExists):  # Another process was faster.
            self._client.call(lambda es: es.indices.create(index=self._index))
            log.info("made the index of records", extra={"index": self._index})
        layout = self._layout()
        if layout is None:
            raise LogStoreRefused(self._client.address, f"index {self._index!r} was removed as it was made")
        return layout

    def _extend(self) -> None:
        """Let an index of the blueprint take metadata; its strict mapping would refuse the records."""
        self._client.call(lambda es: es.indices.put_mapping(index=self._index, properties=ADDED_FIELDS))
        self._known = None
        log.info("added fields to the blueprint's index", extra={"fields": ", ".join(ADDED_FIELDS)})

    def _refreshed(self) -> Layout | None:
        """The layout, after making everything visible that was added; without the right to, it is soon."""
        layout = self._layout()
        if layout is not None:
            try:
                self._client.call(lambda es: es.indices.refresh(index=self._index))
            except LogStoreDenied:
                pass
            except IndexMissing:  # Somebody removed it.
                self._known = layout = None
        return layout

    def _send(self, batch: list[_Line]) -> int:
        """Create the documents and say how many are new. What was rejected for lack of room is sent again."""
        new = 0
        for wait in (*PAUSES, None):
            try:
                answer = self._bulk([part for _, *lines in batch for part in lines])
            except TooLarge as error:
                if len(batch) == 1:
                    raise RecordRefused(batch[0][0].name, "it is too large for Elasticsearch") from error
                middle = len(batch) // 2
                return new + self._send(batch[:middle]) + self._send(batch[middle:])
            if not answer["errors"]:
                return new + len(batch)
            items = [item["create"] for item in answer["items"]]
            again: list[_Line] = []
            for line, item in zip(batch, items, strict=True):
                problem = item.get("error", {})
                match item["status"], problem.get("type"):
                    case ((200 | 201), _):
                        new += 1
                    case 409, _:
                        pass
                    case ((429 | 502 | 503 | 504), kind) if kind != "cluster_block_exception":
                        again.append(line)
                    case _:
                        raise self._refused(problem, RecordRefused(line[0].name, _words(problem)))
            if not again:
                return new
            if wait is None:
                break
            log.warning("Elasticsearch rejected records; sending them again", extra={"records": len(again)})
            self._client.pause(wait)
            batch = again
        raise LogStoreOverloaded(
            self._client.address, f"{len(again):,} records were rejected again and again"
        )

    def _bulk(self, lines: Any) -> dict[str, Any]:
        wanted = "errors,items.create.status,items.create.error"
        return self._client.call(
            lambda es: es.bulk(index=self._index, operations=lines, filter_path=wanted), patient=True
        )

    def _refused(self, error: Mapping[str, Any], otherwise: FlywheelError) -> FlywheelError:
        if error.get("type") == "cluster_block_exception":
            return self._client.blocked(str(error.get("reason")))
        return otherwise

    def _stream(self, where: dict[str, Any], order: str) -> Generator[Record, None, None]:
        """The records of a query, page by page, as of the moment when it began.

        Where the server has forgotten the moment (a consumer that took longer than five minutes for a page,
        a restart), the rest is read as of now: `seen` keeps what was read of the time at which it broke off.
        """
        after: Any = None
        seen: set[str] = set()
        size = _PAGES[0]
        unreadable = 0
        pit = self._open()
        try:
            while True:
                try:
                    answer = self._search(
                        patient=True,
                        pit={"id": pit, "keep_alive": _KEEP_ALIVE},
                        query=where,
                        sort=[{TIME: {"order": order}}],
                        search_after=after,
                        size=size,
                        track_total_hits=False,
                    )
                except PointInTimeGone:
                    pit = self._open()
                    after = after and [after[0], -1]  # Of this time, all documents anew.
                    continue
                pit = answer["pit_id"]
                hits = answer["hits"].hits
                for hit in hits:
                    if after is None or hit.sort[0] != after[0]:
                        seen.clear()
                    after = hit.sort
                    if hit.id in seen:
                        continue
                    seen.add(hit.id)
                    record = record_of(hit.source)
                    if record is None:
                        unreadable += 1
                    else:
                        yield record
                if len(hits) < size:
                    break
                mean = sum(len(bytes(hit.source)) for hit in hits) / len(hits)
                size = max(1, min(_PAGES[1], int(_PAGE_BYTES / mean)))
        finally:
            with suppress(FlywheelError):  # What cannot be closed now expires.
                self._client.call(lambda es: es.close_point_in_time(id=pit))
            if unreadable:
                log.warning("left out documents that are no records", extra={"documents": unreadable})

    def _open(self) -> str:
        answer = self._client.call(
            lambda es: es.open_point_in_time(index=self._index, keep_alive=_KEEP_ALIVE), patient=True
        )
        return str(answer["id"])

    def _search(self, *, patient: bool = False, **arguments: Any) -> dict[str, Any]:
        """A search of all shards, or an error: part of the records would be a wrong answer."""
        return self._client.call(
            lambda es: es.search(**arguments, allow_partial_search_results=False), patient=patient
        )

    def _buckets(
        self, where: dict[str, Any], sources: dict[str, Any], each: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All buckets of a composite aggregation, a page at a time."""
        composite: dict[str, Any] = {
            "size": _BUCKETS,
            "sources": [{name: source} for name, source in sources.items()],
        }
        while True:
            aggregation = {"all": {"composite": composite, "aggs": each or {}}}
            answer = self._search(index=self._index, query=where, size=0, aggs=aggregation)
            found = answer["aggregations"]["all"]
            yield from found["buckets"]
            if len(found["buckets"]) < _BUCKETS:
                return
            composite["after"] = found["after_key"]


def _batches(records: Iterable[Record]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = 0
    for record in records:
        action, source = operation(record)
        if batch and (len(batch) == _BATCH or size + len(source) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((record, action, source))
        size += len(source)
    if batch:
        yield batch


def _words(error: Mapping[str, Any]) -> str:
    cause = error.get("caused_by")
    reasons = [error.get("reason"), cause.get("reason") if isinstance(cause, Mapping) else None]
    return ": ".join(str(reason) for reason in reasons if reason)


def _arguments(body: dict[str, Any]) -> dict[str, Any]:
    """The client calls a field `meta` that the server calls `_meta`."""
    return {name.lstrip("_"): value for name, value in body.items()}
