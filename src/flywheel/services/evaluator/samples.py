"""The samples of one job, on disk: a file of JSON lines that only grows, so that `kill -9` costs at most
one line.

A line is handed to the operating system as soon as its sample is scored, and forced to the disk in
batches. A later line about the same sample replaces the earlier one.
"""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from flywheel.errors import StorageFull

Record = dict[str, Any]

_BATCH = 16


class Samples:
    """Append and read the records `{task, key, …}` of one file; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._unsynced = 0

    def records(self) -> list[Record]:
        """The newest record of every sample, in the order of task and data."""
        return [_loads(line) for line in self.lines()]

    def lines(self) -> Iterator[bytes]:
        """The same as JSON."""
        newest: dict[tuple[str, str], tuple[int, bytes]] = {}
        for line in self._lines():
            about = _about(line)
            newest[about.task, about.key] = about.index, line
        for _, (_, line) in sorted(newest.items(), key=lambda item: (item[0][0], item[1][0])):
            yield line

    def append(self, record: Record) -> None:
        """Raises StorageFull; then nothing of the record is in the file."""
        line = _dumps(record)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                end = self._end(file.fileno())
                try:
                    _write(file.fileno(), line)
                    self._unsynced += 1
                    if self._unsynced >= _BATCH:
                        os.fsync(file.fileno())
                        self._unsynced = 0
                except OSError as error:
                    with suppress(OSError):
                        file.truncate(end)
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise StorageFull(f"a sample of {self.path.parent.name}") from error
                    raise

    def retain(self, wanted: Collection[tuple[str, str]]) -> int:
        """Leave out the samples that are not `wanted`, by task and key; how many that were.

        Raises StorageFull; then all are still there.
        """
        with self._lock:
            lines = [(_about(line), line) for line in self._lines()]
            gone = len({(about.task, about.key) for about, _ in lines}.difference(wanted))
            if gone:
                kept = [line for about, line in lines if (about.task, about.key) in wanted]
                self._replace(b"".join(kept))
        return gone

    def _replace(self, content: bytes) -> None:
        part = self.path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"the samples of {self.path.parent.name}") from error
            raise

    def sync(self) -> None:
        """Force everything to the disk."""
        with self._lock:
            if self.path.exists():
                with self.path.open("ab") as file:
                    os.fsync(file.fileno())
            self._unsynced = 0

    def _end(self, file: int) -> int:
        """Where the next line goes: after the last whole one. A torn line of an earlier life is cut off."""
        size = os.fstat(file).st_size
        if size == 0 or self._last_byte(size) == b"\n":
            return size
        whole = self.path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(file, whole)
        return whole

    def _last_byte(self, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1)

    def _lines(self) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line


class _About(msgspec.Struct):
    """What a line is sorted by."""

    task: str
    key: str
    index: int


_READ_ABOUT = msgspec.json.Decoder(_About)


def _about(line: bytes) -> _About:
    try:
        return _READ_ABOUT.decode(line)
    except ValueError:
        return msgspec.convert(json.loads(line), _About)


def _loads(line: bytes) -> Record:
    try:
        record: Record = msgspec.json.decode(line)
    except ValueError:  # Half a surrogate pair, which JSON may hold and UTF-8 may not.
        record = json.loads(line)
    return record


def _dumps(record: Record) -> bytes:
    """ASCII, since models can emit half a surrogate pair; numbers that JSON does not have become words."""
    try:
        return json.dumps(record, allow_nan=False).encode() + b"\n"
    except ValueError:
        return json.dumps(_finite(record), allow_nan=False).encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _write(file: int, line: bytes) -> None:
    """All of the line; a disk that fills up takes a part and then refuses."""
    while line:
        line = line[os.write(file, line) :]
