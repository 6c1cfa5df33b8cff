"""An evaluator with everything around it: rows in a folder, a scripted model, a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from flywheel.fake_chat import Reply, ScriptedChat
from flywheel.hub import HubNotFound
from flywheel.nemo.evaluation import EvaluationClient, EvaluationJob
from flywheel.services.evaluator.router import router
from flywheel.services.evaluator.service import EvaluatorService
from serving_apps import nemo_app, serve_app

FILES_URL = "hf://datasets/ns/holdout/eval_data.jsonl"


class FolderHub:
    """A hub whose repositories are folders below one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.downloads = 0

    def download(
        self,
        repo_id: str,
        into: Path,
        *,
        repo_type: str,
        revision: str = "main",
        patterns: Sequence[str] | None = None,
    ) -> Path:
        if not (self.root / repo_id).is_dir():
            raise HubNotFound(repo_id, revision, "folder")
        self.downloads += 1
        shutil.copytree(self.root / repo_id, into)
        return into


def call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": "call_1", "type": "function", "function": function}


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A log record; every fifth is answered in words."""
    question = {"role": "user", "content": f"order {number}"}
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("order", {"n": number})],
    }
    if number % 5 == 4:
        message = {"role": "assistant", "content": "Anything else?"}
    tools = [{"type": "function", "function": {"name": "order", "parameters": {"type": "object"}}}]
    return {
        "timestamp": 1700000000 + number,
        "workload_id": "w",
        "client_id": "c",
        "request": {"messages": [question], "tools": tools, "tool_choice": "auto"},
        "response": {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]},
    } | changes


def number_of(body: Mapping[str, Any]) -> int:
    return int(str(body["messages"][-1]["content"]).split()[-1])


def right(body: dict[str, Any]) -> Reply:
    """A model that always agrees with `record`."""
    number = number_of(body)
    return Reply("Anything else?") if number % 5 == 4 else Reply(calls=[("order", {"n": number})])


async def hurried(seconds: float) -> None:
    """Sleeps a thousand times shorter."""
    await asyncio.sleep(seconds / 1000)


class Client(EvaluationClient):
    """The product's client, with its address for what only tests call."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Room:
    """Rows, model and evaluator; `url` is the evaluator's, `service` the thing itself."""

    def __init__(
        self,
        folder: Path,
        chat: ScriptedChat,
        model_url: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.transport = transport
        self.folder = folder
        self.chat = chat
        self.model_url = model_url
        self.hub = FolderHub(folder / "hub")

    def put_rows(self, rows: Sequence[Mapping[str, Any]], path: str = "ns/holdout/eval_data.jsonl") -> None:
        file = self.hub.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    @contextmanager
    def evaluator(self, **settings: Any) -> Iterator[Client]:
        """A service on this room's data, started and served; stopped at the end."""
        usual = {"hub_at": lambda endpoint: self.hub, "sleep": hurried, "transport": self.transport}
        service = EvaluatorService(
            self.folder / "evaluator", "http://datastore.test", self.model_url, **(usual | settings)
        )
        service.start()
        try:
            with serve_app(nemo_app("evaluator", router(service))) as url:
                client = Client(url)
                yield client
                client.close()
        finally:
            service.stop()


def room_with(
    folder: Path,
    script: Callable[[dict[str, Any]], Reply],
    models: Sequence[str] | Mapping[str, str] = ("student",),
) -> Room:
    """A room whose model answers in this process, without a socket."""
    chat = ScriptedChat(script, models)
    return Room(folder, chat, "http://models.test", chat.transport())


@contextmanager
def served_room_with(
    folder: Path, script: Callable[[dict[str, Any]], Reply], models: Sequence[str] = ("student",)
) -> Iterator[Room]:
    """A room whose model is a server, for evaluators in other processes."""
    chat = ScriptedChat(script, models)
    with serve_app(chat.app) as url:
        yield Room(folder, chat, url)


def finished(client: EvaluationClient, job_id: str, within_s: float = 20) -> EvaluationJob:
    """The job once it has ended; meanwhile progress only grows and the state is one that BP knows."""
    deadline, progress, samples = time.monotonic() + within_s, 0.0, 0
    while True:
        job = client.job(job_id)
        details = job.status_details
        assert job.status in ("created", "running", "completed", "failed", "cancelled")
        assert details.progress is not None
        assert progress <= details.progress <= 100.0
        assert samples <= (details.samples_processed or 0)
        progress, samples = details.progress, details.samples_processed or 0
        if job.finished:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
