"""A model that has changed under its old name is another model: what the old one said counts no more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from flywheel.fake_chat import Reply
from flywheel.nemo.evaluation import EvaluationClient
from flywheel.nemo.evaluation_jobs import tool_calling_job
from flywheel.nemo.evaluation_scores import run_scores
from flywheel.services.evaluator.proxied import contents_of
from services.evaluator.room import FILES_URL, Room, finished, number_of, record, right, room_with

ROWS = 40


def slow_at(first: int, gate: dict[str, bool]) -> Any:
    """A model that is right, and takes its time from the row `first` on until the gate is open."""

    def student(body: dict[str, Any]) -> Reply:
        reply = right(body)
        late = not gate["open"] and number_of(body) >= first
        return Reply(reply.text, reply.calls, delay_s=2 if late else 0)

    return student


def half_done(room: Room, client: EvaluationClient, model: object) -> str:
    job = client.create_job(tool_calling_job(model=model, files_url=FILES_URL, parallelism=4))  # type: ignore[arg-type]
    while (client.job(job.id).status_details.samples_processed or 0) < ROWS / 2:
        time.sleep(0.02)
    return job.id


@pytest.mark.parametrize(
    ("now", "asked"), [("a" * 64, ROWS // 2), ("b" * 64, ROWS)], ids=["the same", "another"]
)
def test_after_a_restart_a_model_is_asked_again_where_it_has_changed(
    tmp_path: Path, now: str, asked: int
) -> None:
    gate, served = {"open": False}, {"student": "a" * 64}
    room = room_with(tmp_path, slow_at(ROWS // 2, gate), served)
    room.put_rows([record(n) for n in range(ROWS)])
    with room.evaluator() as client:
        job_id = half_done(room, client, "student")
    before = len(room.chat.requests)
    gate["open"], served["student"] = True, now
    with room.evaluator() as client:
        while not client.job(job_id).finished:
            time.sleep(0.02)
        result = client.results(job_id)
        page = client.samples(job_id, {"page_size": "1000"})
    assert len(room.chat.requests) - before == asked
    assert result.custom_fields["samples"]["total"] == ROWS
    assert result.custom_fields["model"] == {"name": "student", "sha256": now}
    assert len(page["data"]) == ROWS
    assert run_scores(result)["function_name"].value == 1.0


def test_a_model_elsewhere_is_known_by_its_name_alone(tmp_path: Path) -> None:
    """Whatever its server says of itself: only the model proxy is believed."""
    gate, served = {"open": False}, {"student": "a" * 64}
    room = room_with(tmp_path, slow_at(ROWS // 2, gate), served)
    room.put_rows([record(n) for n in range(ROWS)])
    endpoint = {"url": f"{room.model_url}/v1/chat/completions", "model_id": "student"}
    with room.evaluator() as client:
        job_id = half_done(room, client, {"api_endpoint": endpoint})
    before = len(room.chat.requests)
    gate["open"], served["student"] = True, "b" * 64
    with room.evaluator() as client:
        assert finished(client, job_id).status == "completed"
        result = client.results(job_id)
    assert len(room.chat.requests) - before == ROWS // 2
    assert result.custom_fields["model"] == {"name": "student", "sha256": None}


def test_a_judge_that_has_changed_judges_the_same_answers_anew(tmp_path: Path) -> None:
    def models(body: dict[str, Any]) -> Reply:
        return Reply('{"reasoning": "", "score": 1}') if body["model"] == "judge" else right(body)

    served = {"student": "a" * 64, "judge": "c" * 64}
    room = room_with(tmp_path, models, served)
    room.put_rows([record(n) for n in range(3)])
    body = tool_calling_job(model="student", files_url=FILES_URL, judge="judge")
    asked = []
    for judge in ("c" * 64, "c" * 64, "d" * 64):
        served["judge"] = judge
        with room.evaluator() as client:
            assert finished(client, client.create_job(body).id).status == "completed"
        asked.append(sum(each["model"] == "judge" for each in room.chat.requests))
    assert asked == [3, 3, 6]


def test_an_adapter_has_the_content_of_its_base(tmp_path: Path) -> None:
    listing = [
        {"id": "base", "parent": None, "sha256": "a"},
        {"id": "ns/tuned@cust-1", "parent": "base"},
        {"id": "nim", "parent": None},
        {"id": "orphan", "parent": "gone"},
    ]
    assert contents_of(listing) == {"base": "a", "ns/tuned@cust-1": "a"}
