"""Jobs from the POST to the result, over HTTP, with a scripted model."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from counted import counted
from flywheel.fake_chat import Reply
from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.evaluation_jobs import generic_job, tool_calling_job
from flywheel.nemo.evaluation_scores import run_scores
from flywheel.services.evaluator.lifecycle import JOBS
from flywheel.stores.entities import Entities
from services.evaluator.room import FILES_URL, finished, number_of, record, right, room_with, served_room_with

JUDGE_KEY = "sk-very-secret"
IN_WORDS = {"similarity": 10.0, "rouge_l": 1.0, "exact_match": 1.0, "f1": 1.0}
SEEN = {"none": 18, "wrong_value": 1, "no_call_expected_call": 1}


def test_a_tool_workload_without_a_judge(tmp_path: Path) -> None:
    """Right on all but two: a wrong value and a missing call."""

    def student(body: dict[str, Any]) -> Reply:
        number = number_of(body)
        if number == 0:
            return Reply(calls=[("order", {"n": 99})])
        return Reply("Let me see.") if number == 1 else right(body)

    samples = {name: counted("flywheel_evaluation_samples_total", failure=name) for name in SEEN}
    ended = counted("flywheel_evaluations_finished_total", status="completed")
    room = room_with(tmp_path, student)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(20)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, namespace="ns"))
        assert (job.status, job.namespace) in (("created", "ns"), ("running", "ns"))
        done = finished(client, job.id)
        assert (done.status, done.status_details.progress) == ("completed", 100.0)
        assert done.status_details.task_status == {"custom-tool-calling": "completed"}
        result = client.results(job.id)
        scores = run_scores(result, "schema")
    assert {name: score.value for name, score in scores.items()} == {
        "function_name": 0.95,
        "nemo_function_name": 0.95,
        "function_name_and_args_accuracy": 0.9,
        "nemo_function_name_and_args_accuracy": 0.9,
        "tool_calling_correctness": 0.9,
        "call_decision_accuracy": 0.95,
        "call_f1": 0.875,
        "argument_accuracy": 0.875,
    }
    stats = scores["function_name_and_args_accuracy"].stats
    assert stats is not None
    assert stats.confidence_interval is not None
    assert (stats.count, stats.sum, stats.confidence_interval.method) == (20, 18.0, "wilson")
    extra = result.custom_fields
    assert extra["failures"] == {"wrong_value": 1, "no_call_expected_call": 1}
    for name, number in SEEN.items():
        assert counted("flywheel_evaluation_samples_total", failure=name) == samples[name] + number
    assert counted("flywheel_evaluations_finished_total", status="completed") == ended + 1
    assert extra["breakdown"]["tools"] == {"order": {"wrong": 1, "missing": 1, "right": 14}}
    assert extra["breakdown"]["arguments"] == {"order.n": {"wrong_value": 1}}
    assert extra["breakdown"]["decisions"]["spoke_wrongly"] == 1
    assert extra["latency_ms"]["p95"] >= extra["latency_ms"]["p50"] > 0
    assert extra["latency_ms"]["mean"] >= extra["latency_ms"]["first_token"]["mean"] > 0
    assert extra["usage"]["prompt_tokens"] > 0
    assert extra["scorers"]["custom-tool-calling.correctness"]["type"] == "text-matcher"
    assert all(body["tool_choice"] == "auto" for body in room.chat.requests)
    assert all((body["model"], body["temperature"]) == ("student", 0.0) for body in room.chat.requests)


def test_a_workload_in_words_with_and_without_a_judge(tmp_path: Path) -> None:
    def models(body: dict[str, Any]) -> Reply:
        if body["model"] == "judge":
            assert "Anything else?" in body["messages"][1]["content"]
            return Reply('{"reasoning": "the same", "score": 10}')
        return Reply("anything else")

    room = room_with(tmp_path, models)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in (4, 9, 14)])
        without = client.create_job(generic_job(model="student", files_url=FILES_URL))
        finished(client, without.id)
        scores = run_scores(client.results(without.id))
        assert list(client.results(without.id).tasks) == ["text-matching"]
        assert {name: score.value for name, score in scores.items()} == IN_WORDS
        endpoint = {"url": f"{room.model_url}/v1/chat/completions", "model_id": "judge", "api_key": JUDGE_KEY}
        body = generic_job(model="student", files_url=FILES_URL, judge={"api_endpoint": endpoint})
        judged = client.create_job(body)
        finished(client, judged.id)
        scores = run_scores(client.results(judged.id))
        assert {name: score.value for name, score in scores.items()} == IN_WORDS
        assert list(client.results(judged.id).tasks) == ["llm-as-judge"]


def test_words_are_compared_by_an_embedding_model(tmp_path: Path) -> None:
    room = room_with(tmp_path, lambda body: Reply("Something else?"))
    asked: list[tuple[dict[str, Any], str]] = []

    async def embeddings(request: Request) -> dict[str, Any]:
        body = await request.json()
        asked.append((body, request.headers["authorization"]))
        vectors = {"Anything else?": [1, 0], "Something else?": [3, 4]}
        return {"data": [{"index": i, "embedding": vectors[text]} for i, text in enumerate(body["input"])]}

    room.chat.app.add_api_route("/v1/embeddings", embeddings, methods=["POST"])
    endpoint = {"url": f"{room.model_url}/v1/embeddings", "model_id": "embedder", "api_key": JUDGE_KEY}
    embedding = {"model": {"api_endpoint": endpoint}, "input_type": "query"}
    with room.evaluator() as client:
        room.put_rows([record(n) for n in (4, 9)])
        job = client.create_job(generic_job(model="student", files_url=FILES_URL, embedding=embedding))
        finished(client, job.id)
        scores = run_scores(client.results(job.id))
        pages = [
            httpx.get(f"{client.url}/v1/evaluation/jobs/{job.id}{tail}").text
            for tail in ("", "/results", "/samples")
        ]
    assert scores["embedding_similarity"].value == pytest.approx(0.6)
    assert [body["input"] for body, _ in asked] == [["Something else?", "Anything else?"]] * 2
    assert {(body["model"], body["input_type"], key) for body, key in asked} == {
        ("embedder", "query", f"Bearer {JUDGE_KEY}")
    }
    assert not [page for page in pages if JUDGE_KEY in page]


def test_what_the_teacher_got_wrong_is_left_out_and_counted(tmp_path: Path) -> None:
    broken = record(0)
    broken["response"]["choices"][0]["message"]["tool_calls"] = [
        {"id": "1", "type": "function", "function": {"name": "order", "arguments": "{oops"}}
    ]
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        room.put_rows([broken, *(record(n) for n in range(1, 5))])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL))
        finished(client, job.id)
        result = client.results(job.id)
    stats = run_scores(result)["function_name_and_args_accuracy"].stats
    assert stats is not None
    assert (stats.count, stats.nan_count, stats.mean) == (4, 1, 1.0)
    assert sum(result.custom_fields["bad_references"].values()) == 1


def test_without_streams_no_first_token_is_measured(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(3)])
        body = tool_calling_job(model="student", files_url=FILES_URL)
        streams = client.create_job(body)
        finished(client, streams.id)
        body["config"]["params"]["stream"] = False
        whole = client.create_job(body)
        finished(client, whole.id)
        latencies = [client.results(job.id).custom_fields["latency_ms"] for job in (streams, whole)]
        sample = client.samples(streams.id, {})["data"][0]
    assert ["first_token" in latency for latency in latencies] == [True, False]
    assert 0 < sample["first_token_ms"] <= sample["latency_ms"]
    assert ["stream" in body for body in room.chat.requests] == [True] * 3 + [False] * 3


def test_limits_take_the_first_rows(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(9)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, limit=3))
        assert finished(client, job.id).status_details.samples_processed == 3
    assert sorted(map(number_of, room.chat.requests)) == [0, 1, 2]


def test_a_judge_that_talks_nonsense_leaves_no_score_but_the_others_stand(tmp_path: Path) -> None:
    def models(body: dict[str, Any]) -> Reply:
        return Reply("Well, who knows?") if body["model"] == "judge" else right(body)

    room = room_with(tmp_path, models)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(5)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, judge="judge"))
        finished(client, job.id)
        result = client.results(job.id)
    rating = result.tasks["custom-tool-calling"].metrics["correctness"].scores["rating"]
    assert rating.stats is not None
    assert (rating.value, rating.stats.count, rating.stats.nan_count) == (0.0, 0, 5)
    assert "tool_calling_correctness" not in run_scores(result)
    assert {"function_name", "function_name_and_args_accuracy"} <= set(run_scores(result))


def test_the_judge_is_asked_once_for_the_same_answer_over_jobs(tmp_path: Path) -> None:
    def models(body: dict[str, Any]) -> Reply:
        return Reply('{"reasoning": "", "score": 1}') if body["model"] == "judge" else right(body)

    room = room_with(tmp_path, models)
    room.put_rows([record(n) for n in range(3)])
    body = tool_calling_job(model="student", files_url=FILES_URL, judge="judge")
    for _ in range(2):
        with room.evaluator() as client:
            job = client.create_job(body)
            assert finished(client, job.id).status == "completed"
            assert run_scores(client.results(job.id))["tool_calling_correctness"].value == 1.0
    assert sum(body["model"] == "judge" for body in room.chat.requests) == 3
    assert sum(body["model"] == "student" for body in room.chat.requests) == 6


def test_a_dead_model_fails_the_job_at_once_with_its_error(tmp_path: Path) -> None:
    room = room_with(tmp_path, lambda body: Reply("no such model: student", status=404))
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(300)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL))
        done = finished(client, job.id)
        assert done.status == "failed"
        assert "no such model: student" in (done.status_details.message or "")
        assert done.status_details.task_status == {"custom-tool-calling": "failed"}
        with pytest.raises(ServiceCallFailed, match="404"):
            client.results(job.id)
    assert len(room.chat.requests) < 40


def test_too_many_failures_of_the_machinery_are_no_score(tmp_path: Path) -> None:
    def flaky(body: dict[str, Any]) -> Reply:
        return Reply("out of memory", status=500) if number_of(body) % 4 == 1 else right(body)

    room = room_with(tmp_path, flaky)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(40)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, max_retries=1))
        done = finished(client, job.id)
        assert done.status == "failed"
        assert "of 40 samples failed for reasons of infrastructure" in (done.status_details.message or "")
        assert "out of memory" in (done.status_details.message or "")
        logs = httpx.get(f"{client.url}/v1/evaluation/jobs/{job.id}/logs").json()
        assert any("out of memory" in line["message"] for line in logs["data"])


def test_a_few_failures_are_wrong_answers(tmp_path: Path) -> None:
    def flaky(body: dict[str, Any]) -> Reply:
        return Reply("out of memory", status=500) if number_of(body) == 0 else right(body)

    room = room_with(tmp_path, flaky)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(20)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, max_retries=0))
        assert finished(client, job.id).status == "completed"
        result = client.results(job.id)
    assert run_scores(result)["function_name_and_args_accuracy"].value == 0.95
    assert result.custom_fields["failures"] == {"error": 1}
    assert result.custom_fields["samples"] == {"total": 20, "answered": 19, "infrastructure_failures": 1}


UNREADABLE = [
    (None, FILES_URL, "ns/holdout"),
    ("", FILES_URL, "has no rows"),
    ("{oops\n", FILES_URL, "eval_data.jsonl, line 1: is not JSON"),
    ("[1]", FILES_URL, "element 1: is a int, not an object"),
    ('{"a": 1}\n', FILES_URL, "none of its rows can be asked"),
    ("{}\n", "hf://datasets/ns/holdout/other.jsonl", "holds no file"),
    ("{}\n", "hf://datasets/ns/holdout/../../../secrets.jsonl", "the path leaves the repository"),
    ("{}\n", "s3://bucket/x", "expected hf://"),
]


def test_data_that_cannot_be_read_fails_the_job_with_the_reason(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        (tmp_path / "secrets.jsonl").write_text(json.dumps(record(0)))
        for rows, files_url, message in UNREADABLE:
            if rows is not None:
                room.put_rows([])
                (room.hub.root / "ns/holdout/eval_data.jsonl").write_text(rows)
            job = client.create_job(tool_calling_job(model="student", files_url=files_url))
            done = finished(client, job.id)
            assert done.status == "failed"
            assert message in (done.status_details.message or "")
    assert room.chat.requests == []


def test_json_arrays_csv_and_folders_are_read(tmp_path: Path) -> None:
    metric = {
        "type": "string-check",
        "params": {"check": ["{{sample.output_text}}", "==", "{{item.gold_answer}}"]},
    }
    template = {"messages": [{"role": "user", "content": "{{item.question}}"}]}
    room = room_with(tmp_path, lambda body: Reply("4"))
    with room.evaluator() as client:
        folder = room.hub.root / "ns/sums/testing"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text(json.dumps([{"Question": "2+2", "Gold answer": "4"}]))
        (folder / "b.csv").write_text('Question,Gold answer\n"1+1, is it?",2\n')
        (folder / "c.jsonl").write_text('\n{"question": "1+3", "gold_answer": "4"}\n\n')
        task = {
            "type": "chat-completion",
            "dataset": {"files_url": "hf://datasets/ns/sums/testing/"},
            "params": {"template": template},
            "metrics": {"check": metric},
        }
        body = {
            "config": {"type": "custom", "tasks": {"sums": task}},
            "target": {"type": "model", "model": "student"},
        }
        job = client.create_job(body)
        assert finished(client, job.id).status == "completed"
        score = client.results(job.id).tasks["sums"].metrics["check"].scores["string-check"]
    assert score.stats is not None
    assert (score.value, score.stats.count) == (pytest.approx(2 / 3), 3)


def test_samples_can_be_browsed_and_downloaded(tmp_path: Path) -> None:
    def student(body: dict[str, Any]) -> Reply:
        return Reply("half a pair: \ud83d") if number_of(body) == 1 else right(body)

    room = room_with(tmp_path, student)
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(12)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL))
        finished(client, job.id)
        url = f"{client.url}/v1/evaluation/jobs/{job.id}"
        page = httpx.get(f"{url}/samples", params={"page": 2, "page_size": 5}).json()
        assert [sample["index"] for sample in page["data"]] == [5, 6, 7, 8, 9]
        assert page["pagination"]["total_results"] == 12
        assert page["data"][0]["calls"] == [{"name": "order", "arguments": {"n": 5}}]
        assert page["data"][0]["latency_ms"] > 0
        wrong = httpx.get(f"{url}/samples", params={"filter[failure]": "no_call_expected_call"}).json()
        assert [sample["index"] for sample in wrong["data"]] == [1]
        past = httpx.get(f"{url}/samples", params={"page": 9}).json()
        assert past["data"] == []
        document = results_json(client.download_results(job.id))
    (task,) = document
    assert task == "custom-tool-calling"
    assert [entry["item"]["timestamp"] for entry in document[task]] == [1700000000 + n for n in range(12)]
    assert document[task][0]["sample"]["response"]["model"] == "student"
    scores = document[task][0]["metrics"]["tool-calling-accuracy"]["scores"]
    assert scores["function_name_accuracy"] == {"value": 1.0}


def results_json(archive: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        document: dict[str, Any] = json.loads(files.read("results.json"))
    return document


def test_cancel_stops_asking_and_keeps_the_samples(tmp_path: Path) -> None:
    room = room_with(tmp_path, lambda body: Reply("x", delay_s=0.05))
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(400)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, parallelism=2))
        while (client.job(job.id).status_details.samples_processed or 0) < 3:
            time.sleep(0.02)
        client.cancel_job(job.id)
        done = client.job(job.id)
        assert done.status == "cancelled"
        assert 0 < done.progress < 100
        asked = len(room.chat.requests)
        client.cancel_job(job.id)  # Again: nothing to do.
        time.sleep(0.2)
        assert len(room.chat.requests) == asked
        again = httpx.post(f"{client.url}/v1/evaluation/jobs/{job.id}/cancel", json={})
        assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")


def test_delete_while_running_leaves_nothing(tmp_path: Path) -> None:
    room = room_with(tmp_path, lambda body: Reply("x", delay_s=0.05))
    with room.evaluator() as client:
        room.put_rows([record(n) for n in range(400)])
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL, parallelism=2))
        while not room.chat.requests:
            time.sleep(0.02)
        assert httpx.delete(f"{client.url}/v1/evaluation/jobs/{job.id}").status_code == 204
        gone = httpx.get(f"{client.url}/v1/evaluation/jobs/{job.id}")
        assert (gone.status_code, job.id in gone.json()["detail"]) == (404, True)
        client.delete_job(job.id)
        assert list((tmp_path / "evaluator/jobs").iterdir()) == []


def test_a_run_finds_its_own_jobs_again(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        room.put_rows([record(0)])
        mine = {"run": "r1", "candidate": "student", "eval_type": "base-eval"}
        body = tool_calling_job(model="student", files_url=FILES_URL, custom_fields=mine)
        job = client.create_job(body)
        client.create_job(
            tool_calling_job(model="student", files_url=FILES_URL, custom_fields=mine | {"run": "r2"})
        )
        assert [found.id for found in client.jobs_with(mine)] == [job.id]
        assert client.jobs_with({"run": "r3"}) == []


def test_a_stopped_service_goes_on_where_it_was(tmp_path: Path) -> None:
    gate = {"open": False}

    def slowly(body: dict[str, Any]) -> Reply:
        reply = right(body)
        late = not gate["open"] and number_of(body) >= 30
        return Reply(reply.text, reply.calls, delay_s=2 if late else 0)

    room = room_with(tmp_path, slowly)
    room.put_rows([record(n) for n in range(60)])
    body = tool_calling_job(model="student", files_url=FILES_URL, parallelism=4)
    with room.evaluator() as client:
        job = client.create_job(body)
        while (client.job(job.id).status_details.samples_processed or 0) < 30:
            time.sleep(0.02)
    first = len(room.chat.requests)
    assert first <= 30 + 4
    gate["open"] = True
    with room.evaluator() as client:
        assert client.job(job.id).status in ("running", "completed")
        assert client.job(job.id).progress >= 50.0
        assert finished(client, job.id).status == "completed"
        assert client.results(job.id).custom_fields["samples"]["total"] == 60
    assert len(room.chat.requests) - first == 30
    assert room.hub.downloads == 1


LIFE = """
import sys
from pathlib import Path
from serving_apps import serve_app
from services.evaluator.room import FolderHub
from flywheel.services.evaluator.router import router
from flywheel.services.evaluator.service import EvaluatorService
from serving_apps import nemo_app
folder, model_url = Path(sys.argv[1]), sys.argv[2]
hub = FolderHub(folder / "hub")
service = EvaluatorService(folder / "evaluator", "http://datastore.test", model_url, hub_at=lambda e: hub)
service.start()
with serve_app(nemo_app("evaluator", router(service))) as url:
    sys.stdout.write(url + "\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_after_kill_9_only_the_missing_samples_are_asked(tmp_path: Path) -> None:
    """500 samples, killed in the middle: what was scored before is not asked again."""

    def student(body: dict[str, Any]) -> Reply:
        reply = right(body)
        return Reply(reply.text, reply.calls, delay_s=0.005)

    with served_room_with(tmp_path, student) as room:
        room.put_rows([record(n) for n in range(500)])
        tests = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", LIFE, str(tmp_path), room.model_url]
        environment = os.environ | {"PYTHONPATH": tests}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as life:
            assert life.stdout is not None
            url = life.stdout.readline().strip()
            body = tool_calling_job(model="student", files_url=FILES_URL)
            job_id = httpx.post(f"{url}/v1/evaluation/jobs", json=body).json()["id"]
            while len(room.chat.requests) < 250:
                time.sleep(0.005)
            life.send_signal(signal.SIGKILL)
        time.sleep(0.2)
        kept = (tmp_path / "evaluator/jobs" / job_id / "samples.jsonl").read_bytes().count(b"\n")
        before = len(room.chat.requests)
        assert 200 < kept < 500
        with room.evaluator() as client:
            assert client.job(job_id).progress >= 100 * kept / 500
            assert finished(client, job_id, within_s=60).status == "completed"
            result = client.results(job_id)
    assert len(room.chat.requests) - before == 500 - kept
    assert before - kept <= 16
    assert run_scores(result)["function_name_and_args_accuracy"].value == 1.0
    assert result.custom_fields["samples"]["total"] == 500


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    room.put_rows([record(n) for n in range(10)])
    with room.evaluator() as client:
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL))
        finished(client, job.id)
        samples = tmp_path / "evaluator/jobs" / job.id / "samples.jsonl"
        with samples.open("ab") as file:
            file.write(b'{"task": "custom-tool-cal')
        assert len(results_json(client.download_results(job.id))["custom-tool-calling"]) == 10


def test_after_a_restart_the_model_may_take_its_time_to_come_back(tmp_path: Path) -> None:
    """The proxy does not list the student at first; asking it then would fail the job."""
    listed = ["student"]

    def student(body: dict[str, Any]) -> Reply:
        return right(body) if "student" in listed else Reply("not served", status=404)

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            listed.append("student")

    looks: list[float] = []
    room = room_with(tmp_path, student, listed)
    room.put_rows([record(n) for n in range(5)])
    with room.evaluator() as client:
        job = client.create_job(tool_calling_job(model="student", files_url=FILES_URL))
        assert finished(client, job.id).status == "completed"
    entities = Entities(tmp_path / "evaluator/evaluator.sqlite")
    entities.update(JOBS, job.id, lambda old: {**old, "status": "running", "result": None})
    entities.close()  # As after a kill, before anything was asked:
    shutil.rmtree(tmp_path / "evaluator/jobs")
    listed.clear()
    with room.evaluator(sleep=sleep) as client:
        assert finished(client, job.id).status == "completed"
    assert looks == [1.0, 1.0, 1.0]


def test_keys_are_hidden_everywhere_but_used(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    room.put_rows([record(0)])
    endpoint = {"url": f"{room.model_url}/v1", "model_id": "student", "api_key": JUDGE_KEY}
    target = {"type": "model", "name": "t1", "model": {"api_endpoint": endpoint}}
    with room.evaluator() as client:
        base = f"{client.url}/v1/evaluation"
        made = httpx.post(f"{base}/targets", json=target)
        assert made.json()["model"]["api_endpoint"]["api_key"] == "******"
        patched = httpx.patch(f"{base}/targets/default/t1", json={"model": made.json()["model"]})
        body = tool_calling_job(model="student", files_url=FILES_URL, judge={"api_endpoint": endpoint})
        job = httpx.post(f"{base}/jobs", json=body | {"target": "default/t1"})
        job_id = job.json()["id"]
    with room.evaluator() as client:
        base = f"{client.url}/v1/evaluation"
        finished(client, job_id)
        pages = [
            made.text,
            patched.text,
            job.text,
            *(httpx.get(f"{base}/{path}").text for path in ("targets", "targets/default/t1", "jobs")),
            *(
                httpx.get(f"{base}/jobs/{job_id}{tail}").text
                for tail in ("", "/results", "/logs", "/samples")
            ),
            json.dumps(results_json(client.download_results(job_id))),
        ]
    assert not [page for page in pages if JUDGE_KEY in page]
    assert set(room.chat.authorizations) == {f"Bearer {JUDGE_KEY}"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "mmlu"}, "config.type: 'mmlu' is not served here"),
    ({"tasks": {}}, "config.tasks: names no task"),
    ({"params": {"parallelism": 0}}, "config.params.parallelism: Input should be greater"),
    ({"tasks": {"t": {"type": "agentic"}}}, "config.tasks.t.type: 'agentic' is none of chat-completion"),
    ({"tasks": {"t": {"type": "chat-completion"}}}, "config.tasks.t.params.template: is required"),
    (
        {"tasks": {"t": {"type": "chat-completion", "params": {"template": {"messages": "{{ x"}}}}},
        "template config.tasks.t.params.template.messages",
    ),
    (
        {"tasks": {"t": {"type": "data", "metrics": {"m": {"type": "vibes"}}}}},
        "metric config.tasks.t.metrics.m.type: 'vibes' is none of",
    ),
    (
        {"tasks": {"t": {"type": "data", "metrics": {"m": {"type": "em", "params": {"reference": "x"}}}}}},
        "config.tasks.t.dataset.files_url: is required",
    ),
]


def test_what_is_wrong_with_a_job_is_said_at_once(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        body = tool_calling_job(model="student", files_url=FILES_URL)
        for change, message in WRONG:
            wrong = body | {"config": body["config"] | change}
            answer = httpx.post(f"{client.url}/v1/evaluation/jobs", json=wrong)
            assert answer.status_code == 422
            assert message in answer.json()["detail"]
        assert httpx.get(f"{client.url}/v1/evaluation/jobs").json()["data"] == []


def test_bodies_and_names_that_make_no_sense(tmp_path: Path) -> None:
    room = room_with(tmp_path, right)
    with room.evaluator() as client:
        base = f"{client.url}/v1/evaluation"
        assert httpx.post(f"{base}/jobs", json={}).status_code == 422
        missing = httpx.post(
            f"{base}/jobs", json={"config": "ns/none", "target": {"type": "model", "model": "m"}}
        )
        assert (missing.status_code, "ns/none" in missing.json()["detail"]) == (404, True)
        evil = httpx.post(f"{base}/configs", json={"type": "custom", "name": "../../x"})
        assert evil.status_code == 422
        assert httpx.get(f"{base}/jobs/eval-none/results").status_code == 404
