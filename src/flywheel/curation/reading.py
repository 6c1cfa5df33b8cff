"""Log files as they come in the wild, as a stream of records and of what could not be read.

JSON lines, a JSON array, several JSON objects in a row, gzip of any of them (told by content, not by name), a
folder of such files, a pipe. Memory is bounded by the longest line that is taken. Nothing is lost: what is
not a record comes out as a Rejected with its place and a reason of a closed list, its bytes go to `rejects`,
and reading goes on. Whether a record is good to learn from is decided later, by `flywheel.curation.curate`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

from flywheel.curation.envelope import NotARecord, Tags, records_in
from flywheel.models import Record

SUFFIXES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
"""Which files of a folder are read."""
LONGEST_LINE = 16 * 2**20
"""Bytes of the longest line that is taken; a longer one is reported."""

_CHUNK = 2**18
_ENOUGH = 4096  # Bytes from which to tell what a source is.
_GZIP = b"\x1f\x8b"
_GZIP_ONLY = 31  # zlib's `wbits`: a gzip header, the largest window.
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# Possessive quantifiers: a string that does not end costs no backtracking.
_STRING_END = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)


class Unread(StrEnum):
    """Why something in a source did not become a record."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_TIMESTAMP = "bad_timestamp"
    LINE_TOO_LONG = "line_too_long"
    # The rest concern a whole source; what comes before them in it is used.
    EMPTY_SOURCE = "empty_source"
    BINARY_SOURCE = "binary_source"
    TRUNCATED_SOURCE = "truncated_source"
    CORRUPT_GZIP = "corrupt_gzip"
    UNREADABLE_SOURCE = "unreadable_source"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something in a source that is not a record. `line` counts from 1, in an array elements."""

    source: str
    line: int | None
    reason: Unread
    detail: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.detail}"


class Readable(Protocol):
    """A file, a pipe, a body on its way."""

    def read(self, size: int, /) -> bytes: ...


def sources(path: Path) -> list[Path]:
    """The file itself, or the log files in and under a folder, by name. Hidden ones are left out."""
    if not path.is_dir():
        return [path]
    found = (each for each in path.rglob("*") if each.name.lower().endswith(SUFFIXES) and each.is_file())
    return sorted(each for each in found if not any(p.startswith(".") for p in each.relative_to(path).parts))


def read(
    stream: Readable,
    name: str,
    *,
    tags: Tags = Tags(),  # noqa: B008 - a frozen value
    rejects: BinaryIO | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Record | Rejected]:
    """Everything in `stream`, which messages call `name`.

    `tags` fill in a workload or client that a line does not name; `rejects` gets the bytes of every rejected
    line, fit to be imported again once mended; `progress` is told the number of bytes read, chunk by chunk.
    """
    source = _Source(name, tags, rejects)
    try:
        yield from source.records(_plain(_chunks(stream, progress)))
    except _Broken as broken:
        yield Rejected(name, None, broken.reason, broken.detail)


class _Broken(Exception):
    """The rest of the source cannot be read."""

    def __init__(self, reason: Unread, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def _chunks(stream: Readable, progress: Callable[[int], None] | None) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            if progress:
                progress(len(chunk))
            yield chunk
    except OSError as error:
        raise _Broken(Unread.UNREADABLE_SOURCE, f"reading failed: {error.strerror or error}") from error


def _plain(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, unpacked where they are gzip (of one or more members)."""
    first = next(chunks, b"")
    while 0 < len(first) < len(_GZIP) and (more := next(chunks, b"")):
        first += more
    if not first.startswith(_GZIP):
        yield first
        yield from chunks
        return
    unpacker = zlib.decompressobj(wbits=_GZIP_ONLY)
    begun = False  # Whether bytes went into this member.
    for chunk in chain((first,), chunks):
        rest = chunk
        while rest:
            try:
                unpacked = unpacker.decompress(rest, _CHUNK)
            except zlib.error as error:
                raise _Broken(
                    Unread.CORRUPT_GZIP, "the gzip data is damaged; the part before was read"
                ) from error
            begun = True
            if unpacked:
                yield unpacked
            rest = unpacker.unconsumed_tail
            if unpacker.eof:
                rest = unpacker.unused_data.lstrip(b"\0")  # Some tools pad with zeros.
                unpacker, begun = zlib.decompressobj(wbits=_GZIP_ONLY), False
    if begun:
        raise _Broken(Unread.TRUNCATED_SOURCE, "the gzip data ends too early; the part before that was read")


class _Source:
    """One source on its way through: its name, what it lacks, and where its rejected bytes go."""

    def __init__(self, name: str, tags: Tags, rejects: BinaryIO | None) -> None:
        self.name = name
        self.tags = tags
        self.rejects = rejects

    def records(self, chunks: Iterator[bytes]) -> Iterator[Record | Rejected]:
        head = b""
        for chunk in chunks:  # A pipe may hand it over in small pieces.
            head += chunk
            if len(head) > _ENOUGH:
                break
        head = head.removeprefix(_BOM)
        start = head.lstrip(_SPACE)
        if not start:
            raise _Broken(Unread.EMPTY_SOURCE, "is empty")
        if head.startswith(_UTF16):
            raise _Broken(Unread.BINARY_SOURCE, "is UTF-16 text; convert it to UTF-8")
        if b"\0" in head[:_ENOUGH]:
            raise _Broken(Unread.BINARY_SOURCE, "is a binary file, not JSON text")
        if start.startswith(b"["):
            yield from self._values(chain((start[1:],), chunks), array=True)
        elif start.split(b"\n", 1)[0].strip(_SPACE) == b"{":
            yield from self._values(chain((start,), chunks), array=False)
        else:
            yield from self._lines(chain((head,), chunks))

    def _lines(self, chunks: Iterator[bytes]) -> Iterator[Record | Rejected]:
        """JSON lines."""
        piece = _Piece(self._keep)
        number = 1
        try:
            for chunk in chunks:
                first, *others = chunk.split(b"\n")
                piece.add(first)
                for line in others:
                    yield from self._finished(number, piece)
                    number += 1
                    piece.add(line)
        except _Broken:
            yield from self._cut_off(number, piece)
            raise
        yield from self._finished(number, piece)

    def _values(self, chunks: Iterator[bytes], *, array: bool) -> Iterator[Record | Rejected]:
        """Objects in a row, or (`array`) the elements of an array whose opening bracket was taken off.

        They are found by their brackets, so that a broken element does not take its neighbours along.
        """
        piece = _Piece(self._keep)  # An element, or what stands between two of them.
        depth = number = 0
        in_string = escaped = False
        try:
            for chunk in chunks:
                start = at = 0
                if in_string:
                    end = _STRING_END.match(chunk, int(escaped))
                    if end is None:
                        escaped = _ends_escaped(chunk[int(escaped) :])
                        piece.add(chunk)
                        continue
                    in_string, at = False, end.end()
                for match in _TOKEN.finditer(chunk, at):
                    token = match.group()
                    if token == b'"':  # It does not end in this chunk.
                        in_string, escaped = True, _ends_escaped(chunk[match.end() :])
                        break
                    if token in (b"{", b"["):
                        if depth == 0:
                            piece.add(chunk[start : match.start()])
                            yield from self._between(number, piece)
                            start, number = match.start(), number + 1
                        depth += 1
                    elif token in (b"}", b"]") and depth:
                        depth -= 1
                        if depth == 0:
                            piece.add(chunk[start : match.end()])
                            yield from self._finished(number, piece)
                            start = match.end()
                    elif token == b"]" and array:
                        piece.add(chunk[start : match.start()])
                        start, array = match.end(), False
                piece.add(chunk[start:])
        except _Broken:
            yield from self._cut_off(number, piece)
            raise
        if depth or array:
            yield from self._cut_off(number, piece)
            raise _Broken(Unread.TRUNCATED_SOURCE, "the JSON ends too early; the part before that was read")
        yield from self._between(number, piece)

    def _finished(self, number: int, piece: _Piece) -> Iterator[Record | Rejected]:
        """What a complete line or element turns out to be."""
        text, size = piece.take()
        if text is None:
            self._keep(b"", end=b"\n")
            detail = f"is {size / 2**20:.0f} MiB long; up to {LONGEST_LINE / 2**20:.0f} MiB are taken"
            yield Rejected(self.name, number, Unread.LINE_TOO_LONG, detail)
            return
        text = text.strip(_SPACE)
        if not text:
            return
        try:
            yield from records_in(text, self.tags)
        except NotARecord as error:
            self._keep(text, end=b"\n")
            yield Rejected(self.name, number, Unread(error.reason), error.detail)

    def _between(self, number: int, piece: _Piece) -> Iterator[Rejected]:
        """What stands between two elements: commas and white space, or something that should not be there."""
        text, _ = piece.take()
        if text is None or (text := text.strip(_SPACE + b",")):
            self._keep(text or b"", end=b"\n")
            yield Rejected(self.name, number, Unread.NOT_AN_OBJECT, "is followed by something else")

    def _cut_off(self, number: int, piece: _Piece) -> Iterator[Rejected]:
        text, _ = piece.take()
        if text is None or text.strip(_SPACE + b","):
            self._keep(text or b"", end=b"\n")
            yield Rejected(self.name, number, Unread.NOT_JSON, "is cut off in the middle")

    def _keep(self, text: bytes, end: bytes = b"") -> None:
        if self.rejects is not None:
            self.rejects.write(text.replace(b"\n", b" ") + end)  # JSON has line breaks between tokens only.


class _Piece:
    """The bytes of one line or element as they come in; those of a too long one go straight to `keep`."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        self._parts.append(data)
        if self._size > LONGEST_LINE:
            for part in self._parts:
                self._keep(part)
            self._parts.clear()

    def take(self) -> tuple[bytes | None, int]:
        """The bytes, or None for a too long piece, and their number; the next piece begins."""
        size, self._size = self._size, 0
        text = b"".join(self._parts) if size <= LONGEST_LINE else None
        self._parts.clear()
        return text, size


def _ends_escaped(text: bytes) -> bool:
    """Whether the string text ends with a backslash that wants another character."""
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
