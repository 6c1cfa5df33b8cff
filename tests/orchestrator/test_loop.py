"""The embedded loop on real threads: it starts at once, survives trouble, and rests when it can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.loop import Loop
from flywheel.orchestrator.scheduling.service import Schedules
from run_world import settings

BODY = {"workload_id": "tool_router", "client_id": "support-app"}
FAST = {"poll_s": 0.01, "poll_max_s": 0.02}


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def cpu_seconds_of(wait: float) -> float:
    """CPU seconds that this process spends while the caller waits `wait` seconds."""
    before = time.process_time()
    threading.Event().wait(wait)
    return time.process_time() - before


def test_a_posted_run_starts_at_once_and_ends(world):
    here = world(FakeNemo(polls=1), **FAST)
    loop = Loop(here.context, workers=2)
    loop.start()
    run = Jobs(here.context, loop.wake).start(BODY)
    until(lambda: here.run(run.id).status == "completed")
    loop.stop()


def test_runs_that_wait_for_slots_follow_each_other(world):
    here = world(**FAST)
    loop = Loop(here.context, workers=2)
    loop.start()
    jobs = Jobs(here.context, loop.wake)
    runs = [jobs.start(BODY) for _ in range(3)]
    until(lambda: all(here.run(run.id).status == "completed" for run in runs))
    loop.stop()
    started = [here.run(run.id).started_at for run in runs]
    assert started == sorted(started)


def test_what_an_earlier_process_left_goes_on(world):
    here = world(**FAST)
    run_id = here.start()
    loop = Loop(here.context, workers=1)
    loop.start()
    until(lambda: here.run(run_id).status == "completed")
    loop.stop()


def test_a_cancelled_run_does_not_wait_for_its_next_look(world):
    here = world(FakeNemo(polls=10**9), poll_s=3600.0)
    loop = Loop(here.context, workers=1)
    loop.start()
    jobs = Jobs(here.context, loop.wake)
    run = jobs.start(BODY)
    until(lambda: here.run(run.id).candidates[0].deployed_at is not None)
    jobs.cancel(run.id)
    until(lambda: here.nemo.calls["DELETE /v1/deployment/model-deployments/{}"] == 1)
    loop.wake(run.id)
    until(lambda: here.run(run.id).status == "cancelled")
    loop.stop()


def test_an_idle_loop_does_nothing(world):
    here = world(**FAST)
    others = set(threading.enumerate())
    loop = Loop(here.context, workers=2)
    loop.start()
    until(lambda: loop.idle)
    assert (
        min(cpu_seconds_of(0.3) for _ in range(3)) < 0.05
    )  # The least of three: others of the process may stir.
    loop.stop()
    assert not [t for t in threading.enumerate() if t not in others and t.name.startswith("loop-")]


def test_trouble_with_the_store_does_not_end_the_loop(world):
    class Full(Exception):
        pass

    class Failing:
        """The store of runs, on a disk that is full for a moment."""

        def __init__(self, store) -> None:
            self._store, self.left = store, 1

        def __getattr__(self, name):
            if name == "unfinished" and self.left:
                self.left -= 1
                raise Full
            return getattr(self._store, name)

    here = world(**FAST)
    here = here.reborn(runs=Failing(here.context.runs))
    loop = Loop(here.context, workers=1)
    loop.start()
    run = Jobs(here.context, loop.wake).start(BODY)
    until(lambda: here.run(run.id).status == "completed")
    loop.stop()


def test_a_schedule_that_is_due_starts_a_run_which_ends_and_starts_no_other(world):
    using = settings()
    often = using.model_copy(update={"schedules": using.schedules.model_copy(update={"interval": 0.02})})
    here = world(FakeNemo(polls=1), often, **FAST)
    loop = Loop(here.context, workers=2)
    loop.start()
    schedules = Schedules(here.context, loop.wake)
    body = {**BODY, "triggers": [{"type": "records", "every": 80}], "debounce": 0}
    schedule = schedules.create(body)
    until(lambda: here.context.schedules.load(schedule.id).last_run is not None)
    run_id = here.context.schedules.load(schedule.id).last_run
    until(lambda: here.run(run_id).status == "completed")
    threading.Event().wait(0.2)
    loop.stop()
    (run,) = here.context.runs.list().runs
    assert run.trigger is not None
    assert run.trigger.reason == "every 80 records: 80 new records and no data set yet"
