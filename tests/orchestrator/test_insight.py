"""Losses, logs and evaluations of runs, and what the list tells of each run."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from flywheel.hidden import hide
from flywheel.nemo.customization import CustomizationStatus
from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.losses import losses_of, thinned
from flywheel.orchestrator.routers import routers
from flywheel.stores.runs.document import RunTrigger
from flywheel.web import make_app
from run_world import CHAT, World, nim, settings

SECRET = "hf_0123456789secret"


class Api:
    def __init__(self, here: World) -> None:
        self.here = here
        self.http = TestClient(make_app("test", "problem", routers(here.context, lambda _: None)))

    def get(self, path: str, expect: int = 200) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def finished(self, **start: Any) -> str:
        run_id = self.here.start(**start)
        self.here.finish(run_id)
        return run_id


@pytest.fixture
def api(world) -> Api:
    return Api(world(FakeNemo(polls=2), using=settings(nim("test/one"), nim("test/two"), parallelism=2)))


# Losses


def test_losses_outlive_the_customizers_job(api):
    run_id = api.finished()
    api.here.nemo.customizations.clear()
    one, two = api.get(f"/api/jobs/{run_id}/losses")["losses"]
    assert (one["model_name"], two["model_name"]) == ("test/one", "test/two")
    assert one["job_id"].startswith("cust-")
    epochs = api.here.run(run_id).config.training_config.epochs
    assert (one["steps_per_epoch"], one["epochs"]) == (50, epochs)
    assert one["train"][0] == {"step": 1, "value": pytest.approx(0.995)}
    assert one["val"][-1] == {"step": 100, "value": pytest.approx(0.6)}


def test_a_run_from_before_losses_were_kept_asks_the_customizer(api):
    run_id = api.finished()
    run = api.here.run(run_id)
    old = tuple(c.but(customization=c.customization.but(losses=None)) for c in run.candidates)
    api.here.context.runs.apply(run, run.but(candidates=old))
    assert api.get(f"/api/jobs/{run_id}/losses")["losses"][0]["train"]
    api.here.nemo.customizations.clear()
    (forgotten, _) = api.get(f"/api/jobs/{run_id}/losses")["losses"]
    assert (forgotten["train"], forgotten["val"]) == ([], [])


def test_a_run_that_trains_nothing_has_no_losses(api):
    assert api.get(f"/api/jobs/{api.here.start()}/losses") == {"losses": []}
    api.get(f"/api/jobs/{'f' * 24}/losses", expect=404)


@pytest.mark.parametrize("points", [3, 500, 501, 3_000, 100_000])
def test_a_long_curve_is_thinned_without_its_ends_and_spikes(points):
    curve = [(step, 1.0 / (step + 1)) for step in range(points)]
    spike, dip = points // 3, points // 2
    curve[spike], curve[dip] = (spike, 99.0), (dip, -99.0)
    kept = thinned(curve)
    assert len(kept) == min(points, len(kept)) <= 500
    assert kept[0] == curve[0]
    assert kept[-1] == curve[-1]
    assert {curve[spike], curve[dip]} <= set(kept)
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})


def test_points_that_are_none_are_left_out_and_a_repeated_step_counts_once():
    points = [(2, 0.5), (1, 0.9), (2, 0.4), (3, None), (None, 1.0), (4, float("nan")), (5, float("inf"))]
    told = {"train_loss": [{"step": step, "value": value} for step, value in points]}
    status = CustomizationStatus.model_validate({"metrics": {"keys": ["train_loss"], "metrics": told}})
    assert losses_of(status).train == ((1, 0.9), (2, 0.4))
    assert losses_of(CustomizationStatus()) is None


# Logs


def logs(api: Api, run_id: str, query: str = "") -> list[Any]:
    return api.get(f"/api/jobs/{run_id}/logs?{query}")["logs"]


def test_the_runs_own_log_has_times_levels_and_candidates(api):
    run_id = api.finished()
    (own,) = logs(api, run_id, "source=run")
    assert (own["source"], own["candidate"], own["problem"]) == ("run", None, None)
    assert own["lines"][0].startswith("2026-01-02T03:04:05.")
    assert own["lines"][0].endswith("Z info run started")
    assert any(" test/one: " in line for line in own["lines"])
    assert logs(api, run_id, "source=run&tail=1")[0]["lines"] == own["lines"][-1:]


def test_the_output_of_a_training_is_told_without_secrets_colours_and_ends(api):
    hide(SECRET)
    api.here.nemo.printed = [f"\x1b[31mlogin {SECRET}\x1b[0m <script>", "x" * 5000, "step 2"]
    run_id = api.finished()
    (one,) = logs(api, run_id, "source=customization&candidate=test/one")
    assert one["lines"] == ["login ****** <script>", "x" * 2000, "step 2"]
    assert len(logs(api, run_id, "source=customization")) == 2
    assert logs(api, run_id, "source=customization&tail=1")[0]["lines"] == ["step 2"]


def test_where_no_output_is_known_the_jobs_status_speaks(api):
    run_id = api.finished()
    (one, _) = logs(api, run_id, "source=customization")
    assert "completed" in one["lines"][-1]


def test_a_service_that_cannot_tell_hides_no_other_log(api):
    run_id = api.finished()
    api.here.nemo.customizations.clear()
    found = {(log["source"], log["candidate"]): log for log in logs(api, run_id)}
    assert found["run", None]["lines"]
    gone = found["customization", "test/one"]
    assert gone["lines"] == []
    assert "404" in gone["problem"]
    assert found["deployment", "test/one"] == {
        "source": "deployment",
        "candidate": "test/one",
        "lines": [],
        "problem": None,
    }


def test_logs_of_nobody_and_of_nothing_are_mistakes(api):
    run_id = api.here.start()
    error = api.get(f"/api/jobs/{run_id}/logs?candidate=test/three", expect=404)["detail"]
    assert error == "the job has no candidate 'test/three'; its candidates are 'test/one', 'test/two'"
    api.get(f"/api/jobs/{run_id}/logs?source=nowhere", expect=422)
    api.get(f"/api/jobs/{run_id}/logs?tail=0", expect=422)
    api.get(f"/api/jobs/{run_id}/logs?tail=100000", expect=422)
    assert [log["source"] for log in logs(api, run_id)] == ["run"]


# Evaluations across runs, and the list


def test_evaluations_of_all_runs_are_listed_filtered_and_paged(api):
    first, second = api.finished(), api.finished(workload=CHAT)
    every = api.get("/api/evaluations")
    assert (every["total"], every["limit"], every["offset"]) == (12, 100, 0)
    assert {e["run_id"] for e in every["evaluations"][:6]} == {second}
    times = [e["finished_at"] for e in every["evaluations"]]
    assert times == sorted(times, reverse=True)
    assert all(time.endswith("Z") for time in times)

    query = "client_id=support-app&workload_id=tool_router&model_name=test/two&eval_type=customized-eval"
    (one,) = api.get(f"/api/evaluations?{query}")["evaluations"]
    assert (one["run_id"], one["status"], one["model_name"]) == (first, "completed", "test/two")
    assert one["model"].startswith("dfwbp/customized-test-two@cust-")
    scores = one["scores"]["function_name_and_args_accuracy"]
    assert scores == {"value": 0.9, "n": 100, "low": 0.8, "high": 1.0}
    dataset = api.here.run(first).dataset("eval")
    assert one["dataset"] == {"name": dataset.name, "sha256": dataset.sha256}
    assert one["latency_ms"]["p50"] == 11.0
    assert one["cost_per_1000"] is None

    page = api.get("/api/evaluations?limit=2&offset=11")
    assert (len(page["evaluations"]), page["total"]) == (1, 12)
    assert api.get("/api/evaluations?model_name=nobody")["total"] == 0
    api.get("/api/evaluations?eval_type=odd", expect=422)
    api.get("/api/evaluations?limit=0", expect=422)


def test_the_list_tells_how_far_a_run_is_and_what_it_came_to(api):
    run_id = api.here.start()
    run = api.here.run(run_id)
    trigger = RunTrigger(schedule_id="s1", schedule="nightly", reason="it is three")
    api.here.context.runs.apply(run, run.but(trigger=trigger))
    (waiting,) = api.get("/api/jobs")["jobs"]
    assert (waiting["percent"], waiting["decision"]) == (0, None)
    assert waiting["trigger"] == {"schedule_id": "s1", "schedule": "nightly", "reason": "it is three"}
    api.here.finish(run_id)
    (done,) = api.get("/api/jobs")["jobs"]
    decision = api.get(f"/api/jobs/{run_id}")["decision"]
    assert done["percent"] == 100
    assert done["decision"] == {
        "model_name": "test/one",
        "eval_type": "customized-eval",
        "customized_model": decision["customized_model"],
        "metric": "function_name_and_args_accuracy",
        "value": 0.9,
        "low": 0.8,
        "high": 1.0,
        "n": 100,
        "verdict": decision["verdict"],
    }
