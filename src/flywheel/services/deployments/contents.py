"""What a served model is made of, as one hash, so that a changed model under its old name is told apart.

The hash is over what an engine reads of the folder: weights, tokenizer, template and configuration. A file is
read once; as long as its size and time stay, so does what is known of it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flywheel.hub import MODEL_FILES
from flywheel.log import get_logger

log = get_logger(__name__)

_CHUNK: Final = 1 << 22

Stamp = tuple[int, int, int]
"""Size, time of change in nanoseconds, inode."""


class Contents:
    """The hashes of folders, for as long as it lives; safe to use from any thread."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def sha256(self, folder: Path, over: Callable[[], bool] = lambda: False) -> str | None:
        """Of the names and contents of the model's files, as 64 hex digits.

        None where there are none, they cannot be read, or it is `over` meanwhile.
        """
        found = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
        content = hashlib.sha256()
        for name, file in sorted(found.items()):
            try:
                digest = self._of(file, over)
            except OSError as error:
                log.warning("a model's content is not known", extra={"file": str(file), "error": str(error)})
                return None
            if digest is None:
                return None
            content.update(f"{digest} {name}\n".encode())
        return content.hexdigest() if found else None

    def _of(self, file: Path, over: Callable[[], bool]) -> str | None:
        with file.open("rb") as stream:
            stamp = _stamp(file)
            with self._lock:
                known = self._files.get(file)
            if known and known[0] == stamp:
                return known[1]
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK):
                if over():
                    return None
                digest.update(chunk)
        with self._lock:
            self._files[file] = (stamp, digest.hexdigest())
        return digest.hexdigest()


def _files(folder: Path) -> set[Path]:
    """Those of the folder itself, and the small ones that say how parts of it are used (`1_Pooling`)."""
    found = {file for pattern in MODEL_FILES for file in folder.glob(pattern)}
    return {file for file in found | set(folder.glob("*/config.json")) if file.is_file()}


def _stamp(file: Path) -> Stamp:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
