"""The dashboard's static files, read once: content, type, hash, and the packed form for those who take it.

Every file lies under an address that holds the hash of all of them, `/assets/DIGEST/lib/api.js`. So browsers
keep files for good, a new version has new addresses, and modules, which import one another by relative paths,
never mix two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
PAGE = "index.html"
_PLACE = b"{{assets}}"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}
"""Said here because a machine's own table of types may differ."""


@dataclass(frozen=True)
class File:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str = field(init=False)
    """A quoted hash of the content."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", f'"{hashlib.sha256(self.content).hexdigest()[:32]}"')

    @cached_property
    def packed(self) -> bytes:
        """The content by gzip."""
        return gzip.compress(self.content, 6, mtime=0)


@dataclass(frozen=True)
class Assets:
    """The page, and the files that it asks for by their names under `digest`."""

    page: File
    digest: str
    files: Mapping[str, File]


def read_assets(folder: Path = FOLDER) -> Assets:
    """All files of `folder`; the page's `{{assets}}` becomes the address of the others."""
    found = {
        path.relative_to(folder).as_posix(): File(path.read_bytes(), _type(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    page = found.pop(PAGE)
    names = "\n".join(f"{name} {file.etag}" for name, file in found.items())
    digest = hashlib.sha256(names.encode()).hexdigest()[:16]
    content = page.content.replace(_PLACE, f"/assets/{digest}".encode())
    return Assets(File(content, page.media_type), digest, found)


def _type(path: Path) -> str:
    found = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return (
        f"{found}; charset=utf-8" if found.startswith(("text/", "application/json", "image/svg")) else found
    )
