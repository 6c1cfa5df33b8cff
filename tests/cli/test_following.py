"""The lines of `flywheel runs watch` where there is no terminal."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.cli.runs import _line


def job(**nim: Any) -> dict[str, Any]:
    found = {"model_name": "test/student", "evaluations": [], "customizations": [], **nim}
    return {"workload_id": "tool_router", "status": "running", "nims": [found]}


@pytest.mark.parametrize(
    ("nim", "said"),
    [
        ({"stage": "waiting", "deployment_status": None}, "tool_router: waiting"),
        ({"stage": "deploy", "deployment_status": "pending"}, "tool_router: deployment pending"),
        ({"stage": "release", "deployment_status": "unknown"}, "tool_router: release"),
    ],
)
def test_a_candidate_that_neither_trains_nor_answers_says_its_stage(nim: dict[str, Any], said: str) -> None:
    assert _line(job(**nim)) == said


def test_a_run_without_candidates_says_its_status() -> None:
    assert _line({"workload_id": "tool_router", "status": "pending", "nims": []}) == "tool_router: pending"
