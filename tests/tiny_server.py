"""The local server as a process, for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    name: str = "test/tiny"


def start_server(spec: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    path = folder / "serving.json"
    path.write_text(json.dumps(spec), "utf-8")
    command = [sys.executable, "-m", "flywheel.serving", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
