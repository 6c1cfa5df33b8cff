"""Where the server is: as said, as the environment says, as `flywheel serve` recorded, or as usual."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

ADDRESS_FILE: Final = "serve.json"
DEFAULT_URL: Final = "http://127.0.0.1:8000"
DEFAULT_DATA: Final = Path(".flywheel")


def find(url: str | None = None, data: Path | str | None = None) -> str:
    """`url`, else FLYWHEEL_URL, else as recorded in `data` (FLYWHEEL_DATA, .flywheel), else the default."""
    folder = Path(data or os.environ.get("FLYWHEEL_DATA") or DEFAULT_DATA)
    found = url or os.environ.get("FLYWHEEL_URL") or recorded_address(folder) or DEFAULT_URL
    return found.rstrip("/")


def recorded_address(data: Path) -> str | None:
    """The API's address as `flywheel serve` recorded it in `data`; None where no server has."""
    try:
        recorded = json.loads((data / ADDRESS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    address = recorded.get("api") if isinstance(recorded, dict) else None
    return address if isinstance(address, str) else None
