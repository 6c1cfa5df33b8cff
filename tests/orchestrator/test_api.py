"""`/api/jobs` as NVIDIA's clients know it, and what we added."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from flywheel.config import LlmJudgeConfig
from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.routers import routers
from flywheel.web import make_app
from run_world import nim, settings

BODY = {"workload_id": "tool_router", "client_id": "support-app"}
HEX = "0123456789abcdef01234567"


class Api:
    """The routes over a world, with everything that was woken."""

    def __init__(self, here) -> None:
        self.here = here
        self.woken: list[str] = []
        app = make_app("test", "problem", routers(here.context, self.woken.append))
        self.http = TestClient(app, raise_server_exceptions=False)

    def post(self, expect: int = 200, headers=None, **body):
        answer = self.http.post("/api/jobs", json={**BODY, **body}, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def get(self, path: str, expect: int = 200):
        answer = self.http.get(path)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def detail(self, run_id: str):
        return self.get(f"/api/jobs/{run_id}")


@pytest.fixture
def api(world) -> Api:
    return Api(world(FakeNemo(polls=1)))


# Theirs


def test_posting_a_job_answers_as_the_blueprint_does(api):
    answer = api.post()
    assert set(answer) == {"id", "status", "message"}
    assert re.fullmatch("[0-9a-f]{24}", answer["id"])
    assert (answer["status"], answer["message"]) == ("queued", "NIM workflow started")
    assert api.woken == [answer["id"]]
    assert api.detail(answer["id"])["status"] == "pending"


def test_the_list_has_every_field_of_theirs(api):
    run_id = api.post()["id"]
    api.here.finish(run_id)
    (job,) = api.get("/api/jobs")["jobs"]
    theirs = {"id", "workload_id", "client_id", "status", "started_at", "finished_at", "datasets", "error"}
    assert theirs <= set(job)
    assert {"name", "num_records", "nmp_uri"} <= set(job["datasets"][0])
    for moment in (job["started_at"], job["finished_at"]):
        assert datetime.fromisoformat(moment).tzinfo is None


def test_the_detail_has_every_field_of_theirs(api):
    run_id = api.post()["id"]
    api.here.finish(run_id)
    job = api.detail(run_id)

    theirs = (
        "id workload_id client_id status started_at finished_at num_records llm_judge nims datasets error"
    )
    assert {*theirs.split(), "error"} <= set(job)
    judge = {k: job["llm_judge"][k] for k in ("model_name", "type", "deployment_status", "error")}
    assert judge == {
        "model_name": "text-matcher",
        "type": "local",
        "deployment_status": "ready",
        "error": None,
    }
    (nim_run,) = job["nims"]
    theirs = "model_name status deployment_status runtime_seconds evaluations customizations error"
    assert set(theirs.split()) <= set(nim_run)
    assert (nim_run["status"], nim_run["deployment_status"]) == ("completed", "completed")
    kinds = [e["eval_type"] for e in nim_run["evaluations"]]
    assert kinds == ["base-eval", "icl-eval", "customized-eval"]
    evaluation = nim_run["evaluations"][0]
    theirs = "eval_type scores started_at finished_at runtime_seconds progress nmp_uri mlflow_uri error"
    assert set(theirs.split()) <= set(evaluation)
    names = {"function_name", "function_name_and_args_accuracy", "tool_calling_correctness"}
    assert set(evaluation["scores"]) == names
    assert re.fullmatch(r"http://nemo.fake/v1/evaluation/jobs/eval-\w+", evaluation["nmp_uri"])
    (training,) = nim_run["customizations"]
    theirs = "started_at finished_at runtime_seconds progress epochs_completed steps_completed nmp_uri"
    assert set(theirs.split()) <= set(training)
    assert training["customized_model"].startswith("dfwbp/customized-test-student@cust-")
    assert training["progress"] == 100.0


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/api/jobs/nonsense", 400, "Invalid job_id format"),
        ("GET", f"/api/jobs/{HEX}", 404, "Job not found"),
        ("DELETE", f"/api/jobs/{HEX}", 404, f"Job with ID {HEX} not found"),
        ("POST", f"/api/jobs/{HEX}/cancel", 404, f"Job with ID {HEX} not found"),
        ("DELETE", "/api/jobs/../etc", 404, "Not Found"),
        ("DELETE", "/api/jobs/nonsense", 400, "Invalid job_id format"),
    ],
)
def test_jobs_that_are_not_there_get_their_words(api, method, path, status, detail):
    answer = api.http.request(method, path)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


def test_cancelling_and_deleting_say_what_theirs_says(api):
    run_id = api.post()["id"]
    refused = api.http.delete(f"/api/jobs/{run_id}")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "Cannot delete a running job. Please cancel the job first."

    cancelled = api.http.post(f"/api/jobs/{run_id}/cancel")
    assert cancelled.json() == {"id": run_id, "message": "Job cancellation initiated successfully."}
    api.here.finish(run_id)
    job = api.detail(run_id)
    assert (job["status"], job["error"]) == ("cancelled", "Job cancelled by user")
    assert job["nims"][0]["status"] == "cancelled"

    again = api.http.post(f"/api/jobs/{run_id}/cancel")
    assert again.status_code == 400
    assert again.json()["detail"] == "Cannot cancel a job that has already finished."

    deleted = api.http.delete(f"/api/jobs/{run_id}")
    assert deleted.json() == {
        "id": run_id,
        "message": "Job deletion started. Resources will be cleaned up in the background.",
    }
    api.here.finish_deletion(run_id)
    api.get(f"/api/jobs/{run_id}", expect=404)
    assert api.get("/api/jobs")["total"] == 0


# Ours


def test_scores_come_with_number_interval_and_scorer(api):
    run_id = api.post()["id"]
    api.here.finish(run_id)
    evaluation = api.detail(run_id)["nims"][0]["evaluations"][2]
    assert evaluation["score_details"]["function_name_and_args_accuracy"] == {
        "value": 0.9,
        "n": 100,
        "confidence_interval": {"level": 0.95, "low": 0.8, "high": 1.0, "method": "wilson"},
        "scorer": None,
    }
    assert evaluation["score_details"]["tool_calling_correctness"]["scorer"] == "text-matcher"
    first = {"mean": 3.0, "p50": 2.5, "p95": 6.0}
    assert evaluation["latency_ms"] == {"mean": 12.0, "p50": 11.0, "p95": 20.0, "first_token": first}
    assert evaluation["judge_agreement"] == {"n": 100, "accuracy": 0.95, "kappa": 0.9}


class Clustered(FakeNemo):
    """An evaluator whose intervals come from a bootstrap by conversation."""

    def _evaluation_results(self, request, job_id):
        found = super()._evaluation_results(request, job_id)
        for task in found["tasks"].values():
            for metric in task["metrics"].values():
                for score in metric["scores"].values():
                    score["stats"]["confidence_interval"] |= {"design_effect": 2.5, "clusters": 40}
        return found


def test_an_interval_by_conversation_keeps_its_design_effect(world):
    api = Api(world(Clustered(polls=1)))
    run_id = api.post()["id"]
    api.here.finish(run_id)
    details = api.detail(run_id)["nims"][0]["evaluations"][2]["score_details"]
    assert details["function_name"]["confidence_interval"]["design_effect"] == 2.5


def test_a_running_job_shows_how_far_it_is(world):
    api = Api(world(FakeNemo(polls=5)))
    run_id = api.post()["id"]
    from flywheel.orchestrator.workflow import advance

    while api.here.run(run_id).candidates[0].stage != "work":
        api.here.clock.now += advance(run_id, api.here.context).seconds
    for _ in range(2):
        api.here.clock.now += advance(run_id, api.here.context).seconds

    job = api.detail(run_id)
    assert (job["status"], job["nims"][0]["status"]) == ("running", "running-evals")
    progress = job["progress"]
    assert 0 < progress["percent"] < 100
    candidate = progress["candidates"][0]
    assert candidate["doing"] == "customize + base-eval + icl-eval"
    assert candidate["customization"]["percent"] > 0
    assert candidate["customization"]["train_loss"] < 1
    assert candidate["customization"]["eta_seconds"] > 0
    assert job["curation"]["records_in"] == 80
    assert job["events"][0]["message"] == "run started"


def test_samples_of_an_evaluation_are_paged_and_filtered(api):
    run_id = api.post()["id"]
    early = api.get(f"/api/jobs/{run_id}/samples?eval_type=base-eval", expect=404)
    assert "the job has no base-eval that has begun" in early["detail"]
    api.here.finish(run_id)

    path = f"/api/jobs/{run_id}/samples?eval_type=customized-eval&candidate=test/student"
    assert len(api.get(path)["data"]) == 2
    wrong = api.get(f"{path}&filter[failure]=wrong_value")["data"]
    assert [sample["index"] for sample in wrong] == [0]
    api.get(f"/api/jobs/{run_id}/samples?eval_type=odd", expect=422)
    api.get(f"/api/jobs/{run_id}/samples?eval_type=base-eval&candidate=nobody", expect=404)


def test_lists_are_filtered_and_paged(api):
    runs = [api.post()["id"] for _ in range(5)]
    other = api.post(workload_id="small_talk")["id"]

    def ids(query: str):
        return [job["id"] for job in api.get(f"/api/jobs?{query}")["jobs"]]

    assert ids("") == [other, *reversed(runs)]
    assert ids("workload_id=small_talk") == [other]
    assert ids("limit=2&offset=1") == [runs[4], runs[3]]
    assert ids("limit=2&page=2") == [runs[3], runs[2]]
    assert ids("status=completed") == []
    page = api.get("/api/jobs?limit=2")
    assert (page["total"], page["limit"], page["offset"]) == (6, 2, 0)
    api.get("/api/jobs?limit=0", expect=422)
    api.get("/api/jobs?status=odd", expect=422)


def test_an_idempotency_key_starts_one_run(api):
    key = {"Idempotency-Key": "abc"}
    first = api.post(headers=key)
    assert api.post(headers=key) == first
    error = api.post(expect=422, headers=key, data_split_config={"eval_size": 11})
    assert "Idempotency-Key 'abc' was used before with another body" in error["detail"]
    assert api.get("/api/jobs")["total"] == 1


def test_workloads_are_listed_with_their_counts(api):
    workloads = api.get("/api/workloads")["workloads"]
    counts = {(w["client_id"], w["workload_id"]): w["count"] for w in workloads}
    assert counts == {("support-app", "small_talk"): 60, ("support-app", "tool_router"): 80}


def test_a_job_may_override_what_the_configuration_says(world):
    api = Api(world(using=settings(nim("test/one"), nim("test/two"))))
    overrides = {
        "data_split_config": {"eval_size": 7},
        "nims": ["test/two"],
        "training_config": {"epochs": 9},
        "lora_config": {"adapter_dim": 4},
        "icl_config": {"max_examples": 1},
        "evaluation_config": {"parallelism": 3},
    }
    run_id = api.post(**overrides)["id"]
    run = api.here.finish(run_id)

    job = api.detail(run_id)
    assert job["overrides"] == overrides
    assert [n["model_name"] for n in job["nims"]] == ["test/two"]
    assert run.dataset("eval").num_records == 7
    (training,) = api.here.nemo.customizations.values()
    assert training["hyperparameters"]["epochs"] == 9
    assert training["hyperparameters"]["lora"]["adapter_dim"] == 4
    (evaluation, *_) = api.here.nemo.evaluations.values()
    assert evaluation["config"]["params"]["parallelism"] == 3


# Mistakes


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"workload": "x"}, ["there is no setting workload", 'did you mean "workload_id"?']),
        (
            {"data_split_config": {"eval_sise": 5}},
            ["data_split_config", "eval_sise", 'did you mean "eval_size"?'],
        ),
        ({"data_split_config": {"eval_size": -5}}, ["eval_size", "greater than or equal to 1", "not -5"]),
        ({"data_split_config": 5}, ["data_split_config", "dictionary"]),
        ({"training_config": {"epochs": "many"}}, ["training_config", "epochs", "'many'"]),
        ({"nims": ["test/studnet"]}, ["'test/studnet'", 'did you mean "test/student"?']),
        ({"nims": []}, ["no candidate"]),
        ({"workload_id": ""}, ["workload_id"]),
        ({"workload_id": 7}, ["workload_id", "string"]),
        ({"workload_id": "tool_ruter"}, ["'tool_ruter'", 'did you mean "support-app/tool_router"?']),
        ({"client_id": "nobody"}, ["'nobody'"]),
        ({"data_split_config": {"min_total_records": 1000}}, ["80 records", "min_total_records", "1000"]),
        ({"llm_judge_config": {"api_key_env": "AWS_SECRET_ACCESS_KEY"}}, ["api_key_env", "server's"]),
    ],
)
def test_a_mistake_names_the_field_and_what_would_be_right(api, body, words):
    detail = api.post(expect=422, **body)["detail"]
    for word in words:
        assert word in detail
    assert api.get("/api/jobs")["total"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"null", b"7", b"\xff\xfe", b"{}"])
def test_a_body_that_is_no_job_is_refused(api, content):
    answer = api.http.post("/api/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_judge_at_another_address_never_gets_the_servers_key(world):
    judge = LlmJudgeConfig(model_name="judge", url="http://judge.fake/v1/chat/completions", api_key_env="KEY")
    here = world(using=settings().model_copy(update={"llm_judge_config": judge}))
    assert "KEY is not set" in Api(here).post(expect=422)["detail"]
    api = Api(here.reborn(environment={"KEY": "s3cret"}))

    def config(**change):
        run_id = api.post(llm_judge_config=change)["id"]
        return api.here.run(run_id).config.llm_judge_config

    assert config(model_name="other").api_key_env == "KEY"
    assert config(url="http://elsewhere.fake/v1/chat/completions").api_key_env is None
    assert api.here.run(api.post(llm_judge_config=None)["id"]).config.llm_judge_config is None
