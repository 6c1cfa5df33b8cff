"""Workers that die, come late or are told to stop, at every single call that a run makes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.context import NOW
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.workflow import CANCELLED, advance
from run_world import make_world, nim, settings


class Killed(BaseException):
    """The worker is gone: nothing of it may run on, not even an `except Exception`."""


@dataclass
class At:
    """Does `act` at the given call of a run, counted from 0, before or after it happens."""

    number: int
    when: str
    act: object
    seen: int = -1
    hit: str | None = None

    def __call__(self, name: str, when: str) -> None:
        self.seen += when == "before"
        if self.seen == self.number and when == self.when and self.hit is None:
            self.hit = name
            self.act()


def die() -> None:
    raise Killed


CALLS = 38
"""Calls of the run below, pinned by the first test so that the others reach each of them."""


def test_a_run_makes_as_many_calls_as_these_tests_reach(world):
    watch = At(10_000, "before", die)
    here = world(FakeNemo(interrupt=watch))
    here.finish(here.start())
    assert watch.seen + 1 == CALLS


@pytest.mark.parametrize("number", range(CALLS))
def test_a_worker_killed_after_any_call_costs_nothing_twice(tmp_path, records, number):
    nemo = FakeNemo(interrupt=At(number, "after", die))
    here = make_world(tmp_path, records, nemo)
    run_id = here.start()
    with pytest.raises(Killed):
        here.finish(run_id)
    here.close()

    there = make_world(tmp_path, records, nemo)
    run = there.finish(run_id)
    there.close()

    assert run.status == "completed", run.error
    assert run.decision.value == 0.9
    assert nemo.calls["POST /v1/customization/jobs"] == 1
    assert nemo.calls["POST /v1/evaluation/jobs"] == 3
    assert nemo.calls["POST /v1/deployment/model-deployments"] == 1
    assert len(nemo.datasets) == 3
    assert nemo.open_jobs == []


@pytest.mark.parametrize("number", range(CALLS))
def test_a_run_cancelled_at_any_call_leaves_nothing_running(world, number):
    nemo = FakeNemo()
    here = world(nemo)
    run_id = here.start()
    nemo.interrupt = At(number, "after", lambda: Jobs(here.context, print).cancel(run_id))
    run = here.finish(run_id)

    assert (run.status, run.error) == ("cancelled", CANCELLED)
    assert nemo.open_jobs == []
    assert not any(work.open for c in run.candidates for work in (*c.evaluations, c.customization))


@pytest.mark.parametrize("number", range(1, CALLS - 1, 3))
def test_a_worker_killed_while_cancelling_leaves_nothing_running_either(tmp_path, records, number):
    nemo = FakeNemo()
    here = make_world(tmp_path, records, nemo)
    run_id = here.start()

    def cancel_and_die() -> None:
        Jobs(here.context, print).cancel(run_id)
        raise Killed

    nemo.interrupt = At(number, "after", cancel_and_die)
    with pytest.raises(Killed):
        here.finish(run_id)
    here.close()

    there = make_world(tmp_path, records, nemo)
    run = there.finish(run_id)
    there.close()
    assert run.status == "cancelled"
    assert nemo.open_jobs == []


def test_a_run_that_waits_is_cancelled_without_a_slot(world):
    here = world(FakeNemo(polls=2))
    first, second = here.start(), here.start()
    advance(first, here.context)
    assert advance(second, here.context).seconds == here.context.limits.queue_s
    Jobs(here.context, print).cancel(second)

    run = here.finish(second)
    assert (run.status, run.candidates[0].cancelled, run.datasets) == ("cancelled", True, ())


def test_a_worker_that_lost_its_lease_changes_nothing(world):
    nemo = FakeNemo()
    here = world(nemo)
    run_id = here.start()
    seen = []

    def taken_over() -> None:
        seen.append(here.run(run_id))
        here.clock.now += 1000
        assert here.context.runs.lease(run_id, "somebody else", 60) == 0

    nemo.interrupt = At(0, "after", taken_over)
    assert advance(run_id, here.context) == NOW
    assert [here.run(run_id)] == seen
    assert 50 < advance(run_id, here.context).seconds <= 60


def test_a_step_that_was_overtaken_changes_nothing(world):
    nemo = FakeNemo()
    here = world(nemo)
    run_id = here.start()

    def overtake() -> None:
        run = here.run(run_id)
        here.context.runs.apply(run, run.but(cancel_requested=True))

    nemo.interrupt = At(0, "after", overtake)
    assert advance(run_id, here.context) == NOW
    assert here.run(run_id).datasets == ()
    assert here.finish(run_id).status == "cancelled"


def test_an_expired_lease_is_taken_over(world):
    here = world()
    run_id = here.start()
    assert here.context.runs.lease(run_id, "a worker that fell silent", 30) == 0
    assert 29 < advance(run_id, here.context).seconds <= 30
    here.clock.now += 31
    assert here.finish(run_id).status == "completed"


def test_a_job_that_its_service_forgot_does_not_keep_the_rest_from_being_released(world):
    def endless(name: str, when: str) -> None:
        if name == "POST /v1/customization/jobs":
            nemo.polls = 10**9

    nemo = FakeNemo(interrupt=endless)
    here = world(nemo)
    run_id = here.start()
    while not nemo.customizations:
        here.clock.now += advance(run_id, here.context).seconds
    assert len(nemo.evaluations) == 2
    nemo.evaluations.clear()
    nemo.customizations.clear()
    Jobs(here.context, print).cancel(run_id)

    run = here.finish(run_id)
    assert (run.status, nemo.open_jobs) == ("cancelled", [])
    assert run.candidates[0].cancelled


def test_a_bug_that_one_candidate_meets_is_that_candidates(world):
    class Odd(FakeNemo):
        """Answers what no client expects, for one model."""

        def _evaluation_results(self, request, job_id):
            answer = super()._evaluation_results(request, job_id)
            return ["?"] if "odd" in self.evaluations[job_id]["target"]["model"] else answer

    here = world(Odd(), settings(nim("test/odd"), nim("test/even")))
    run = here.finish(here.start())

    odd, even = run.candidates
    assert (run.status, odd.failed, even.failed) == ("completed", True, False)
    assert here.nemo.open_jobs == []
