"""How a training tells what it is doing: `progress.jsonl`, one JSON object per line, only ever added to.

The reader is another process, so a line is written with one call and is complete or, after a kill, the cut
last one.
"""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Event = Literal["started", "step", "validation", "saved", "completed", "failed"]


class Progress:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            self._append(b"\n")  # A kill cut the last line; the next one must not be glued to it.

    def emit(self, event: Event, **fields: Any) -> None:
        """Add a line. Numbers that JSON does not know (nan, inf) are written as null."""
        line = {"event": event, **{k: _plain(v) for k, v in fields.items()}, "timestamp": _now()}
        self._append(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def last(self) -> dict[str, Any]:
        """The last complete line, {} where there is none."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in reversed(lines):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
        return {}

    def _append(self, data: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, data)
        finally:
            os.close(file)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
