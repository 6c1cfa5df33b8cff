"""The same turn of the wheel on Elasticsearch, MongoDB, Redis and two Celery workers as in one process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from e2e.wheel import CONFIG, Wheel, begun, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ASKED = {"workload_id": "tool_router", "client_id": "support-app"}


def on_servers(elasticsearch_url: str, mongo_url: str, redis_url: str) -> str:
    name = f"test-{uuid4().hex[:12]}"
    return (
        CONFIG.partition("wakeups:")[0]
        + f"""
records: {{type: elasticsearch, url: "{elasticsearch_url}", index: "{name}"}}
runs: {{type: mongo, url: "{mongo_url}", database: "{name}"}}
wakeups: {{type: celery, broker_url: "{redis_url}", queue: "{name}", poll_interval: 0.2, sweep_interval: 2}}
"""
    )


def completed(server: Wheel, run_id: str) -> dict[str, Any]:
    job = server.wait_for(run_id, lambda j: j["status"] not in ("queued", "running"), "the run's end")
    assert job["status"] == "completed", job["error"]
    return job


def measured(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {e["eval_type"]: e["scores"] for e in job["nims"][0]["evaluations"]}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with wheel(tmp_path_factory.mktemp("embedded")) as server:
        return completed(server, server.post(**ASKED))


def test_the_scores_are_those_of_one_process_though_a_worker_is_killed(
    embedded: dict[str, Any], tmp_path: Path, elasticsearch_url: str, mongo_url: str, redis_url: str
) -> None:
    config = on_servers(elasticsearch_url, mongo_url, redis_url)
    with wheel(tmp_path, config=config) as server:
        first = server.start_worker()
        server.start_worker()
        server.start_worker("beat")
        run_id = server.post(**ASKED)
        server.wait_for(run_id, begun("base-eval"), "the first evaluation")
        first.send_signal(signal.SIGKILL)
        job = completed(server, run_id)
        server.workers.remove(first)
    assert measured(job) == measured(embedded)
    for key in ("train_loss", "val_loss"):
        mine, theirs = (j["nims"][0]["customizations"][0][key] for j in (job, embedded))
        assert mine == pytest.approx(theirs, rel=1e-3)
    assert {d["kind"]: d["sha256"] for d in job["datasets"]} == {
        d["kind"]: d["sha256"] for d in embedded["datasets"]
    }
