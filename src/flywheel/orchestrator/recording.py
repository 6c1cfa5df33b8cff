"""Records in by HTTP: a log of any length into the store, with an account of what was no record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flywheel.curation.envelope import Tags
from flywheel.curation.reading import Rejected, Unread, read
from flywheel.models import Record
from flywheel.orchestrator.errors import NoRecords
from flywheel.stores.logs import LogStore

TOLD = 100
"""Lines that are told of those that are no records; all are counted."""


def take(chunks: Iterator[bytes], logs: LogStore, tags: Tags) -> dict[str, Any]:
    """Keep the records of a log, which arrives in `chunks`; memory is bounded by its longest line.

    Every line is counted as new, duplicate or invalid. Raises NoRecords where nothing can be read at all, and
    what the store raises: the records before that are kept, and the same log sent again completes it.
    """
    invalid = _Invalid()
    added = logs.add(invalid.passing(read(_Arriving(chunks), "body", tags=tags)))
    if invalid.unreadable and not added.new + added.duplicates:
        raise NoRecords(invalid.unreadable)
    return {
        "new": added.new,
        "duplicates": added.duplicates,
        "invalid": invalid.told,
        "invalid_total": invalid.total,
    }


class _Invalid:
    """What was no record, on its way past."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.total = 0
        self.unreadable: str | None = None

    def passing(self, items: Iterable[Record | Rejected]) -> Iterator[Record]:
        for item in items:
            if isinstance(item, Record):
                yield item
                continue
            self.total += 1
            if item.reason in (Unread.EMPTY_SOURCE, Unread.BINARY_SOURCE, Unread.CORRUPT_GZIP):
                self.unreadable = item.detail
            if len(self.told) < TOLD:
                line = {"line": item.line, "reason": str(item.reason), "problem": item.detail}
                self.told.append(line)


class _Arriving:
    """Chunks as a stream; a read gives what comes next, whatever its size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int, /) -> bytes:
        return next(self._chunks, b"")
