"""`/api/records` and `/api/config`: records in and out over HTTP, and what a job can be started with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from flywheel.config import (
    EmbeddingConfig,
    IclConfig,
    LlmJudgeConfig,
    Pricing,
    SimilarityConfig,
    TeacherConfig,
)
from flywheel.curation.envelope import log_line
from flywheel.curation.reading import LONGEST_LINE
from flywheel.errors import StorageFull
from flywheel.models import Record, Workload
from flywheel.orchestrator.recording import TOLD
from flywheel.orchestrator.routers import routers
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.web import make_app
from run_world import WORKLOAD, chat_record, nim, settings, tool_record
from serving_apps import serve_app

LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
def logs(tmp_path) -> EmbeddedLogStore:
    return EmbeddedLogStore(tmp_path / "own.sqlite")


@pytest.fixture
def http(world, logs) -> TestClient:
    here = world().reborn(logs=logs)
    return TestClient(
        make_app("test", "problem", routers(here.context, lambda _: None)), raise_server_exceptions=False
    )


def lines(*records: Record) -> bytes:
    return b"".join(map(log_line, records))


def post(http: TestClient, content: Any, expect: int = 200, **params: str) -> Any:
    answer = http.post("/api/records", content=content, params=params, headers=LINES)
    assert answer.status_code == expect, answer.text
    return answer.json() if expect == 200 else answer.json()["detail"]


def test_records_come_in_once_and_go_out_as_they_came(http, logs):
    body = lines(*map(tool_record, range(30)))
    assert post(http, body) == {"new": 30, "duplicates": 0, "invalid": [], "invalid_total": 0}
    assert post(http, body + lines(chat_record(1)))["duplicates"] == 30
    out = http.get("/api/records", params={"workload_id": "tool_router"})
    assert out.content == body
    assert out.headers["content-type"] == "application/x-ndjson"
    assert out.headers["x-content-type-options"] == "nosniff"
    assert post(http, out.content)["new"] == 0


@pytest.mark.parametrize(
    "packed",
    [
        lambda body: gzip.compress(body),
        lambda body: b"[" + b",".join(body.splitlines()) + b"]",
        lambda body: iter([body[:7], body[7:5000], b"", body[5000:]]),
    ],
    ids=["gzip", "array", "pieces"],
)
def test_a_log_is_taken_in_any_of_its_forms(http, packed: Callable[[bytes], bytes | Iterator[bytes]]):
    assert post(http, packed(lines(*map(tool_record, range(30)))))["new"] == 30


def test_lines_that_are_no_records_are_told_and_keep_no_other_out(http, logs):
    found = post(http, lines(tool_record(1)) + b'{"request": 1}\n{oh\n\n' + lines(tool_record(2)) + b"[1]\n")
    assert (found["new"], found["invalid_total"], logs.count()) == (2, 3, 2)
    assert [(each["line"], each["reason"]) for each in found["invalid"]] == [
        (2, "wrong_type"),
        (3, "not_json"),
        (6, "not_an_object"),
    ]
    assert found["invalid"][0]["problem"] == "request is a number, not an object"
    many = post(http, lines(tool_record(3)) + b"no\n" * 250)
    assert (many["new"], len(many["invalid"]), many["invalid_total"]) == (1, TOLD, 250)


def test_a_line_that_is_too_long_is_told_and_the_next_one_is_kept(http):
    def body() -> Iterator[bytes]:
        for _ in range(LONGEST_LINE // 2**20 + 1):
            yield b"x" * 2**20
        yield b"\n" + lines(tool_record(1))

    found = post(http, body())
    assert (found["new"], found["invalid_total"]) == (1, 1)
    assert "MiB are taken" in found["invalid"][0]["problem"]


def test_tags_are_given_to_lines_that_have_none(http, logs):
    bare = {"timestamp": 1, "request": {"messages": []}, "response": {"choices": []}}
    assert post(http, json.dumps(bare), workload_id="a/b", client_id="c")["new"] == 1
    assert logs.workloads()[0].workload == Workload("c", "a/b")
    assert post(http, json.dumps(bare))["invalid"][0]["problem"] == "workload_id is missing"


@pytest.mark.parametrize(
    ("body", "problem"), [(b"", "is empty"), (b" \n", "is empty"), (b"\0\1\2", "is a binary file")]
)
def test_a_body_with_nothing_to_read_is_refused(http, body, problem):
    assert f"the body {problem}" in post(http, body, expect=422)


@pytest.mark.parametrize(
    "sent", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_what_a_page_of_another_site_may_send_unasked_is_refused(http, logs, sent):
    headers = {"content-type": sent} if sent else {}
    answer = http.post("/api/records", content=lines(tool_record(1)), headers=headers)
    assert answer.status_code == 415
    assert "send records as application/x-ndjson" in answer.json()["detail"]
    assert logs.count() == 0


def test_a_full_disk_says_so_and_keeps_what_came_before(world, tmp_path):
    class Filling(EmbeddedLogStore):
        def add(self, records: Any) -> Any:
            super().add([next(iter(records))])
            raise StorageFull("everything after the first 1 records")

    logs = Filling(tmp_path / "own.sqlite")
    app = make_app("test", "problem", routers(world().reborn(logs=logs).context, lambda _: None))
    http = TestClient(app, raise_server_exceptions=False)
    assert "first 1 records" in post(http, lines(tool_record(1), tool_record(2)), expect=507)
    assert logs.count() == 1


def test_a_client_that_goes_away_within_its_records_breaks_nothing(world, logs):
    here = world().reborn(logs=logs)
    app = make_app("test", "problem", routers(here.context, lambda _: None))

    def cut() -> Iterator[bytes]:
        yield lines(*map(tool_record, range(2_500)))
        raise ConnectionAbortedError

    with serve_app(app) as url:
        with pytest.raises((httpx.TransportError, ConnectionAbortedError)):
            httpx.post(f"{url}/api/records", content=cut(), headers=LINES, timeout=20)
        again = lines(*map(tool_record, range(2_500)))
        found = httpx.post(f"{url}/api/records", content=again, headers=LINES, timeout=20).json()
    assert found["new"] + found["duplicates"] == logs.count() == 2_500


def test_records_are_chosen_by_names_and_time(http, logs):
    other = Workload("another-app", "tool_router")
    logs.add([*map(tool_record, range(5)), *map(chat_record, range(5))])
    logs.add([Record.of(other, 1_700_000_002.5, tool_record(9).request, tool_record(9).response)])

    def times(**query: Any) -> list[float]:
        answer = http.get("/api/records", params=query)
        assert answer.status_code == 200, answer.text
        return [json.loads(line)["timestamp"] - 1_700_000_000 for line in answer.text.splitlines()]

    assert times(workload_id="tool_router") == [0, 1, 2, 2.5, 3, 4]
    assert times(workload_id="tool_router", client_id="another-app") == [2.5]
    assert len(times(client_id="support-app")) == 10
    assert times(workload_id="tool_router", order="newest", limit=3) == [4, 3, 2.5]
    assert times(workload_id="tool_router", since="2023-11-14T22:13:22Z", until="1700000003") == [2, 2.5]
    assert times(workload_id="nothing") == []
    assert len(times()) == 11


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"since": "yesterday"}, "since: timestamp 'yesterday' is neither a number nor ISO 8601"),
        ({"until": "-5"}, "until: timestamp '-5' lies outside"),
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"order": "odd"}, "'oldest' or 'newest'"),
    ],
)
def test_a_mistake_in_the_choice_is_named(http, query, words):
    answer = http.get("/api/records", params=query)
    assert answer.status_code == 422
    assert words in answer.text


def test_a_store_that_is_away_is_an_error_and_no_empty_answer(world, tmp_path):
    logs = EmbeddedLogStore(tmp_path / "own.sqlite")
    (tmp_path / "own.sqlite").write_bytes(b"no database" * 1000)
    app = make_app("test", "problem", routers(world().reborn(logs=logs).context, lambda _: None))
    answer = TestClient(app, raise_server_exceptions=False).get("/api/records")
    assert (answer.status_code, answer.json()["code"]) == (500, "log_store_damaged")


# The configuration


def test_the_configuration_tells_what_a_job_can_be_started_with(world):
    using = settings(nim("test/one"), nim("test/two", gpus=2))
    api = TestClient(make_app("test", "problem", routers(world(using=using).context, lambda _: None)))
    found = api.get("/api/config").json()
    assert [each["model_name"] for each in found["candidates"]] == ["test/one", "test/two"]
    assert found["candidates"][1] == {
        "model_name": "test/two",
        "model_type": "llm",
        "engine": "local",
        "context_length": 4096,
        "gpus": 2,
        "customization_enabled": True,
    }
    assert found["defaults"]["data_split_config"]["eval_size"] == 10
    assert (found["judge"], found["teacher"], found["currency"]) == (None, None, None)
    body = {"workload_id": WORKLOAD.workload_id, "client_id": WORKLOAD.client_id}
    assert api.post("/api/jobs", json=body | found["defaults"]).status_code == 200


def test_the_configuration_tells_no_address_and_no_key_of_a_model_elsewhere(world):
    here = "https://inner.test/v1"
    embedding = EmbeddingConfig(model_name="em", url=f"{here}/embeddings", api_key_env="EMBEDDING_KEY")
    similar = SimilarityConfig(embedding_nim_config=embedding)
    using = settings().model_copy(
        update={
            "llm_judge_config": LlmJudgeConfig(
                model_name="judge", url=f"{here}/chat", api_key_env="JUDGE_KEY"
            ),
            "teacher_config": TeacherConfig(model_name="big", url=f"{here}/chat", api_key_env="TEACHER_KEY"),
            "icl_config": IclConfig(similarity_config=similar),
            "pricing": Pricing(currency="EUR"),
        }
    )
    api = TestClient(make_app("test", "problem", routers(world(using=using).context, lambda _: None)))
    answer = api.get("/api/config")
    found = answer.json()
    assert (found["judge"], found["teacher"], found["currency"]) == ("judge", "big", "EUR")
    shown = found["defaults"]["icl_config"]["similarity_config"]["embedding_nim_config"]
    assert shown["model_name"] == "em"
    assert "inner.test" not in answer.text
    assert "_KEY" not in answer.text
