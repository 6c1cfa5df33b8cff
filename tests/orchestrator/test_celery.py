"""Wake-ups by Celery: killed workers, a Redis that forgets, a MongoDB that goes away; nothing is lost."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
import redis
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from celery_world import Children, Place, asgi, audit, children, finished, trail, until
from flywheel.config import CeleryWakeups
from flywheel.errors import ConfigError
from flywheel.nemo.fake import NEMO_URL, PROXY_URL, FakeNemo
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.scheduling.service import Schedules
from flywheel.orchestrator.tasks import BrokerAway, CeleryWaker
from run_world import make_records, nim, settings
from servers import testbed as start_server
from serving_apps import serve_app

BODY = {"workload_id": "tool_router", "client_id": "support-app"}
SECRET = "s3cret/of:the@broker"
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def place(tmp_path: Path, mongo_url: str, redis_url: str) -> Iterator[Callable[..., Place]]:
    """Makes the place of a test: records, fake services, a database and a queue of its own."""
    make_records(tmp_path).close()
    with ExitStack() as stack:

        def make(
            nemo: FakeNemo,
            *,
            mongo: str = mongo_url,
            broker: str = redis_url,
            slots: int = 1,
            before: Any = lambda: None,
            **changes: Any,
        ) -> Place:
            name = f"test-{uuid4().hex[:12]}"
            using = settings(nim(), parallelism=slots).model_dump(mode="json")
            using["runs"] = {"type": "mongo", "url": mongo, "database": name, "request_timeout": 2}
            using["wakeups"] = {
                "type": "celery",
                "broker_url": broker,
                "queue": name,
                "sweep_interval": 0.5,
            }
            stack.callback(_drop, mongo, name)
            return Place(
                folder=str(tmp_path),
                settings=using,
                nemo=stack.enter_context(serve_app(asgi(nemo, NEMO_URL, before))),
                proxy=stack.enter_context(serve_app(asgi(nemo, PROXY_URL))),
                **changes,
            )

        yield make


def _drop(url: str, database: str) -> None:
    client = MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=500)
    with client, suppress(PyMongoError):  # A server that the test has stopped.
        client.drop_database(database)


@pytest.fixture
def processes() -> Iterator[Children]:
    with children() as made:
        yield made


class Here:
    """This process as the API's: it starts runs and looks at them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.context: Context = place.context()
        self.waker = place.waker()
        self.jobs = Jobs(self.context, self.waker.wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.waker.close()
        self.context.schedules.close()
        self.context.runs.close()
        self.context.logs.close()
        self.context.services.close()

    def start(self, count: int) -> list[str]:
        return [self.jobs.start(BODY).id for _ in range(count)]

    def ended(self, ids: list[str], seconds: float = 60) -> dict[str, int]:
        """Wait for the end of the runs; their revisions."""
        until(lambda: finished(self.context, ids), seconds, lambda: self.states(ids))
        runs = [self.context.runs.load(run_id) for run_id in ids]
        assert {run.status for run in runs} == {"completed"}, [run.error for run in runs]
        return {run.id: run.revision for run in runs}

    def states(self, ids: list[str]) -> list[tuple[str, str, int]]:
        runs = [self.context.runs.load(run_id) for run_id in ids]
        return [(run.id, run.step, run.revision) for run in runs]


def nothing_twice(nemo: FakeNemo, runs: int) -> None:
    assert nemo.calls["POST /v1/customization/jobs"] == runs
    assert nemo.calls["POST /v1/evaluation/jobs"] == 3 * runs
    assert nemo.calls["POST /v1/deployment/model-deployments"] == runs
    assert nemo.open_jobs == []


def test_two_workers_and_two_beats_advance_thirty_runs_each_in_one_hand_at_a_time(place, processes):
    nemo = FakeNemo(polls=1)
    here = place(nemo, slots=6)
    with Here(here) as api:
        ids = api.start(30)
        for name in ("one", "two"):
            processes.start("worker", f"worker-{name}", here)
            processes.start("beat", f"beat-{name}", here)
        revisions = api.ended(ids, 200)
        nothing_twice(nemo, 30)
        audit(here, revisions)
        assert {name for *_, name in trail(here) if name != "test"} == {"worker-one", "worker-two"}


STEPS = [
    "POST /v1/datasets",
    "POST /v1/deployment/model-deployments",
    "POST /v1/evaluation/jobs",
    "POST /v1/customization/jobs",
    "GET /v1/customization/jobs/{}/status",
    "GET /v1/evaluation/jobs/{}/results",
    "DELETE /v1/deployment/model-deployments/{}",
]


def test_a_worker_killed_at_every_step_costs_nothing_twice(place, processes):
    left, killed = set(STEPS), []

    def kill_who_asks(name: str, when: str) -> None:
        if when == "after" and name in left and len(processes.running) == 3:
            left.discard(name)
            holder = [who for _, what, _, _, _, who in trail(here) if what == "lease"][-1]
            processes.kill(holder)
            killed.append(holder)

    nemo = FakeNemo(polls=1, interrupt=kill_who_asks)
    here = place(nemo, concurrency=1)
    processes.start("beat", "beat", here)
    processes.start("worker", "worker-0", here)
    processes.start("worker", "worker-1", here)
    with Here(here) as api:
        number, done = 2, 0
        while left:
            ids = api.start(1)
            while not finished(api.context, ids):
                if len(processes.running) < 3:
                    processes.start("worker", f"worker-{number}", here)
                    number += 1
                time.sleep(0.1)
            done += 1
            assert done < 10, left
            revisions = api.ended(ids)
            audit(here, revisions)
        nothing_twice(nemo, done)
        assert len(killed) == len(STEPS)


@pytest.mark.parametrize("fault", ["flushed", "restarted", "emptied"])
def test_runs_go_on_by_themselves_after_redis_is(fault, place, processes, tmp_path):
    nemo = FakeNemo(polls=15)
    folder = tmp_path / "redis"
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        facts = server.enter_context(start_server("redis", "--dir", str(folder)))
        here = place(nemo, broker=facts["url"], slots=3)
        processes.start("worker", "worker", here)
        processes.start("beat", "beat", here)
        api = stack.enter_context(Here(here))
        ids = api.start(6)
        until(lambda: nemo.calls["POST /v1/customization/jobs"] >= 2)
        if fault == "flushed":
            client = redis.Redis.from_url(facts["url"])
            client.flushall()
            client.close()
        else:
            os.kill(facts["pid"], signal.SIGKILL)
            server.close()
            if fault == "emptied":
                folder = tmp_path / "empty"
            port = facts["url"].rsplit(":", 1)[1].partition("/")[0]
            time.sleep(1)
            stack.enter_context(start_server("redis", "--dir", str(folder), "--port", port))
        revisions = api.ended(ids, 200)
        nothing_twice(nemo, 6)
        audit(here, revisions)
        processes.end()


def test_runs_go_on_by_themselves_after_mongodb_was_away(place, processes, tmp_path):
    nemo = FakeNemo(polls=15)
    folder = str(tmp_path / "mongo")
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        facts = server.enter_context(start_server("mongo", "--dir", folder))
        here = place(nemo, mongo=facts["url"], slots=3)
        processes.start("worker", "worker", here)
        processes.start("beat", "beat", here)
        api = stack.enter_context(Here(here))
        ids = api.start(4)
        until(lambda: nemo.calls["POST /v1/customization/jobs"] >= 2)
        server.close()
        time.sleep(4)
        port = facts["url"].rsplit(":", 1)[1]
        stack.enter_context(start_server("mongo", "--dir", folder, "--port", port))
        api.ended(ids, 200)
        nothing_twice(nemo, 4)
        processes.end()


def test_a_run_is_accepted_while_redis_is_away(place, caplog):
    here = place(FakeNemo(), broker=AWAY)
    with Here(here) as api:
        before = time.monotonic()
        run = api.jobs.start(BODY)
        api.jobs.cancel(run.id)
        assert time.monotonic() - before < 10
        assert api.context.runs.load(run.id).cancel_requested
        api.waker.sweep(api.context, 0)
    assert "wake-up not sent; the sweep will find the run" in caplog.text
    assert "runs could not be swept" in caplog.text


def test_no_secret_of_the_broker_in_a_log_or_an_error(caplog):
    caplog.set_level(logging.DEBUG)
    config = CeleryWakeups(type="celery", broker_url=AWAY, username="flywheel", password_env="BROKER")
    waker = CeleryWaker(config, environment={"BROKER": SECRET})
    assert not waker.wake("f" * 24)
    with pytest.raises(BrokerAway, match=r"redis://127\.0\.0\.1:1/0 does not answer") as caught:
        waker.backlog()
    seen = f"{caplog.text} {caught.value!r} {waker!r} {waker.celery!r}"
    waker.close()
    assert SECRET not in seen
    assert "s3cret" not in seen
    with pytest.raises(ConfigError, match=r"wakeups\.password_env: .* BROKER is not set"):
        CeleryWaker(config, environment={})


def test_a_broker_behind_tls_must_show_a_certificate(tmp_path):
    config = CeleryWakeups(type="celery", broker_url="rediss://broker.test/0", ca_file=tmp_path / "ca.pem")
    waker = CeleryWaker(config, environment={})
    assert waker.celery.conf.broker_use_ssl == {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": str(tmp_path / "ca.pem"),
    }
    waker.close()


def test_a_sweep_leaves_a_full_queue_alone(place):
    here = place(FakeNemo())
    with Here(here) as api:
        (run_id,) = api.start(1)
        assert api.waker.backlog() == 1
        api.waker.sweep(api.context, 0)
        assert api.waker.backlog() == 2
        for _ in range(100):
            api.waker.wake(run_id)
        api.waker.sweep(api.context, 0)
        assert api.waker.backlog() == 102


def test_a_delayed_message_that_was_overtaken_ends(place):
    here = place(FakeNemo(polls=10**6), poll_s=30.0)
    with Here(here) as api:
        (run_id,) = api.start(1)
        api.waker._turn(run_id, api.context, delayed=False)
        revision, backlog = api.context.runs.load(run_id).revision, api.waker.backlog()
        calls = len(trail(here))
        api.waker._turn(run_id, api.context, delayed=True)
        assert len(trail(here)) == calls, "it took no lease"
        assert (api.context.runs.load(run_id).revision, api.waker.backlog()) == (revision, backlog)
        api.jobs.cancel(run_id)
        api.waker._turn(run_id, api.context, delayed=False)
        assert len(trail(here)) > calls
        assert threading.active_count() < 40


def test_two_beats_start_one_run_of_a_schedule_that_is_due(place, processes):
    there = place(FakeNemo(polls=1))
    patient = there.settings["runs"] | {"request_timeout": 20}
    there = replace(there, settings=there.settings | {"schedules": {"interval": 0.2}, "runs": patient})
    with Here(there) as here:
        for name in ("beat-1", "beat-2"):
            processes.start("beat", name, there)
        processes.start("worker", "worker", there)
        schedules = Schedules(here.context, here.waker.wake)
        body = {**BODY, "triggers": [{"type": "records", "every": 80}], "debounce": 0}
        schedule = schedules.create(body)

        def run_id() -> str | None:
            return here.context.schedules.load(schedule.id).last_run

        until(lambda: run_id() is not None)
        here.ended([run_id()])
        until(lambda: "beat started" in there.file("beat-1.log").read_text())
        until(lambda: "beat started" in there.file("beat-2.log").read_text())
        threading.Event().wait(1.5)  # Several looks of both, with nothing new.
        (run,) = here.context.runs.list().runs
        assert run.trigger is not None
        assert run.trigger.schedule_id == schedule.id
        history = here.context.schedules.history(schedule.id).decisions
        started = [each for each in history if each.decision == "started"]
        assert len(started) == 1, "beside it only looks that the run itself held"
        assert {each.decision for each in history} <= {"started", "held"}


def test_what_the_client_of_redis_raises_by_itself_is_told_as_away():
    """As it does where Redis goes after kombu has connected."""
    waker = CeleryWaker(CeleryWakeups(type="celery", broker_url="redis://127.0.0.1:1/0"))
    with pytest.raises(BrokerAway, match="refused"), waker._translated():
        raise redis.exceptions.ConnectionError("refused")
    waker.close()
