"""Records to a server, and from one: what `flywheel records` does with --url instead of opening a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from flywheel.client import Client
from flywheel.client.records import Added
from flywheel.curation.envelope import log_line
from flywheel.errors import FlywheelError
from flywheel.models import Record


class NotTaken(FlywheelError):
    """The server does not take what is a record here; it is of another version."""


class RemoteStore:
    """The store behind a server, as far as an import needs it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, records: Iterable[Record]) -> Added:
        """Send records while they are read. Raises NotTaken, and what the client raises."""
        added = self._client.records.add(map(log_line, records))
        if added.invalid_total:
            why = f": {added.invalid[0].problem}" if added.invalid else ""
            raise NotTaken(
                f"the server at {self._client.url} did not take {added.invalid_total:,} records{why}"
            )
        return added


class CountedLines:
    """Bytes on their way to `sink`, and how many lines they make."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self.lines = sink, 0

    def write(self, piece: Any) -> int:
        self.lines += bytes(piece).count(b"\n")
        return self._sink.write(piece)


def fetched(client: Client, sink: BinaryIO, **filters: Any) -> int:
    """Write the server's records as JSON lines; how many there are. Raises what the client raises."""
    counted = CountedLines(sink)
    client.records.export(counted, **filters)
    sink.flush()
    return counted.lines
