"""Records as documents of Elasticsearch: the index template, the two layouts, and filters in its language.

Pure functions; who talks to the server is `elasticsearch.py`. The layouts:

* OURS, what the template makes. `request`, `response` and `metadata` are kept in the document as they came,
  byte for byte, and are not looked into: no field limit is met, and nothing is rejected for its shape.
* THEIRS, an index of NVIDIA's blueprint. Its loaders write the time in seconds into a field of type `date`,
  which takes numbers for milliseconds, so those documents lie in January 1970 for the index; other programs
  wrote milliseconds or ISO 8601, which lie where they should. A layout therefore has one or more clocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from flywheel.models import LATEST, NO_METADATA, Record, Workload, epoch_seconds
from flywheel.stores.logs.protocol import Filter

TIME = "timestamp"
_KEYWORD = {"type": "keyword"}
_STORED = {"type": "object", "enabled": False}
OUR_FIELDS: dict[str, Any] = {
    "client_id": _KEYWORD,
    "workload_id": _KEYWORD,
    "conversation_id": _KEYWORD,
    TIME: {"type": "date_nanos", "format": "epoch_second||strict_date_optional_time_nanos"},
    "request": _STORED,
    "response": _STORED,
    "metadata": _STORED,
}
ADDED_FIELDS = {name: OUR_FIELDS[name] for name in ("conversation_id", "metadata")}
"""What an index of the blueprint lacks for records with metadata. Its own programs leave it alone."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How `scale` indexed milliseconds make a second, for the documents between `low` and `high` of them.

    `exact` clocks are asked to the nanosecond; the others only know what their unit can hold.
    """

    scale: float
    exact: bool = False
    low: int | None = None
    high: int | None = None

    def where(self, since: float | None, until: float | None) -> list[dict[str, Any]]:
        """Clauses for the documents of this clock from `since` on and before `until`, in seconds.

        A document without a usable time counts as below every border, and is found where no time is asked.
        """
        clauses: list[dict[str, Any]] = []
        if edges := {
            name: self._said(seconds)
            for name, seconds in (("gte", since), ("lt", until))
            if seconds is not None
        }:
            clauses.append(_range(edges, "epoch_second" if self.exact else "epoch_millis"))
        if self.low is not None:
            clauses.append(_range({"gte": self.low}, "epoch_millis"))
        if self.high is not None:
            clauses.append({"bool": {"must_not": _range({"gte": self.high}, "epoch_millis")}})
        return clauses

    def read(self, indexed: float) -> float:
        """Seconds of a time that the server worked out, which it does in milliseconds."""
        return indexed / self.scale

    def interval(self, seconds: int) -> str:
        return f"{round(seconds * self.scale)}ms"

    def _said(self, seconds: float) -> str | int:
        within = min(max(seconds, 0.0), LATEST)
        return f"{within:.9f}" if self.exact else math.ceil(within * self.scale)


_BORDER = math.ceil(LATEST)
"""Below this many indexed milliseconds (March 1970), a number of theirs was seconds."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an index holds records: its name for people, its clocks, and whether it takes metadata."""

    name: str
    clocks: tuple[Clock, ...]
    metadata: bool

    def where(self, workload: Workload | None, where: Filter) -> dict[str, Any]:
        """A query for the records that are meant, whatever the clock."""
        return any_of([matching(clock, workload, where) for clock in self.clocks])


OURS = Layout("flywheel", (Clock(1_000, exact=True),), metadata=True)
THEIRS = Layout("blueprint", (Clock(1_000, low=_BORDER), Clock(1, high=_BORDER)), metadata=False)
THEIRS_EXTENDED = Layout("blueprint with metadata", THEIRS.clocks, metadata=True)


def layout_of(properties: Mapping[str, Any]) -> Layout | None:
    """The layout of an index with these mapped fields; None where it is no index of records."""
    types = {name: field.get("type") for name, field in properties.items()}
    if not types.get("client_id") == types.get("workload_id") == "keyword":
        return None
    match types.get(TIME):
        case "date_nanos":
            return OURS
        case "date":
            return THEIRS_EXTENDED if ADDED_FIELDS.keys() <= properties.keys() else THEIRS
        case _:
            return None


def template(index: str, *, shards: int, replicas: int) -> dict[str, Any]:
    """The index template: strict on our fields, whatever else a document holds is kept and not indexed."""
    return {
        "index_patterns": [index],
        "priority": 500,
        "template": {
            "settings": {
                "number_of_shards": shards,
                "number_of_replicas": replicas,
                "codec": "best_compression",  # Half the disk of the default, at the same import rate.
            },
            "mappings": {"dynamic": False, "properties": OUR_FIELDS},
        },
        "_meta": {"description": "Flywheel: the teacher's records"},
    }


def matching(clock: Clock, workload: Workload | None, where: Filter) -> dict[str, Any]:
    """A query for the records of one clock."""
    terms = {
        "client_id": workload.client_id if workload else where.get("client_id"),
        "workload_id": workload.workload_id if workload else None,
        "conversation_id": where.get("conversation_id"),
    }
    clauses = [{"term": {name: value}} for name, value in terms.items() if value is not None]
    return {"bool": {"filter": [*clauses, *clock.where(where.get("since"), where.get("until"))]}}


def any_of(queries: list[dict[str, Any]]) -> dict[str, Any]:
    return queries[0] if len(queries) == 1 else {"bool": {"should": queries, "minimum_should_match": 1}}


def operation(record: Record) -> tuple[bytes, bytes]:
    """The two lines that create `record` in a bulk: a second time they are a conflict, not a second copy."""
    seconds = float(record.timestamp)
    time = b"%d" % seconds if seconds.is_integer() else f"{seconds:.9f}".encode()
    fields = [
        b'"timestamp":' + time,
        b'"workload_id":' + msgspec.json.encode(record.workload_id),
        b'"client_id":' + msgspec.json.encode(record.client_id),
        b'"request":' + record.request_json,
        b'"response":' + record.response_json,
    ]
    if record.metadata_json != NO_METADATA:
        fields.append(b'"metadata":' + record.metadata_json)
        if (conversation := record.conversation_id) is not None:
            fields.append(b'"conversation_id":' + msgspec.json.encode(conversation))
    line = b"{" + b",".join(fields) + b"}"
    # A bulk is told by its lines; between the words of JSON a line's end is a blank like any other.
    return b'{"create":{"_id":"%s"}}' % record.key.hex().encode(), line.replace(b"\n", b" ")


class Hit(msgspec.Struct):
    """One document of a search; `source` is the bytes that the index keeps."""

    id: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"null"))
    sort: list[Any] = []


class _Source(msgspec.Struct):
    timestamp: Any = None
    workload_id: str | int = ""
    client_id: str | int = ""
    request: msgspec.Raw = msgspec.Raw(b"")
    response: msgspec.Raw = msgspec.Raw(b"")
    metadata: msgspec.Raw = msgspec.Raw(NO_METADATA)


class _Created(msgspec.Struct):
    created: Any = None


_sources = msgspec.json.Decoder(_Source)
_created = msgspec.json.Decoder(_Created)


def record_of(source: msgspec.Raw) -> Record | None:
    """The record that a document holds; None where it lacks a body, or any notion of its time."""
    try:
        found = _sources.decode(source)
        request, response = bytes(found.request), bytes(found.response)
        if not (request.startswith(b"{") and response.startswith(b"{")):
            return None
        when = found.timestamp if found.timestamp is not None else _created.decode(response).created
        return Record(
            epoch_seconds(when),
            str(found.workload_id),
            str(found.client_id),
            request,
            response,
            bytes(found.metadata),
        )
    except (msgspec.MsgspecError, ValueError):
        return None


def _range(edges: dict[str, Any], style: str) -> dict[str, Any]:
    return {"range": {TIME: {**edges, "format": style}}}
