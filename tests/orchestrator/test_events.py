"""Server-sent events over real connections: what is told, to whom, and when streams end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.watching import Watch
from flywheel.orchestrator.workflow import advance
from flywheel.stores.runs import EmbeddedRunStore
from flywheel.stores.runs.errors import RunStoreAway
from flywheel.web import make_app
from run_world import World
from serving_apps import serve_app

PATIENCE = httpx.Timeout(20)


@dataclass
class Event:
    event: str
    id: str | None
    data: Any


@dataclass
class Stream:
    """One open stream, read event by event."""

    response: httpx.Response
    comments: list[str] = field(default_factory=list)
    last_id: str | None = None

    def __post_init__(self) -> None:
        self._events = self._read()

    def next(self) -> Event:
        return next(self._events)

    def rest(self) -> list[Event]:
        return list(self._events)

    def _read(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in self.response.iter_lines():
            name, _, value = line.partition(": ")
            if not line:
                if "data" in fields:
                    yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
                fields = {}
            elif not name:
                self.comments.append(value)
            else:
                fields[name] = value
                self.last_id = value if name == "id" else self.last_id


class Counted:
    """A store of runs that counts the looks at it, and may be away."""

    def __init__(self, store: EmbeddedRunStore) -> None:
        self._store, self.looks, self.away = store, 0, False

    def changed(self, since: str | None) -> Any:
        self.looks += 1
        if self.away:
            raise RunStoreAway("test://", "it is away")
        return self._store.changed(since)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Served:
    """An API process of its own on the world's stores."""

    url: str
    watch: Watch
    runs: Counted
    stack: ExitStack

    def listen(self, path: str, last: str | None = None) -> Stream:
        headers = {"Last-Event-ID": last} if last is not None else {}
        http = self.stack.enter_context(httpx.Client(timeout=PATIENCE))
        return Stream(self.stack.enter_context(http.stream("GET", self.url + path, headers=headers)))


@contextmanager
def served(here: World) -> Iterator[Served]:
    runs = Counted(EmbeddedRunStore(here.context.runs._db.path, clock=here.clock))
    context = replace(here.context, runs=runs)
    watch = Watch(runs, interval_s=0.02)
    app = make_app("test", "problem", routers(context, lambda _: None, watch))
    with ExitStack() as stack:
        url = stack.enter_context(serve_app(app))
        with ExitStack() as streams:
            yield Served(url, watch, runs, streams)
            watch.close()
    runs.close()


@pytest.fixture
def here(world) -> World:
    return world(FakeNemo(polls=2))


def step(here: World, run_id: str) -> None:
    here.clock.now += advance(run_id, here.context).seconds or 0


def until(condition) -> None:
    """Wait for what another thread does; it is a matter of milliseconds."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_run_is_told_at_once_then_as_it_changes_and_then_the_end(here):
    run_id = here.start()
    with served(here) as api:
        stream = api.listen(f"/api/jobs/{run_id}/events")
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-cache"
        assert stream.response.headers["x-accel-buffering"] == "no"
        first = stream.next()
        assert (first.event, first.id, first.data["status"], first.data["percent"]) == (
            "run",
            "0",
            "pending",
            0,
        )

        step(here, run_id)
        second = stream.next()
        assert (second.data["status"], int(second.id) > 0) == ("running", True)
        here.finish(run_id)
        *changes, end = stream.rest()

    revisions = [int(event.id) for event in changes]
    assert revisions == sorted(set(revisions))
    last = changes[-1].data
    assert (last["status"], last["percent"], last["step"]) == ("completed", 100.0, "finished")
    assert last["decision"]["model_name"] == "test/student"
    assert last["progress"]["candidates"][0]["evaluations"]["base-eval"]["status"] == "completed"
    (curves,) = last["losses"]
    assert curves["model_name"] == "test/student"
    assert curves["train"][0] == [1, 0.995]
    assert (end.event, end.data) == ("end", {"status": "completed"})


def test_a_finished_run_is_told_once_and_its_stream_ends(here):
    run_id = here.start()
    here.finish(run_id)
    with served(here) as api:
        assert [event.event for event in api.listen(f"/api/jobs/{run_id}/events").rest()] == ["run", "end"]


def test_who_comes_back_is_not_told_what_was_seen_but_what_is_new(here):
    run_id = here.start()
    with served(here) as api:
        seen = api.listen(f"/api/jobs/{run_id}/events").next().id
        again = api.listen(f"/api/jobs/{run_id}/events", last=seen)
        step(here, run_id)
        assert int(again.next().id) > int(seen)
        older = api.listen(f"/api/jobs/{run_id}/events", last=seen)
        assert int(older.next().id) > int(seen)


@pytest.mark.parametrize(("run_id", "status"), [("f" * 24, 404), ("nonsense", 400)])
def test_a_run_that_is_not_there_has_no_stream(here, run_id, status):
    with served(here) as api:
        answer = httpx.get(f"{api.url}/api/jobs/{run_id}/events")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_listeners_of_two_processes_hear_of_a_run_that_a_third_advances(here):
    run_id = here.start()
    with served(here) as one, served(here) as other:
        streams = [api.listen(f"/api/jobs/{run_id}/events") for api in (one, one, other)]
        for stream in streams:
            assert stream.next().id == "0"
        here.finish(run_id)
        for stream in streams:
            assert stream.rest()[-1].event == "end"


def test_the_list_tells_what_is_created_changed_and_deleted(here):
    old = here.start()
    with served(here) as api:
        stream = api.listen("/api/events")
        until(lambda: api.runs.looks > 1)
        new = here.start()
        created = stream.next()
        assert (created.event, created.data["id"], created.data["status"]) == ("run", new, "pending")
        assert {"percent", "decision", "trigger", "workload_id", "datasets"} <= set(created.data)
        run = here.run(old)
        here.context.runs.apply(run, run.but(cancel_requested=True))
        changed = stream.next()
        assert (changed.data["id"], changed.data["cancel_requested"]) == (old, True)

        run = here.run(new)
        here.context.runs.apply(run, run.but(step="erase"))
        assert stream.next().data["step"] == "erase"
        here.context.runs.delete(new)
        gone = stream.next()
        assert (gone.event, gone.data) == ("gone", {"id": new})


def test_who_comes_back_to_the_list_is_told_what_changed_meanwhile(here):
    with served(here) as api:
        stream = api.listen("/api/events")
        until(lambda: api.runs.looks > 1)
        first = here.start()
        assert stream.next().data["id"] == first
        stream.response.close()
        second, third = here.start(), here.start()
        again = api.listen("/api/events", last=stream.last_id)
        told = [again.next().data["id"]]
        while third not in told:
            told.append(again.next().data["id"])
        assert second in told


def test_many_listeners_cost_one_look_and_no_thread_each(here):
    run_id = here.start()
    others = set(threading.enumerate())
    with served(here) as api, ThreadPoolExecutor(60) as pool:
        streams = list(pool.map(lambda _: api.listen(f"/api/jobs/{run_id}/events"), range(60)))
        assert {stream.next().id for stream in streams} == {"0"}
        answers = pool.map(lambda _: httpx.get(f"{api.url}/api/jobs/{run_id}", timeout=PATIENCE), range(20))
        assert {answer.status_code for answer in answers} == {200}
        started = set(threading.enumerate()) - others
        assert len([t for t in started if t.name.startswith("AnyIO")]) <= 40
        before, began = api.runs.looks, time.monotonic()
        until(lambda: api.runs.looks >= before + 5)
        looks, seconds = api.runs.looks - before, time.monotonic() - began
        assert looks <= seconds / 0.02 + 2
        step(here, run_id)
        assert len({stream.next().data["status"] for stream in streams}) == 1


def test_nobody_listening_costs_nothing(here):
    run_id = here.start()
    with served(here) as api:
        stream = api.listen(f"/api/jobs/{run_id}/events")
        stream.next()
        api.stack.close()
        until(lambda: api.watch._looking is None)
        looks = api.runs.looks
        time.sleep(0.2)
        assert api.runs.looks == looks


def test_a_server_that_shuts_down_ends_its_streams(here):
    run_id = here.start()
    with served(here) as api:
        streams = [api.listen(path) for path in (f"/api/jobs/{run_id}/events", "/api/events")]
        streams[0].next()
        until(lambda: len(api.watch._listeners) == 2)
        api.watch.close()
        assert [stream.rest() for stream in streams] == [[], []]
        late = api.listen("/api/events")
        assert late.rest() == []


def test_a_store_that_is_away_for_a_while_ends_no_stream(here, caplog):
    run_id = here.start()
    with served(here) as api:
        stream = api.listen(f"/api/jobs/{run_id}/events")
        stream.next()
        api.runs.away = True
        looks = api.runs.looks
        until(lambda: api.runs.looks > looks + 3)
        step(here, run_id)
        api.runs.away = False
        assert stream.next().data["status"] == "running"
    assert caplog.text.count("changes of runs cannot be seen") == 1
