"""Cancel at every step: the run ends as cancelled and nothing is left running."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from e2e.wheel import STEPS, Wheel, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_cancel_at_every_step_leaves_nothing_running(tmp_path: Path) -> None:
    with wheel(tmp_path) as server:
        for name, reached in STEPS[:-1]:
            run_id = server.post(workload_id="tool_router", client_id="support-app")
            server.wait_for(run_id, reached, name)
            cancel(server, run_id)
            job = server.wait_for(run_id, lambda job: job["finished_at"] is not None, f"the end after {name}")
            assert job["status"] == "cancelled", name
            assert job["error"] == "Job cancelled by user"
            server.until(lambda: not server.children(), f"nothing to run after {name}", 20)


def cancel(server: Wheel, run_id: str) -> None:
    answer = httpx.post(f"{server.url}/api/jobs/{run_id}/cancel", timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"id": run_id, "message": "Job cancellation initiated successfully."}
