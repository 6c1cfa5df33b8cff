"""What the customizer meets in these tests: a slow training program, a hub, an entity store."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from flywheel.errors import UpstreamError

STAND_IN = Path(__file__).with_name("stand_in_training.py")


class Control:
    """Steers the stand-in training program by files in `folder`, and sees what it did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, spec: Path, gpus: int) -> tuple[str, ...]:
        return (sys.executable, str(STAND_IN), str(spec), str(self.folder))

    def allow(self, *steps: int) -> None:
        for step in steps or (1, 2, 3, 4):
            (self.folder / f"step-{step}").touch()

    def fail(self, reason: str) -> None:
        (self.folder / "fail").write_text(reason)

    @property
    def starts(self) -> int:
        """How often training was started."""
        path = self.folder / "starts"
        return len(path.read_text()) if path.exists() else 0

    @property
    def trained_steps(self) -> list[int]:
        path = self.folder / "trained"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


class MemoryHub:
    """Repositories in memory, with the calls of `flywheel.hub.Hub` that the customizer makes."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str, str], dict[str, bytes]] = {}
        self.broken: str | None = None
        self.uploads = 0

    def put(self, repo_id: str, files: Mapping[str, str], repo_type: str = "dataset") -> None:
        content = {path: text.encode() for path, text in files.items()}
        self.repos[repo_type, repo_id, "main"] = content

    def exists(self, repo_id: str, *, repo_type: str) -> bool:
        return any(key[:2] == (repo_type, repo_id) for key in self.repos)

    def upload(
        self, repo_id: str, files: Mapping[str, Path], *, repo_type: str, revision: str, message: str
    ) -> str:
        self._maybe_fail()
        self.uploads += 1
        repo = self.repos.setdefault((repo_type, repo_id, revision), {})
        repo |= {name: path.read_bytes() for name, path in files.items()}
        return "0" * 40

    def download(
        self,
        repo_id: str,
        into: Path,
        *,
        repo_type: str,
        revision: str = "main",
        patterns: Sequence[str] | None = None,
    ) -> Path:
        self._maybe_fail()
        into.mkdir(parents=True)
        for name, content in self.repos[repo_type, repo_id, revision].items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(content)
        return into

    def _maybe_fail(self) -> None:
        if self.broken:
            raise UpstreamError(self.broken)


class MemoryEntityStore:
    """`/v1/models` and `/v1/datasets` in memory; `transport` goes into an EntityStoreClient."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.down = False
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            return httpx.Response(500, json={"detail": "the entity store is down"})
        path = request.url.path.removeprefix("/v1/")
        body = json.loads(request.content) if request.content else {}
        if request.method == "POST":
            key = f"{path}/{body['namespace']}/{body['name']}"
            self.entities[key] = body
            return httpx.Response(200, json=body)
        if path == "models":
            page = request.url.params.get("page", "1")
            models = [doc for key, doc in self.entities.items() if key.startswith("models/")]
            return httpx.Response(200, json={"data": models if page == "1" else []})
        if path not in self.entities:
            return httpx.Response(404, json={"detail": "not found"})
        if request.method == "PATCH":
            self.entities[path] = {**self.entities[path], **body}
        return httpx.Response(200, json=self.entities[path])

    def artifact(self, model: str) -> dict[str, Any]:
        artifact: dict[str, Any] = self.entities[f"models/{model}"]["artifact"]
        return artifact


def until(met: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for another thread or process to get somewhere; there is nothing to subscribe to."""
    tick, end = threading.Event(), time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        tick.wait(0.02)


def rows(count: int) -> str:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    return "".join(json.dumps({"messages": messages, "n": n}) + "\n" for n in range(count))


def numbers(path: Path) -> list[int]:
    """The rows' numbers in a file that `rows` was written to."""
    return [int(found) for found in re.findall(r'"n": (\d+)', path.read_text())]
