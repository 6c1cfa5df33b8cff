"""kill -9 of the whole process group at every step: the run completes, and nothing is trained twice."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from e2e.wheel import STEPS, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_survives_a_kill_at_every_step(tmp_path: Path) -> None:
    with wheel(tmp_path) as server:
        run_id = server.post(workload_id="tool_router", client_id="support-app")
        for name, reached in STEPS:
            job = server.wait_for(
                run_id, lambda job, ok=reached: ok(job) or job["status"] == "completed", name
            )
            assert job["status"] in ("pending", "running", "completed"), job["error"]
            server.kill()
            server.start()
        job = server.wait_for(run_id, lambda job: job["status"] not in ("pending", "running"), "the end")

        assert job["status"] == "completed", job["error"]
        assert {e["eval_type"] for nim in job["nims"] for e in nim["evaluations"]} == {
            "base-eval",
            "icl-eval",
            "customized-eval",
        }
        jobs = httpx.get(f"{server.nemo}/v1/customization/jobs", timeout=10).json()
        assert [each["status"] for each in jobs["data"]] == ["completed"]
        server.until(lambda: not server.children(), "the candidate to be released", 20)
        progress = list((server.data).rglob("progress.jsonl"))
        assert len(progress) == 1
        assert progress[0].read_text().count('"completed"') == 1
