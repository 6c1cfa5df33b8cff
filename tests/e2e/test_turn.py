"""One turn of the wheel as a user makes it: import, start, watch, read; twice, for the same holdout."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, hf_hub_download
from openai import OpenAI

from e2e.wheel import Wheel, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
Job = dict[str, Any]
MAIN_SCORES = {"function_name", "function_name_and_args_accuracy", "tool_calling_correctness"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wheel]:
    with wheel(tmp_path_factory.mktemp("turn")) as running:
        yield running


@pytest.fixture(scope="module")
def first(server: Wheel) -> Job:
    more = {"training_config": {"epochs": 3}, "data_split_config": {"eval_size": 20, "limit": 300}}
    asked = ["-w", "tool_router", "-c", "support-app", "--set", json.dumps(more), "--json"]
    started = server.flywheel("runs", "start", *asked)
    run_id = json.loads(started.stdout)["id"]
    watched = server.flywheel("runs", "watch", run_id, "--json", timeout=600)
    job: Job = json.loads(watched.stdout)
    return job


def evaluation(job: Job, eval_type: str) -> Job:
    found: Job = next(e for e in job["nims"][0]["evaluations"] if e["eval_type"] == eval_type)
    return found


def test_the_run_completes_with_three_evaluations_and_an_adapter(first: Job) -> None:
    assert first["status"] == "completed", first["error"]
    for eval_type in ("base-eval", "icl-eval", "customized-eval"):
        measured = evaluation(first, eval_type)
        assert set(measured["scores"]) >= MAIN_SCORES
        for name, detail in measured["score_details"].items():
            interval = detail["confidence_interval"]
            assert detail["n"] == 20 or name not in MAIN_SCORES
            assert interval["low"] <= detail["value"] <= interval["high"]
        assert measured["latency_ms"]["mean"] > 0
        first_token = measured["latency_ms"]["first_token"]  # Answers are streamed.
        assert 0 < first_token["p50"] <= measured["latency_ms"]["p50"]
        assert measured["progress"] == 100
    training = first["nims"][0]["customizations"][0]
    assert "@cust-" in training["customized_model"]
    assert training["train_loss"] > 0
    assert first["llm_judge"]["model_name"] == "text-matcher"
    report = first["curation"]
    assert report["records_in"] == report["records_out"] + sum(d["count"] for d in report["dropped"])


def test_training_taught_the_student_something(first: Job) -> None:
    name = "function_name"
    base, customized = (evaluation(first, e)["scores"][name] for e in ("base-eval", "customized-eval"))
    assert customized >= base + 0.2


def test_every_answer_can_be_downloaded(server: Wheel, first: Job) -> None:
    job_id = evaluation(first, "customized-eval")["job_id"]
    packed = httpx.get(f"{server.nemo}/v1/evaluation/jobs/{job_id}/download-results", timeout=30).content
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        name = next(n for n in archive.namelist() if n.endswith("results.json"))
        samples = json.loads(archive.read(name))["custom-tool-calling"]
    assert len(samples) == 20
    assert all(sample["item"]["request"]["messages"] for sample in samples)


def test_the_adapter_lies_on_the_hub_by_its_name(server: Wheel, first: Job, tmp_path: Path) -> None:
    name, _, revision = first["nims"][0]["customizations"][0]["customized_model"].partition("@")
    endpoint = f"{server.nemo}/v1/hf"
    files = HfApi(endpoint=endpoint, token=False).list_repo_files(name, revision=revision)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files)
    path = hf_hub_download(
        name, "adapter_config.json", revision=revision, endpoint=endpoint, token=False, local_dir=tmp_path
    )
    assert json.loads(Path(path).read_text())["peft_type"] == "LORA"


def test_the_candidate_is_released_at_the_end(server: Wheel, first: Job) -> None:
    assert first["nims"][0]["deployment_status"] == "completed"
    server.until(lambda: not server.children(), "the student's server to end", 20)
    with OpenAI(base_url=f"{server.models}/v1", api_key="none") as client:
        assert client.models.list().data == []


def test_the_same_job_again_measures_on_the_same_holdout(server: Wheel, first: Job) -> None:
    second = server.wait_for(
        server.post(
            workload_id="tool_router",
            client_id="support-app",
            data_split_config={"eval_size": 20, "limit": 300},
        ),
        lambda job: len(job["datasets"]) == 3,
        "the second run's data sets",
    )
    httpx.post(f"{server.url}/api/jobs/{second['id']}/cancel", timeout=10).raise_for_status()
    parts = [{d["kind"]: d["sha256"] for d in job["datasets"]} for job in (first, second)]
    assert first["id"] != second["id"]
    assert parts[0] == parts[1]
    server.wait_for(second["id"], lambda job: job["status"] == "cancelled", "the second run's end")


def test_the_command_line_shows_the_result(server: Wheel, first: Job) -> None:
    shown = server.flywheel("runs", "show", first["id"][-6:]).stdout
    for word in ("completed", "customized-eval", "function_name_and_args_accuracy", "text-matcher", "@cust-"):
        assert word in shown
    listed = json.loads(server.flywheel("runs", "list", "--json").stdout)
    assert first["id"] in [job["id"] for job in listed]
    checked = json.loads(server.flywheel("doctor", "--json").stdout)
    assert [finding for finding in checked if not finding["ok"]] == []
