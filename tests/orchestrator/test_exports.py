"""Runs and data sets as tables, over the API: every row is there, and adds up to what the run says."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from flywheel.exports.tables import DATASET, SAMPLES, SCORES
from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.routers import routers
from flywheel.web import make_app
from run_world import CHAT, nim, settings


class Exported:
    """A finished run, and its exports."""

    def __init__(self, here: Any, run_id: str) -> None:
        self.here, self.run_id = here, run_id
        app = make_app("test", "problem", routers(here.context, lambda _: None))
        self.http = TestClient(app, raise_server_exceptions=False)
        self.job = self.http.get(f"/api/jobs/{run_id}").json()

    def rows(self, what: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/api/jobs/{self.run_id}/export", params={"what": what, "format": "jsonl"})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def dataset(self, kind: str, **params: str) -> list[dict[str, Any]]:
        (name,) = [each["name"] for each in self.job["datasets"] if each["kind"] == kind]
        answer = self.http.get(f"/api/datasets/{name}/export", params={"format": "jsonl", **params})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def exported(world) -> Exported:
    here = world(using=settings(nim("test/student"), nim("test/other")))
    run_id = here.start()
    here.finish(run_id)
    return Exported(here, run_id)


def test_scores_are_those_of_the_run(exported):
    rows = exported.rows("scores")
    assert list(rows[0]) == [column.name for column in SCORES]
    told = {
        (nim["model_name"], e["eval_type"], name): value
        for nim in exported.job["nims"]
        for e in nim["evaluations"]
        for name, value in e["scores"].items()
    }
    assert {(row["candidate"], row["eval_type"], row["metric"]): row["value"] for row in rows} == told
    assert len(rows) == len(told)
    row = next(r for r in rows if r["eval_type"] == "customized-eval" and r["decisive"])
    assert (row["metric"], row["value"], row["n"]) == ("function_name_and_args_accuracy", 0.9, 100)
    assert (row["low"], row["high"], row["level"], row["method"]) == (0.8, 1.0, 0.95, "wilson")
    assert row["model"].startswith("dfwbp/customized-test-")
    assert row["verdict"].startswith("not yet: ")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (1000, 100)
    datasets = {each["kind"]: each for each in exported.job["datasets"]}
    assert (row["dataset"], row["dataset_sha256"]) == (datasets["eval"]["name"], datasets["eval"]["sha256"])
    icl = next(r for r in rows if r["eval_type"] == "icl-eval")
    assert icl["dataset_sha256"] == datasets["icl"]["sha256"]
    assert row["finished_at"].endswith("Z")


def test_samples_add_up_to_the_table_of_the_decision(exported):
    rows = exported.rows("samples")
    assert list(rows[0]) == [column.name for column in SAMPLES]
    systems = {s["name"]: s["value"] for s in exported.job["decision"]["table"]["systems"]}
    right = Counter(f"{row['candidate']} {row['eval_type']}" for row in rows if row["right"])
    assert {name: count / 10 for name, count in right.items()} == systems
    assert len(rows) == 10 * 6
    assert len({row["record"] for row in rows}) == 10
    for row in rows:
        assert row["score"] == float(row["right"])
        assert (row["failure"] is None) == row["right"]
        assert row["tool"] == "order_status"
        assert row["question"].startswith("Where is my order A")
        assert row["reference"]["tool_calls"][0]["function"]["name"] == "order_status"
        assert row["scores"]["tool-calling-accuracy.function_name_and_args_accuracy"] == row["score"]


def test_answers_in_words_have_no_tool_and_a_graded_score(world):
    here = world(nemo=FakeNemo(scores={"base-eval": 4.0, "icl-eval": 4.0, "customized-eval": 4.0}))
    run_id = here.start(CHAT)
    here.finish(run_id)
    rows = Exported(here, run_id).rows("samples")
    assert {row["tool"] for row in rows} == {"no call"}
    assert {row["metric"] for row in rows} == {"similarity"}
    assert {row["score"] for row in rows} == {0.0}  # 1 on the scale from 1 to 10.


@pytest.mark.parametrize("what", ["scores", "samples"])
def test_the_three_formats_hold_the_same(exported, what):
    rows = exported.rows(what)
    path, ask = f"/api/jobs/{exported.run_id}/export", exported.http.get
    comma = ask(path, params={"what": what})
    assert comma.headers["content-type"] == "text/csv; charset=utf-8"
    assert comma.headers["content-disposition"].endswith(f"{exported.run_id}-{what}.csv")
    read = list(csv.DictReader(io.StringIO(comma.text, newline="")))
    table = pq.read_table(io.BytesIO(ask(path, params={"what": what, "format": "parquet"}).content))
    assert len(read) == table.num_rows == len(rows)
    for text, typed, value in zip(read, table.to_pylist(), rows, strict=True):
        assert list(text) == list(typed) == list(value)
        for name, expected in value.items():
            nested = isinstance(expected, dict)
            assert (json.loads(typed[name]) if nested else typed[name]) == expected
            if expected is None:
                assert text[name] == ""
            elif nested:
                assert json.loads(text[name]) == expected
            elif isinstance(expected, bool):
                assert text[name] == str(expected).lower()
            elif isinstance(expected, float):
                assert float(text[name]) == expected
            else:
                assert text[name] == str(expected)


def test_evaluation_data_has_what_was_asked_and_what_was_answered(exported):
    rows = exported.dataset("eval")
    assert list(rows[0]) == [column.name for column in DATASET]
    assert [row["row"] for row in rows] == list(range(10))
    asked = {row["record"] for row in exported.rows("samples")}
    assert {row["record"] for row in rows} == asked
    for row in rows:
        assert row["file"] == "eval_data.jsonl"
        assert row["messages"] == [{"role": "user", "content": row["question"]}]
        assert row["tools"][0]["function"]["name"] == row["tool"] == "order_status"
        assert row["answer"]["role"] == "assistant"
        assert row["other"] == {"request": {"model": "teacher"}} | row["other"]


def test_training_data_has_the_answer_apart_from_the_messages(exported):
    rows = exported.dataset("train")
    files = Counter(row["file"] for row in rows)
    told = next(each["files"] for each in exported.job["datasets"] if each["kind"] == "train")
    assert files == told
    for row in rows:
        assert [m["role"] for m in row["messages"]] == ["user"]
        assert row["answer"]["tool_calls"][0]["function"]["arguments"]["order"] in row["question"]
    only = exported.dataset("train", file="validation/val_data.jsonl")
    assert {row["file"] for row in only} == {"validation/val_data.jsonl"}
    assert len(only) == files["validation/val_data.jsonl"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/jobs/nonsense/export", 400, "Invalid job_id format"),
        ("/api/jobs/0123456789abcdef01234567/export", 404, "Job not found"),
        ("/api/datasets/nothing/export", 404, "there is no data set 'nothing'"),
        ("/api/jobs/{run}/export?what=nothing", 422, "'scores' or 'samples'"),
        ("/api/jobs/{run}/export?format=xlsx", 422, "'csv', 'parquet' or 'jsonl'"),
        ("/api/datasets/{data}/export?file=../../etc/passwd", 404, "no file '../../etc/passwd' of JSON"),
        ("/api/datasets/{data}/export?file=*", 404, "no file '*' of JSON lines"),
    ],
)
def test_what_is_not_there_is_said_with_a_status(exported, path, status, said):
    data = exported.job["datasets"][0]["name"]
    answer = exported.http.get(path.format(run=exported.run_id, data=data))
    assert answer.status_code == status
    assert said in answer.text


def test_a_line_that_is_no_object_is_named(exported):
    name = exported.job["datasets"][0]["name"]
    exported.here.nemo.hub.files[f"datasets/dfwbp/{name}"]["eval_data.jsonl"] = b"7\n"
    answer = exported.http.get(f"/api/datasets/{name}/export")
    assert (answer.status_code, answer.json()["code"]) == (502, "bad_line")
    assert "line 1 of eval_data.jsonl" in answer.json()["detail"]


def test_a_run_that_has_measured_nothing_yet_is_an_empty_table(world):
    here = world()
    run_id = here.start()
    assert Exported(here, run_id).rows("scores") == []
    assert Exported(here, run_id).rows("samples") == []


def test_an_evaluator_that_is_away_is_a_status_and_no_half_a_file(exported):
    exported.here.nemo.evaluations.clear()
    answer = exported.http.get(f"/api/jobs/{exported.run_id}/export", params={"what": "samples"})
    assert answer.status_code >= 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_tracker_a_run_cannot_be_sent(exported):
    answer = exported.http.post(f"/api/jobs/{exported.run_id}/export", json={"to": "mlflow"})
    assert answer.status_code == 409
    assert "mlflow_config.enabled" in answer.json()["detail"]
