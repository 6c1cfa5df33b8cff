"""`client.records`: the teacher's traffic, in and out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from flywheel.client.documents import Model
from flywheel.client.errors import NotSent
from flywheel.client.files import Target, saved
from flywheel.client.routes import Resource, Route, S, call, stream
from flywheel.client.steps import Body, Every, Give, Steps

Source: TypeAlias = str | Path | Iterable[Mapping[str, Any] | bytes]
_PIECE: Final = 256 * 1024
_TIMEOUT_S: Final = 600.0
"""Seconds that the server may take from the last record to its answer: it may have a million to store."""


class NotTaken(Model):
    """A line that is no record."""

    line: int | None
    """Counted from 1; None where the problem is that of the whole body, such as a cut-off gzip file."""
    problem: str


class Added(Model):
    """What became of the records that were sent."""

    new: int
    duplicates: int = 0
    invalid: list[NotTaken] = []
    """The first of the lines that were not taken."""
    invalid_total: int = 0


class Records(Resource[S]):
    """Add records, read them, write them to a file."""

    @call("POST", "/api/records")
    def add(
        self,
        to: Route,
        /,
        source: Source,
        *,
        workload_id: str | None = None,
        client_id: str | None = None,
    ) -> Steps[Added]:
        """Add records; what is there already is not added again, what is no record is told in the answer.

        `source` is a file of JSON lines, packed with gzip or not, or an iterable of records or of lines as
        bytes; it is sent as it is read. `workload_id` and `client_id` are those of records that name none.
        Raises NotSent where the file cannot be read.
        """
        body, again = _body(source)
        headers = {"Content-Type": "application/x-ndjson"}
        return to.ask(
            Added.read,
            query={"workload_id": workload_id, "client_id": client_id},
            body=body,
            headers=headers,
            repeatable=again,
            timeout_s=_TIMEOUT_S,
        )

    @call("GET", "/api/records")
    def export(
        self,
        to: Route,
        /,
        target: Target,
        *,
        client_id: str | None = None,
        workload_id: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        limit: int | None = None,
    ) -> Steps[int]:
        """Write records as JSON lines to a path or an open file; how many bytes it has."""
        return saved(to, target, query=_query(client_id, workload_id, since, until, limit))

    @stream("GET", "/api/records")
    def list(
        self,
        to: Route,
        /,
        *,
        client_id: str | None = None,
        workload_id: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        limit: int | None = None,
        order: Literal["oldest", "newest"] = "oldest",
    ) -> Steps[Every[dict[str, Any]]]:
        """Records as they were logged; a time is an aware datetime, or seconds since the epoch."""
        query = _query(client_id, workload_id, since, until, limit)
        more = yield from to.pieces(query={**query, "order": order})
        rest = b""
        while piece := (yield from more()):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line:
                    yield Give(json.loads(line))
        return Every()


def _query(
    client_id: str | None,
    workload_id: str | None,
    since: datetime | float | None,
    until: datetime | float | None,
    limit: int | None,
) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "workload_id": workload_id,
        "since": _moment(since),
        "until": _moment(until),
        "limit": limit,
    }


def _moment(when: datetime | float | None) -> str | float | None:
    return when.astimezone(UTC).isoformat() if isinstance(when, datetime) else when


def _body(source: Source) -> tuple[Body, bool]:
    """What makes the bytes of `source`, and whether it can do so twice."""
    if isinstance(source, str | Path):
        path = Path(source)
        return (lambda: _file(path)), True
    return (lambda: map(_line, source)), isinstance(source, list | tuple)


def _file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except (OSError, EOFError) as error:
        raise NotSent(str(path), f"cannot be read: {error}") from error


def _line(record: Mapping[str, Any] | bytes) -> bytes:
    if isinstance(record, bytes):
        return record if record.endswith(b"\n") else record + b"\n"
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
