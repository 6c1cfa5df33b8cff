"""Files by content: a blob's name is the sha256 of its bytes, so it never changes and is kept once.

Bytes are streamed, never whole in memory. A blob appears under its name only when all of it is on the disk:
`kill -9`, a power cut or a full disk leave no half of one. What refers to a blob is somebody else's record;
`collect` asks for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from flywheel.errors import StorageFull

CHUNK: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BlobWriter:
    """A blob on its way. `write` what it holds, then read `size` and `sha256`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _create(path: Path) -> BinaryIO:
    return path.open("xb")


class Blobs:
    """The blobs under one folder; safe to use from any thread. `create` opens a new file."""

    def __init__(self, root: Path, create: Callable[[Path], BinaryIO] = _create) -> None:
        self._root, self._create = root, create
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def discard_incoming(self) -> None:
        """Remove what an earlier process did not finish. Only for who has the folder to themselves."""
        for path in self._incoming.iterdir():
            path.unlink()

    @contextmanager
    def writer(self, what: str) -> Iterator[BlobWriter]:
        """Write a new blob, which is kept when the block ends without an error, and only then.

        Raises StorageFull, saying that `what` was not stored.
        """
        temporary = self._incoming / uuid.uuid4().hex
        try:
            with self._create(temporary) as file:
                blob = BlobWriter(file)
                yield blob
                file.flush()
                os.fsync(file.fileno())
            self._keep(temporary, blob.sha256)
        except OSError as e:
            if e.errno in _FULL:
                raise StorageFull(what) from e
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, data: bytes, what: str) -> str:
        """Store `data` and return its sha256."""
        with self.writer(what) as blob:
            blob.write(data)
        return blob.sha256

    def path(self, sha256: str) -> Path:
        """Where the blob is if it is there; raises ValueError for what is no sha256."""
        if not _DIGEST.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no sha256")
        return self._root / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """The blob's size in bytes; None if it is not there."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def touch(self, sha256: str) -> bool:
        """Whether the blob is there; if so, it counts as just stored (see `collect`)."""
        try:
            os.utime(self.path(sha256))
        except FileNotFoundError:
            return False
        return True

    def chunks(self, sha256: str) -> Iterator[bytes]:
        """The blob's bytes, at most `CHUNK` at a time."""
        with self.path(sha256).open("rb") as file:
            while data := file.read(CHUNK):
                yield data

    def collect(self, candidates: Iterable[str], min_age_s: float) -> int:
        """Remove those of `candidates` that were stored more than `min_age_s` ago; how many that were.

        The age protects what was stored for a commit that is still being made.
        """
        removed, latest = 0, time.time() - min_age_s
        for sha256 in candidates:
            path = self.path(sha256)
            try:
                if path.stat().st_mtime > latest:
                    continue
                path.unlink()
            except FileNotFoundError:
                continue
            removed += 1
        return removed

    def all(self, min_age_s: float = 0.0) -> Iterator[str]:
        """The sha256 of every blob that was stored at least `min_age_s` ago."""
        latest = time.time() - min_age_s
        for folder in self._root.iterdir():
            if folder != self._incoming and folder.is_dir():
                yield from (path.name for path in folder.iterdir() if path.stat().st_mtime <= latest)

    def _keep(self, temporary: Path, sha256: str) -> None:
        path = self.path(sha256)
        if self.touch(sha256):
            return
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            _sync_folder(self._root)
        temporary.rename(path)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
