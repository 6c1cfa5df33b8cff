"""Runs from Python: start, wait with progress, look, cancel, delete; blocking and awaited alike."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from client.served import Served
from flywheel.client import Conflict, Invalid, NotFound, RunFailed, StillRunning

HEX = "0123456789abcdef01234567"


def start(user: Any, **overrides: Any) -> Any:
    return user.do(user.client.runs.start("tool_router", "support-app", **overrides))


def test_a_run_is_started_waited_for_and_read(user: Any) -> None:
    seen = []
    run = user.do(start(user).wait(progress=lambda run: seen.append((run.status, run.progress.percent))))
    assert (run.status, run.ended) == ("completed", True)
    assert run.started_at.tzinfo is UTC
    score = (
        run.candidate("test/student")
        .evaluation("customized-eval")
        .score_details["function_name_and_args_accuracy"]
    )
    assert (score.value, score.low, score.high, score.n) == (0.9, 0.8, 1.0, 100)
    assert run.decision.model_name == "test/student"
    assert run.document["nims"][0]["model_name"] == "test/student"
    assert seen[0] == ("pending", 0.0)
    assert seen[-1] == ("completed", 100.0)
    assert sorted(seen, key=lambda each: each[1]) == seen


def test_overrides_reach_the_run(user: Any) -> None:
    run = start(user, training_config={"epochs": 3}, nims=["test/student"])
    assert run.overrides == {"nims": ["test/student"], "training_config": {"epochs": 3}}


def test_the_same_key_starts_one_run(user: Any, here: Served) -> None:
    first, second = start(user, idempotency_key="nightly-7"), start(user, idempotency_key="nightly-7")
    assert first.id == second.id
    with pytest.raises(Invalid, match="nightly-7"):
        start(user, idempotency_key="nightly-7", training_config={"epochs": 3})


def test_lists_are_iterated_over_all_pages(user: Any) -> None:
    started = [start(user).id for _ in range(5)]
    listed = user.all(user.client.runs.list())
    assert [run.id for run in listed] == started[::-1]
    assert [run.id for run in user.all(user.client.runs.list(limit=2, offset=1))] == started[3:1:-1]
    assert user.all(user.client.runs.list(status="failed")) == []
    refreshed = user.do(listed[0].refresh())
    assert refreshed.candidates[0].model_name == "test/student"


def test_waiting_ends_at_its_timeout_and_the_run_goes_on(user: Any, here: Served) -> None:
    run = start(user)
    with pytest.raises(StillRunning, match=r"has not ended in 0\.3 s") as caught:
        user.do(run.wait(timeout=0.3))
    assert caught.value.run.id == run.id
    assert sum(here.pauses) == pytest.approx(0.3, abs=0.01)
    assert user.do(run.wait(timeout=3600)).status == "completed"


def test_a_run_that_fails_is_an_error_with_the_run_in_it(user: Any, here: Served) -> None:
    here.world.nemo.broken |= {"test/student": "no GPU here"}
    run = start(user)
    with pytest.raises(RunFailed) as caught:
        user.do(run.wait())
    assert caught.value.run.status == "failed"
    assert user.do(run.wait(check=False)).status == "failed"


def test_cancelled_and_deleted(user: Any, here: Served) -> None:
    run = start(user)
    with pytest.raises(Conflict, match="Cannot delete a running job"):
        user.do(run.delete())
    user.do(run.cancel())
    with pytest.raises(RunFailed, match="cancelled"):
        user.do(run.wait())
    with pytest.raises(Conflict, match="already finished"):
        user.do(run.cancel())
    user.do(run.delete())
    here.pause(0)
    with pytest.raises(NotFound):
        user.do(run.refresh())


def test_samples_of_an_evaluation(user: Any) -> None:
    run = user.do(start(user).wait())
    found = {each.index: each.failure for each in user.all(run.samples("customized-eval"))}
    assert found == {0: "wrong_value", 1: None}
    (wrong,) = user.all(run.samples("customized-eval", failure="wrong_value"))
    assert wrong.index == 0
    assert len(user.all(run.samples("customized-eval", limit=1))) == 1
    with pytest.raises(NotFound, match="no teacher-eval"):
        user.all(run.samples("teacher-eval"))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"training_config": {"epoch": 3}}, "did you mean .epochs"),
        ({"nims": ["test/studnet"]}, "test/student"),
    ],
)
def test_what_the_server_refuses_is_said_in_its_words(user: Any, overrides: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        start(user, **overrides)


def test_a_run_that_is_not_there(user: Any) -> None:
    with pytest.raises(NotFound) as caught:
        user.do(user.client.runs.get(HEX))
    assert (caught.value.answered, caught.value.word) == (404, "job_not_found")
    with pytest.raises(Invalid, match="Invalid job_id"):
        user.do(user.client.runs.get("nonsense"))


def test_workloads(user: Any) -> None:
    found = {each.workload_id: each for each in user.all(user.client.workloads.list())}
    assert found["tool_router"].count == 80
    assert found["tool_router"].first.year == 2023
    assert len(user.all(user.client.workloads.list(limit=1))) == 1
