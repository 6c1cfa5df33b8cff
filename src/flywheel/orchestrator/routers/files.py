"""Files of the services, passed on to whoever asks, while they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from flywheel.hub import Download

SAVED = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}
"""Headers of what is to be saved and never shown: models and records may hold anybody's markup."""


def passed_on(download: Download, path: str) -> StreamingResponse:
    """The answer with a file."""
    headers = {
        **download.headers,
        **SAVED,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
    }
    return StreamingResponse(
        _closing(download), download.status, headers, media_type="application/octet-stream"
    )


def _closing(download: Download) -> Iterator[bytes]:
    try:
        yield from download.chunks
    finally:
        download.close()
