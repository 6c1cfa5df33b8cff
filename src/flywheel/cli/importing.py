"""Log files into a store, with an account of every line: what `flywheel records import` and the demo do."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from flywheel.curation.envelope import Tags
from flywheel.curation.reading import Rejected, Unread, read, sources
from flywheel.errors import UserError
from flywheel.models import Record, Workload

STDIN = Path("-")
EXAMPLES = 5
"""Rejected lines that are remembered for each source and reason; all are counted."""


class Taken(Protocol):
    """How many of some records are new, and how many were there already."""

    @property
    def new(self) -> int: ...

    @property
    def duplicates(self) -> int: ...


class Takes(Protocol):
    """A store of records, or what stands for one."""

    def add(self, records: Iterable[Record], /) -> Taken: ...


@dataclass
class Imported:
    """What became of everything that was read. Every line is in one of the three numbers."""

    new: int = 0
    duplicates: int = 0
    rejected: Counter[Unread] = field(default_factory=Counter)
    examples: list[Rejected] = field(default_factory=list)
    workloads: Counter[Workload] = field(default_factory=Counter)
    """Records read of each workload, new or not."""
    unreadable: int = 0
    """Sources that could not be opened or read to the end by the system."""

    @property
    def failed(self) -> bool:
        """Whether nothing could be used, or a source not be read."""
        return self.unreadable > 0 or self.new + self.duplicates == 0


def import_files(
    paths: Sequence[Path],
    store: Takes,
    *,
    tags: Tags = Tags(),
    rejects: Path | None = None,
    progress: Callable[[int], None] | None = None,
    stdin: BinaryIO | None = None,
) -> Imported:
    """Import files, folders and "-" (standard input, or `stdin`).

    Raises UserError for a path that does not exist, before anything is read.
    """
    files = _files(paths)
    imported = Imported()
    with ExitStack() as stack:
        sink = stack.enter_context(_rejects(rejects, files)) if rejects else None
        for file in files:
            try:
                stream = (
                    (stdin or sys.stdin.buffer) if file == STDIN else stack.enter_context(file.open("rb"))
                )
            except OSError as error:
                detail = f"cannot be opened: {error.strerror or error}"
                _note(imported, Rejected(str(file), None, Unread.UNREADABLE_SOURCE, detail), Counter())
                continue
            name = "standard input" if file == STDIN else str(file)
            read_items = read(stream, name, tags=tags, rejects=sink, progress=progress)
            added = store.add(_records(read_items, imported))
            imported.new += added.new
            imported.duplicates += added.duplicates
            if file != STDIN:
                stream.close()
    return imported


def total_bytes(paths: Sequence[Path]) -> int | None:
    """The size of everything that `paths` stand for; None where standard input is one of them."""
    if STDIN in paths:
        return None
    return sum(file.stat().st_size for file in _files(paths))


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path != STDIN and not path.exists():
            raise UserError(f"{path}: there is no such file or folder")
        found = [path] if path == STDIN else sources(path)
        if not found:
            raise UserError(
                f"{path}: the folder holds no .jsonl, .ndjson or .json file, packed with gzip or not"
            )
        files += found
    return files


@contextmanager
def _rejects(path: Path, files: Iterable[Path]) -> Iterator[BinaryIO]:
    """The file for rejected lines; it is not left behind empty."""
    if path.exists() and any(file != STDIN and path.samefile(file) for file in files):
        raise UserError(f"--rejects {path}: this is one of the files to import; choose another")
    try:
        sink = path.open("wb")
    except OSError as error:
        raise UserError(f"--rejects {path}: cannot be written: {error.strerror or error}") from error
    with sink:
        yield sink
        empty = sink.tell() == 0
    if empty and path.is_file():
        path.unlink()


def _records(items: Iterable[Record | Rejected], imported: Imported) -> Iterator[Record]:
    """The records of `items`; the rest goes into the account."""
    shown: Counter[Unread] = Counter()
    for item in items:
        if isinstance(item, Record):
            imported.workloads[Workload(item.client_id, item.workload_id)] += 1
            yield item
        else:
            _note(imported, item, shown)


def _note(imported: Imported, rejected: Rejected, shown: Counter[Unread]) -> None:
    imported.rejected[rejected.reason] += 1
    imported.unreadable += rejected.reason is Unread.UNREADABLE_SOURCE
    shown[rejected.reason] += 1
    if shown[rejected.reason] <= EXAMPLES:
        imported.examples.append(rejected)
