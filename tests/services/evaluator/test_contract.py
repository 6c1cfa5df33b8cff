"""NVIDIA's own client, unmodified and strict, and the bodies that NVIDIA's blueprint posts."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import nemo_microservices
import pytest
from nemo_microservices import NeMoMicroservices

from flywheel.fake_chat import Reply
from flywheel.hub import Hub
from flywheel.services.datastore.router import router as datastore_router
from flywheel.services.datastore.service import DatastoreService
from flywheel.services.evaluator.router import router
from flywheel.services.evaluator.service import EvaluatorService
from services.evaluator.room import Client, Room, finished, record, right, served_room_with
from serving_apps import nemo_app, serve_app

FILES_URL = "hf://datasets/dfwbp/flywheel-eval-w-1/eval_data.jsonl"


def models(body: dict[str, Any]) -> Reply:
    """The student agrees with its teacher; the judge talks a lot and finds everything right."""
    if body["model"] != "judge":
        return right(body)
    asked = json.dumps(body)
    return Reply("7" if "ONLY the integer" in asked else "Both agree.\nRATING: 1\nEXPLANATION: the same call")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with served_room_with(tmp_path_factory.mktemp("contract"), models, ["meta/llama", "judge"]) as room:
        yield room


@pytest.fixture(scope="module")
def evaluator(room: Room) -> Iterator[Client]:
    """Our evaluator beside our datastore, as in production, with a data set uploaded through the hub."""
    datastore = DatastoreService(room.folder / "datastore")
    datastore.start()
    with serve_app(nemo_app("datastore", datastore_router(datastore))) as datastore_url:
        lines = "".join(json.dumps(record(n)) + "\n" for n in range(10)).encode()
        hub = Hub(f"{datastore_url}/v1/hf")
        httpx.post(f"{datastore_url}/v1/datastore/namespaces", data={"namespace": "dfwbp"})
        hub.upload("dfwbp/flywheel-eval-w-1", {"eval_data.jsonl": lines}, repo_type="dataset", message="rows")
        service = EvaluatorService(room.folder / "evaluator", datastore_url, room.model_url)
        service.start()
        with serve_app(nemo_app("evaluator", router(service))) as url:
            client = Client(url)
            yield client
            client.close()
        service.stop()
    datastore.stop()


@pytest.fixture
def nemo(evaluator: Client) -> Iterator[NeMoMicroservices]:
    with NeMoMicroservices(base_url=evaluator.url, _strict_response_validation=True) as client:
        yield client


TEMPLATE = {
    "messages": "{{ item.request.messages | tojson }}",
    "tools": "{{ item.request.tools | tojson }}",
    "tool_choice": "required",
}
TRUTH = "{{ item.response.choices[0].message.tool_calls | tojson }}"
JUDGE_PROMPT = """
*Ground Truth*: {{item.response.choices[0].message.tool_calls}}
*Prediction*: {{sample.response.choices[0].message.tool_calls}}
"""
TEXT_JUDGE_PROMPT = """
TASK / QUESTION
<<<
{{item.request.messages}}
>>>

REFERENCE ANSWER
<<<
{{item.response.choices[0].message.content}}
>>>

CANDIDATE ANSWER
<<<
{{sample.output_text}}
>>>
"""


def judge_params(room: Room, system: str, user: str, score: str, pattern: str) -> dict[str, Any]:
    endpoint = {"url": f"{room.model_url}/v1/chat/completions", "model_id": "judge", "api_key": "nv-key"}
    return {
        "model": {"api_endpoint": endpoint},
        "template": {"messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]},
        "scores": {score: {"type": "int", "parser": {"type": "regex", "pattern": pattern}}},
    }


def blueprint_tool_config(room: Room) -> dict[str, Any]:
    judge = judge_params(room, "You are an expert evaluator.", JUDGE_PROMPT, "rating", r"RATING:\s*(\d+)")
    accuracy = {"model": judge["model"], "tool_calls_ground_truth": TRUTH}
    task = {
        "type": "chat-completion",
        "dataset": {"files_url": FILES_URL, "limit": 8},
        "params": {"template": TEMPLATE},
        "metrics": {
            "tool-calling-accuracy": {"type": "tool-calling", "params": accuracy},
            "correctness": {"type": "llm-judge", "params": judge},
        },
    }
    return {"type": "custom", "tasks": {"custom-tool-calling": task}}


def test_the_blueprints_tool_job_as_it_posts_it(room: Room, evaluator: Client) -> None:
    """Teacher's no-call answers have no `tool_calls` at all, and NVIDIA's template does not allow for it."""
    body = {
        "config": blueprint_tool_config(room),
        "target": {"type": "model", "model": "meta/llama"},
    }
    posted = httpx.post(f"{evaluator.url}/v1/evaluation/jobs", json=body)
    assert posted.status_code in (200, 201)
    job = posted.json()
    assert job["status"] in ("created", "running")
    assert "nv-key" not in posted.text
    finished(evaluator, job["id"])
    state = httpx.get(f"{evaluator.url}/v1/evaluation/jobs/{job['id']}").json()
    assert (state["status"], state["status_details"]["progress"]) == ("completed", 100.0)
    results = httpx.get(f"{evaluator.url}/v1/evaluation/jobs/{job['id']}/results").json()
    metrics = results["tasks"]["custom-tool-calling"]["metrics"]
    accuracy = metrics["tool-calling-accuracy"]["scores"]
    assert accuracy["function_name_accuracy"]["value"] == 1.0
    assert accuracy["function_name_and_args_accuracy"]["value"] == 1.0
    assert accuracy["function_name_accuracy"]["stats"]["count"] == 8
    assert metrics["correctness"]["scores"]["rating"]["value"] == 1.0
    mine = [asked for asked in room.chat.requests if asked["model"] == "meta/llama"]
    assert {asked["tool_choice"] for asked in mine[-8:]} == {"required"}
    download = httpx.get(
        f"{evaluator.url}/v1/evaluation/jobs/{job['id']}/download-results",
        headers={"accept": "application/json"},
    )
    with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
        entries = json.loads(archive.read("results.json"))["custom-tool-calling"]
    assert entries[0]["sample"]["response"]["usage"]["total_tokens"] > 0
    assert sorted(entries, key=lambda entry: entry["item"]["timestamp"]) == entries
    deleted = httpx.delete(
        f"{evaluator.url}/v1/evaluation/jobs/{job['id']}", headers={"accept": "application/json"}
    )
    assert deleted.status_code in (200, 204)


def test_the_blueprints_generic_job_as_it_posts_it(room: Room, evaluator: Client) -> None:
    system = "Score similarity from 1 to 10. Return ONLY the integer (1-10)."
    judge = judge_params(room, system, TEXT_JUDGE_PROMPT, "similarity", r"(\d)")
    task = {
        "type": "chat-completion",
        "dataset": {"files_url": FILES_URL},
        "params": {"template": {"messages": TEMPLATE["messages"]}},
        "metrics": {"llm-judge": {"type": "llm-judge", "params": judge}},
    }
    body = {
        "config": {"type": "custom", "tasks": {"llm-as-judge": task}},
        "target": {"type": "model", "model": "meta/llama"},
    }
    job = httpx.post(f"{evaluator.url}/v1/evaluation/jobs", json=body).json()
    finished(evaluator, job["id"])
    results = httpx.get(f"{evaluator.url}/v1/evaluation/jobs/{job['id']}/results").json()
    assert results["tasks"]["llm-as-judge"]["metrics"]["llm-judge"]["scores"]["similarity"]["value"] == 7.0


def test_the_sdks_configs_and_targets(room: Room, nemo: NeMoMicroservices) -> None:
    config = nemo.evaluation.configs.create(
        **blueprint_tool_config(room),
        name="tools@v1.0+x",
        namespace="dfwbp",
        description="d",
        project="flywheel",
    )
    assert (config.name, config.namespace, config.type) == ("tools@v1.0+x", "dfwbp", "custom")
    assert (config.id or "").startswith("eval-config-")
    assert config.created_at is not None
    assert config.created_at.tzinfo is None
    again = nemo.evaluation.configs.retrieve("tools@v1.0+x", namespace="dfwbp")
    assert again.tasks is not None
    metric = (again.tasks["custom-tool-calling"].metrics or {})["correctness"]
    assert metric.params is not None
    model: Any = metric.params["model"]
    assert model["api_endpoint"]["api_key"] == "******"
    changed = nemo.evaluation.configs.update("tools@v1.0+x", path_namespace="dfwbp", description="changed")
    assert changed.description == "changed"
    found = nemo.evaluation.configs.list(filter={"namespace": "dfwbp"}, sort="-created_at")
    assert [one.name for one in found] == ["tools@v1.0+x"]
    with pytest.raises(nemo_microservices.ConflictError):
        nemo.evaluation.configs.create(type="custom", name="tools@v1.0+x", namespace="dfwbp")
    target = nemo.evaluation.targets.create(type="model", name="t1", namespace="dfwbp", model="meta/llama")
    assert (target.type, target.model, (target.id or "").startswith("eval-target-")) == (
        "model",
        "meta/llama",
        True,
    )
    assert nemo.evaluation.targets.retrieve("t1", namespace="dfwbp").model == "meta/llama"
    nemo.evaluation.targets.update("t1", namespace="dfwbp", description="x")
    assert [one.name for one in nemo.evaluation.targets.list()] == ["t1"]
    job = nemo.evaluation.jobs.create(config="dfwbp/tools@v1.0+x", target="dfwbp/t1", namespace="dfwbp")
    assert (job.config.name, job.target.name) == ("tools@v1.0+x", "t1")
    wait(nemo, job.id or "")
    assert nemo.evaluation.targets.delete("t1", namespace="dfwbp").id == target.id
    assert nemo.evaluation.configs.delete("tools@v1.0+x", namespace="dfwbp").id == config.id
    with pytest.raises(nemo_microservices.NotFoundError):
        nemo.evaluation.configs.delete("tools@v1.0+x", namespace="dfwbp")
    assert nemo.evaluation.jobs.retrieve(job.id or "").config.name == "tools@v1.0+x"


def wait(nemo: NeMoMicroservices, job_id: str) -> None:
    deadline = time.monotonic() + 30
    while nemo.evaluation.jobs.retrieve(job_id).status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_sdks_jobs_and_results(room: Room, nemo: NeMoMicroservices) -> None:
    job = nemo.evaluation.jobs.create(
        config=blueprint_tool_config(room),  # type: ignore[arg-type]
        target={"type": "model", "model": "meta/llama"},
        namespace="dfwbp",
        custom_fields={"run": "r1"},
    )
    assert job.id is not None
    assert job.id.startswith("eval-")
    assert job.status_details is not None
    assert job.status_details.progress is not None
    wait(nemo, job.id)
    status = nemo.evaluation.jobs.status(job.id)
    assert (status.progress, status.samples_processed) == (100.0, 8)
    assert status.task_status == {"custom-tool-calling": "completed"}
    result = nemo.evaluation.jobs.results(job.id)
    assert (result.job, result.namespace) == (job.id, "dfwbp")
    score = ((result.tasks or {})["custom-tool-calling"].metrics or {})["tool-calling-accuracy"].scores or {}
    stats = score["function_name_and_args_accuracy"].stats
    assert stats is not None
    assert (stats.count, stats.mean, stats.variance, stats.nan_count) == (8, 1.0, 0.0, 0)
    with zipfile.ZipFile(io.BytesIO(nemo.evaluation.jobs.download_results(job.id).read())) as archive:
        assert archive.namelist() == ["results.json"]
    assert nemo.evaluation.jobs.download_logs(job.id)
    assert job.id in [one.id for one in nemo.evaluation.jobs.list(filter={"namespace": "dfwbp"}, page_size=1)]
    with pytest.raises(nemo_microservices.ConflictError):
        nemo.evaluation.jobs.cancel(job.id)
    stored = nemo.evaluation.results.retrieve(result.id or "")
    assert stored.job == job.id
    nemo.evaluation.results.update(result.id or "", description="seen")
    assert "seen" in [one.description for one in nemo.evaluation.results.list()]
    mine = nemo.evaluation.results.create(job=job.id, namespace="dfwbp", description="by hand")
    assert nemo.evaluation.results.delete(mine.id or "").id == mine.id
    nemo.evaluation.jobs.delete(job.id)
    with pytest.raises(nemo_microservices.NotFoundError):
        nemo.evaluation.jobs.retrieve(job.id)
    with pytest.raises(nemo_microservices.NotFoundError):
        nemo.evaluation.results.retrieve(result.id or "")


def test_the_sdk_cancels(room: Room, nemo: NeMoMicroservices) -> None:
    endpoint = {"url": "http://127.0.0.1:9/v1/chat/completions", "model_id": "nobody"}
    job = nemo.evaluation.jobs.create(
        config=blueprint_tool_config(room) | {"params": {"max_retries": 50}},  # type: ignore[arg-type]
        target={"type": "model", "model": {"api_endpoint": endpoint}},
    )
    nemo.evaluation.jobs.cancel(job.id or "")
    assert nemo.evaluation.jobs.retrieve(job.id or "").status == "cancelled"
    with pytest.raises(nemo_microservices.NotFoundError):
        nemo.evaluation.jobs.results(job.id or "")


def test_the_sdk_evaluates_live(room: Room, nemo: NeMoMicroservices) -> None:
    """The shape of NVIDIA's Live Evaluation tutorial: rows and a string check, nothing asked."""
    check = {"type": "string-check", "params": {"check": ["{{some_output}}", "equals", "{{item.expected}}"]}}
    answer = nemo.evaluation.live(
        config={"type": "custom", "tasks": {"qa": {"type": "data", "metrics": {"match": check}}}},  # type: ignore[arg-type]
        target={
            "type": "rows",
            "rows": [{"some_output": "a", "expected": "a"}, {"some_output": "b", "expected": "c"}],
        },
    )
    assert answer.status == "completed"
    assert answer.status_details is not None
    assert answer.status_details.progress == 100.0
    assert answer.result is not None
    scores = ((answer.result.tasks or {})["qa"].metrics or {})["match"].scores or {}
    assert scores["string-check"].value == 0.5
    assert list((room.folder / "evaluator" / "jobs").glob("live-*")) == []


def test_live_failures_and_mistakes(room: Room, nemo: NeMoMicroservices, evaluator: Client) -> None:
    with pytest.raises(nemo_microservices.UnprocessableEntityError, match=r"target\.rows"):
        nemo.evaluation.live(
            config={
                "type": "custom",
                "tasks": {
                    "t": {"type": "data", "metrics": {"m": {"type": "em", "params": {"reference": "x"}}}}
                },
            },  # type: ignore[arg-type]
            target={"type": "rows", "rows": []},
        )
    config = blueprint_tool_config(room) | {"params": {"max_retries": 0}}
    endpoint = {"url": "http://127.0.0.1:9/v1", "model_id": "nobody"}
    failed = httpx.post(
        f"{evaluator.url}/v1/evaluation/live",
        json={"config": config, "target": {"type": "model", "model": {"api_endpoint": endpoint}}},
    ).json()
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert "nobody" in failed["status_details"]["message"]


def test_lists_end_past_their_last_page(nemo: NeMoMicroservices, evaluator: Client) -> None:
    past = httpx.get(f"{evaluator.url}/v1/evaluation/jobs", params={"page": 99}).json()
    assert past["data"] == []
    assert past["pagination"]["page"] == 99
