"""A world of several processes: workers and beats as children, their services served by the test over HTTP.

    python celery_world.py worker|beat FILE

is one of the children; FILE is a `Place` as JSON. They are what `flywheel worker` and `flywheel beat` are,
save that data sets are not uploaded anywhere, leases are short, and that the store keeps a trail of who had
which run when, for `audit`.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from flywheel import log
from flywheel.config import CeleryWakeups, MongoRuns, Settings
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.fake import FakeHub, FakeNemo
from flywheel.orchestrator.context import Context, Limits
from flywheel.orchestrator.services import Services
from flywheel.orchestrator.tasks import CeleryWaker
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.logs.embedded import FILE_NAME
from flywheel.stores.runs import Run
from flywheel.stores.runs.mongo import MongoRunStore
from flywheel.stores.schedules.mongo import MongoScheduleStore
from flywheel.worker import beat, work


@dataclass(frozen=True)
class Place:
    """Where everything is; `folder` holds the records, the trail and the children's logs."""

    folder: str
    settings: dict[str, Any]
    nemo: str
    proxy: str
    lease_s: float = 3.0
    poll_s: float = 0.05
    concurrency: int = 2

    def file(self, name: str) -> Path:
        return Path(self.folder) / name

    def context(self, name: str = "test") -> Context:
        settings = Settings.model_validate(self.settings)
        assert isinstance(settings.runs, MongoRuns)
        urls = ServiceUrls(self.nemo, self.nemo, self.nemo, self.nemo, self.nemo, self.proxy)
        limits = Limits(lease_s=self.lease_s, poll_s=self.poll_s, poll_max_s=self.poll_s, queue_s=60)
        return Context(
            settings=settings,
            runs=Audited(settings.runs, self.file("trail"), name),
            logs=EmbeddedLogStore(self.file(FILE_NAME)),
            services=Services.at(urls, FakeHub(FakeNemo())),
            schedules=MongoScheduleStore(settings.runs),
            limits=limits,
            environment={},
        )

    def waker(self) -> CeleryWaker:
        wakeups = Settings.model_validate(self.settings).wakeups
        assert isinstance(wakeups, CeleryWakeups)
        return CeleryWaker(wakeups)


class Audited(MongoRunStore):
    """Writes down who held which run from when to when, and who wrote which revision."""

    def __init__(self, config: MongoRuns, trail: Path, name: str) -> None:
        super().__init__(config)
        self._name = name
        self._trail = os.open(trail, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def lease(self, run_id: str, owner: str, seconds: float) -> float:
        wait = super().lease(run_id, owner, seconds)
        if wait == 0:
            self._note("lease", run_id, owner)
        return wait

    def apply(self, run: Run, change: Run, *, owner: str | None = None) -> Run:
        stored = super().apply(run, change, owner=owner)
        self._note("apply", run.id, owner, stored.revision)
        return stored

    def release(self, run_id: str, owner: str, again: float | None = None) -> None:
        self._note("release", run_id, owner)
        super().release(run_id, owner, again)

    def _note(self, what: str, run_id: str, owner: str | None, revision: int | None = None) -> None:
        line = [time.monotonic(), what, run_id, owner, revision, self._name]
        os.write(self._trail, (json.dumps(line) + "\n").encode())


def trail(place: Place) -> list[tuple[float, str, str, str | None, int | None, str]]:
    return sorted(tuple(json.loads(line)) for line in place.file("trail").read_text().splitlines())


def audit(place: Place, revisions: dict[str, int]) -> None:
    """No run was in two hands at once, and every revision up to the given one was written exactly once."""
    held: dict[str, dict[str, list[float]]] = defaultdict(dict)
    written: dict[str, list[int]] = defaultdict(list)
    for at, what, run_id, owner, revision, _ in trail(place):
        if revision is not None:
            written[run_id].append(revision)
        if owner is not None and (what == "lease" or owner in held[run_id]):
            held[run_id].setdefault(owner, []).append(at)
    for run_id, last in revisions.items():
        assert sorted(written[run_id]) == list(range(1, last + 1)), run_id
        spans = sorted((min(times), max(times)) for times in held[run_id].values())
        for (_, end), (begin, _) in itertools.pairwise(spans):
            assert end <= begin, f"run {run_id} was in two hands at once"


def asgi(nemo: FakeNemo, host: str, before: Any = lambda: None) -> Any:
    """An application that answers as `nemo` does at `host`; `before` is called first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        url = httpx.URL(host).copy_with(raw_path=scope["raw_path"] + b"?" + scope["query_string"])
        headers = [(k, v) for k, v in scope["headers"] if k != b"host"]
        before()
        request = httpx.Request(scope["method"], url, headers=headers, content=body)
        answer = nemo.handle_request(request)
        await send(
            {
                "type": "http.response.start",
                "status": answer.status_code,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(answer.content)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.content})

    return app


class Children:
    """Worker and beat processes, by name; their logs lie in the place's folder."""

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, name: str, place: Place) -> subprocess.Popen[bytes]:
        file = place.file(f"{name}.json")
        file.write_text(json.dumps(asdict(place)))
        with place.file(f"{name}.log").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, __file__, role, str(file)], stdout=output, stderr=subprocess.STDOUT
            )
        self.running[name] = child
        return child

    def kill(self, name: str) -> None:
        child = self.running.pop(name)
        child.kill()
        child.wait(20)

    def end(self) -> None:
        for child in self.running.values():
            child.send_signal(signal.SIGTERM)
        for child in self.running.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)


@contextmanager
def children() -> Iterator[Children]:
    with ExitStack() as stack:
        made = Children()
        stack.callback(made.end)
        yield made


def until(condition: Any, seconds: float = 60.0, say: Any = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain {say()}"
        time.sleep(0.05)


def finished(context: Context, run_ids: Iterable[str]) -> bool:
    return all(context.runs.load(run_id).finished for run_id in run_ids)


def main(role: str, file: Path) -> int:
    place = Place(**json.loads(file.read_text()))
    log.configure("INFO", as_json=False)
    context, waker = place.context(file.stem), place.waker()
    if role == "worker":
        return work(waker, context, concurrency=place.concurrency)
    wakeups = context.settings.wakeups
    assert isinstance(wakeups, CeleryWakeups)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    beat(waker, context, interval=wakeups.sweep_interval, stop=stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
