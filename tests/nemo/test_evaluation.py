"""The evaluation client and the jobs that runs post."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.evaluation import EvaluationClient, EvaluationJob, EvaluationResult
from flywheel.nemo.evaluation_jobs import generic_job, tool_calling_job
from flywheel.nemo.evaluation_scores import run_scores

URL = "hf://datasets/ns/flywheel-eval-w-1/eval_data.jsonl"


def client(answer: Callable[[httpx.Request], httpx.Response]) -> EvaluationClient:
    return EvaluationClient("http://nemo.test/", httpx.MockTransport(answer))


def test_reading_is_repeated_on_passing_trouble() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json={"id": "eval-1", "status": "running"})])
    assert client(lambda request: next(answers)).job("eval-1").status == "running"


def test_posting_is_repeated_only_if_it_never_left() -> None:
    seen = []

    def refuse_once(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        if len(seen) == 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(201, json={"id": "eval-1", "status": "created"})

    assert client(refuse_once).create_job({}).id == "eval-1"

    def break_off(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        raise httpx.ReadError("gone")

    seen.clear()
    with pytest.raises(ServiceCallFailed, match=r"POST http://nemo\.test/v1/evaluation/jobs: no answer"):
        client(break_off).create_job({})
    assert len(seen) == 1


def test_errors_name_the_call_and_what_was_answered() -> None:
    with pytest.raises(ServiceCallFailed, match=r"status 422: .*tasks: names no task") as failure:
        client(lambda request: httpx.Response(422, json={"detail": "tasks: names no task"})).create_job({})
    assert failure.value.upstream_status == 422
    with pytest.raises(ServiceCallFailed, match="not JSON"):
        client(lambda request: httpx.Response(200, text="<html>")).job("eval-1")


def test_cancelling_what_has_ended_and_deleting_what_is_gone_is_fine() -> None:
    client(lambda request: httpx.Response(409)).cancel_job("eval-1")
    client(lambda request: httpx.Response(404)).delete_job("eval-1")


def test_a_real_nemo_is_understood_too() -> None:
    """Progress may be null, scores come without intervals, and the list may not filter by custom fields."""
    job = EvaluationJob.model_validate(
        {
            "id": "eval-1",
            "status": "created",
            "status_details": {"message": None, "task_status": {}, "progress": None},
        }
    )
    assert (job.progress, job.finished) == (0.0, False)
    scores = {"function_name_accuracy": {"value": 0.92, "stats": {"count": 50, "sum": 46.0, "mean": 0.92}}}
    result = EvaluationResult.model_validate(
        {
            "job": "eval-1",
            "tasks": {
                "custom-tool-calling": {
                    "metrics": {
                        "tool-calling-accuracy": {"scores": scores},
                        "correctness": {"scores": {"rating": {"value": 0.85}}},
                    }
                }
            },
        }
    )
    found = run_scores(result)
    assert {name: score.value for name, score in found.items()} == {
        "function_name": 0.92,
        "tool_calling_correctness": 0.85,
    }
    jobs = [
        {"id": "a", "custom_fields": {"run": "1"}},
        {"id": "b", "custom_fields": {"run": "2"}},
        {"id": "c"},
    ]
    listing = client(lambda request: httpx.Response(200, json={"data": jobs}))
    assert [job.id for job in listing.jobs_with({"run": "2"})] == ["b"]


def test_the_tool_job_is_the_blueprints_but_keeps_each_requests_tool_choice() -> None:
    body = tool_calling_job(model="ns/m@cust-1", files_url=URL, limit=7, custom_fields={"run": "1"})
    task = body["config"]["tasks"]["custom-tool-calling"]
    assert body["target"] == {"type": "model", "model": "ns/m@cust-1"}
    assert task["dataset"] == {"files_url": URL}
    assert (
        task["params"]["template"]["tool_choice"] == "{{ item.request.tool_choice | default(none) | tojson }}"
    )
    assert list(task["metrics"]) == ["tool-calling-accuracy", "correctness"]
    assert task["metrics"]["correctness"]["type"] == "text-matcher"
    assert (body["config"]["params"]["limit_samples"], body["custom_fields"]) == (7, {"run": "1"})
    json.dumps(body)


def test_with_a_judge_the_names_are_the_blueprints() -> None:
    judge = {"api_endpoint": {"url": "http://j/v1/chat/completions", "model_id": "j", "api_key": "k"}}
    tool = tool_calling_job(model="m", files_url=URL, judge=judge)["config"]["tasks"]["custom-tool-calling"]
    assert (tool["metrics"]["correctness"]["type"], tool["metrics"]["correctness"]["params"]["model"]) == (
        "llm-judge",
        judge,
    )
    generic = generic_job(model="m", files_url=URL, judge=judge)["config"]["tasks"]["llm-as-judge"]
    assert list(generic["metrics"]["llm-judge"]["params"]["scores"]) == ["similarity"]
    assert "text-matching" in generic_job(model="m", files_url=URL)["config"]["tasks"]
    for prompt in (tool["metrics"]["correctness"], generic["metrics"]["llm-judge"]):
        assert "tojson" not in json.dumps(prompt["params"]["template"])
