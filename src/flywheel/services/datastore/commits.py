"""Reading a commit off the wire: newline-delimited JSON, a header and then one operation a line.

A line may hold a whole file in base64, so it may be larger than memory. Lines up to a mebibyte are parsed as
JSON; in a longer one the file's content is cut out as it comes by, decoded straight into the blob store, and
the rest is parsed as JSON. Nothing is committed here: what comes out is the wish.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from flywheel.services.datastore.errors import BadPath, BadUpload
from flywheel.services.datastore.git import File, blob_oid, lfs_file, lfs_pointer
from flywheel.stores.files import Blobs, BlobWriter

_WHOLE_LINE: Final = 1 << 20
_CONTENT: Final = re.compile(rb'[{,]\s*"content"\s*:\s*"')
_POINTER: Final = re.compile(rb"version \S+\noid sha256:([0-9a-f]{64})\nsize (\d+)\n")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Put:
    """The file at `path` is to be `file`, whose content is stored."""

    path: str
    file: File


@dataclass(frozen=True, slots=True)
class Remove:
    """What is at `path` is to go: a file, or a folder with all that is in it."""

    path: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """`parent`, where given, is the commit that the branch has to be at."""

    summary: str
    description: str
    parent: str | None
    operations: tuple[Put | Remove, ...]

    @property
    def message(self) -> str:
        return f"{self.summary}\n\n{self.description}" if self.description else self.summary


def check_path(path: str) -> str:
    """`path`, if it may name a file in a repository and in the folder of who downloads it; else BadPath."""
    if not path or len(path.encode(errors="replace")) > 1024:
        raise BadPath(path, "a path has 1 to 1024 bytes")
    if _CONTROL.search(path):
        raise BadPath(path, "there are no control characters and no backslashes in a path")
    for part in path.split("/"):
        if part in ("", ".", "..") or part.lower() == ".git" or len(part.encode(errors="replace")) > 255:
            raise BadPath(path, "its parts are names of up to 255 bytes; '', '.', '..' and '.git' are none")
    return path


def read_commit(chunks: Iterable[bytes], blobs: Blobs) -> Commit:
    """The commit whose wire form is `chunks`; its new files' contents are in `blobs` then.

    Raises BadUpload and BadPath for what is not well-formed, StorageFull when the disk is.
    """
    lines = _Lines(chunks)
    header: dict[str, Any] | None = None
    operations: list[Put | Remove] = []
    for number, line in enumerate(_parsed(lines, blobs), 1):
        key, value, file = line
        if key == "header":
            header = value
        elif header is None:
            raise BadUpload(f"line {number} of the commit is {key!r}: the first line has to be the header")
        else:
            operations.append(_operation(number, key, value, file, blobs))
    if header is None:
        raise BadUpload("the commit has no header line")
    parent = header.get("parentCommit")
    return Commit(
        summary=str(header.get("summary") or ""),
        description=str(header.get("description") or ""),
        parent=str(parent) if parent else None,
        operations=tuple(operations),
    )


class _Lines:
    """A buffer in front of `chunks` that never holds much more than one of them and `_WHOLE_LINE`."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.buffer = bytearray()
        self.ended = False

    def more(self) -> bool:
        """Take another chunk in; False when there is none."""
        for chunk in self._chunks:
            self.buffer += chunk
            return True
        self.ended = True
        return False

    def line(self) -> bytes | None:
        """The next line without its end; None if it is longer than `_WHOLE_LINE`, with its start buffered."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > _WHOLE_LINE:
                return None
            if not self.more():
                end = searched
                break
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def until_quote(self) -> Iterator[bytes]:
        """The rest of a JSON string that holds no quotes, in pieces; what follows it stays."""
        while (end := self.buffer.find(b'"')) < 0:
            yield bytes(self.buffer)
            self.buffer.clear()
            if not self.more():
                raise BadUpload("the commit ends within a file's content")
        yield bytes(self.buffer[:end])
        del self.buffer[: end + 1]


def _parsed(lines: _Lines, blobs: Blobs) -> Iterator[tuple[str, dict[str, Any], File | None]]:
    """Key and value of each line, and the file whose content was cut out of it."""
    while lines.buffer or lines.more():
        line, file = lines.line(), None
        if line is None:
            line, file = _cut(lines, blobs)
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
            yield str(record["key"]), dict(record["value"]), file
        except (ValueError, KeyError, TypeError) as e:
            raise BadUpload(f"{line[:80]!r} is no line of a commit: it has no key and value") from e


def _cut(lines: _Lines, blobs: Blobs) -> tuple[bytes, File]:
    """A long line without the content that makes it long, and that content."""
    found = _CONTENT.search(lines.buffer)
    if found is None:
        raise BadUpload(f"{bytes(lines.buffer[:80])!r}…: a line this long has to be a file with its content")
    head = bytes(lines.buffer[: found.end()])
    del lines.buffer[: found.end()]
    with blobs.writer("a file of the commit") as blob:
        _decode(lines.until_quote(), blob)
    tail = lines.line()
    if tail is None:
        raise BadUpload("a file's line goes on too long after its content")
    oid = blob_oid(blob.size, blobs.chunks(blob.sha256))
    return head + b'"' + tail, File(oid, blob.size, blob.sha256)


def _decode(pieces: Iterable[bytes], blob: BlobWriter) -> None:
    left = b""
    try:
        for piece in pieces:
            text = left + piece
            if b"\\" in text:  # Line ends, and slashes as some writers of JSON escape them.
                text = text.replace(b"\\n", b"").replace(b"\\r", b"").replace(b"\\/", b"/")
            whole = len(text) - len(text) % 4 - 4 * text.endswith(b"\\")
            blob.write(base64.b64decode(text[:whole], validate=True))
            left = text[whole:]
        blob.write(base64.b64decode(left, validate=True))
    except binascii.Error as e:
        raise BadUpload(f"a file's content is not base64: {e}") from e


def _operation(number: int, key: str, value: dict[str, Any], file: File | None, blobs: Blobs) -> Put | Remove:
    path = value.get("path")
    if not isinstance(path, str):
        raise BadUpload(f"line {number} of the commit ({key}) names no path")
    path = check_path(path.rstrip("/") if key == "deletedFolder" else path)
    match key:
        case "file":
            return Put(path, file if file and _is_base64(path, value) else _small_file(path, value, blobs))
        case "lfsFile":
            return Put(path, _uploaded(path, value, blobs))
        case "deletedFile" | "deletedFolder":
            return Remove(path, folder=key == "deletedFolder")
    raise BadUpload(
        f"line {number} of the commit is {key!r}: expected file, lfsFile, deletedFile or deletedFolder"
    )


def _is_base64(path: str, value: dict[str, Any]) -> bool:
    if value.get("encoding", "base64") != "base64":
        raise BadUpload(f"{path}: content of this size has to be encoded as base64")
    return True


def _small_file(path: str, value: dict[str, Any], blobs: Blobs) -> File:
    content, encoding = value.get("content"), value.get("encoding", "base64")
    if not isinstance(content, str) or encoding not in ("base64", "utf-8"):
        raise BadUpload(f"{path}: a file needs its content, as text, in the encoding base64 or utf-8")
    try:
        data = content.encode()
        if encoding == "base64":
            data = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, UnicodeEncodeError) as e:
        raise BadUpload(f"{path}: its content is not {encoding}: {e}") from e
    pointer = _POINTER.fullmatch(data)
    if pointer and (size := blobs.size(pointer[1].decode())) is not None:
        sha256 = pointer[1].decode()
        if data == lfs_pointer(sha256, size):  # What git-lfs would have committed for the large file itself.
            return lfs_file(sha256, size)
    return File(blob_oid(len(data), [data]), len(data), blobs.put(data, path))


def _uploaded(path: str, value: dict[str, Any], blobs: Blobs) -> File:
    sha256, declared = value.get("oid"), value.get("size")
    try:
        size = (
            blobs.size(sha256)
            if isinstance(sha256, str) and value.get("algo", "sha256") == "sha256"
            else None
        )
    except ValueError as e:
        raise BadUpload(f"{path}: {e}") from e
    if size is None or not isinstance(sha256, str):
        raise BadUpload(f"{path}: the content {sha256!r} was not uploaded before the commit")
    if declared is not None and declared != size:
        raise BadUpload(f"{path}: it is said to have {declared} bytes, {size} were uploaded")
    return lfs_file(sha256, size)
