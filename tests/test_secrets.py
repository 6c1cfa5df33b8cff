"""No secret of any server leaves by an error, a log line, a document, a page or a trace.

Each server's door is tried against servers in a bad mood: away, speaking another protocol, without the right
certificate, and refusing in words that repeat everything they were sent, headers and all. Every logger of the
process is heard, at DEBUG. Then a whole `flywheel serve` and `flywheel doctor`, on such servers and on good
ones.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from collector import collecting
from elasticsearch_front import Answer, Request, error, front_of, make_certificates
from flywheel import log
from flywheel.config import (
    CeleryWakeups,
    ElasticsearchRecords,
    IclConfig,
    LlmJudgeConfig,
    MongoRuns,
    TeacherConfig,
    TelemetryConfig,
)
from flywheel.errors import FlywheelError
from flywheel.fake_chat import ScriptedChat
from flywheel.nemo.evaluation_jobs import generic_job
from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.broker import Broker
from flywheel.orchestrator.embedding import embedder_at
from flywheel.orchestrator.judge import answering
from flywheel.orchestrator.routers import routers as orchestrator_routers
from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore
from flywheel.stores.runs.mongo import MongoRunStore
from flywheel.stores.runs.protocol import RunQuery
from flywheel.telemetry import metrics, tracing
from flywheel.web import make_app
from run_world import make_records, make_world, settings, tool_record
from servers import testbed as start_server
from services.evaluator.room import FILES_URL, Room, finished, hurried, record, right

SECRETS = {
    "ELASTIC_PASSWORD": "elastic-Pa55/w:rd",
    "ELASTIC_KEY": "ZWxhc3RpYy1pZDplbGFzdGljLWtleQ==",
    "MONGO_PASSWORD": "mongo-Pa55/w:rd",
    "REDIS_PASSWORD": "redis-Pa55/w:rd",
    "JUDGE_KEY": "sk-judge-0123456789abcdef",
    "TEACHER_KEY": "sk-teacher-0123456789abcdef",
    "EMBEDDING_KEY": "nvapi-0123456789abcdef",
    "HF_TOKEN": "hf_0123456789abcdefABCDEF",
}
OTLP_KEY = "otlp-0123456789abcdef"


def forms(secret: str) -> list[str]:
    """The secret, and how it travels."""
    users = ("elastic", "flywheel", "")
    basic = [base64.b64encode(f"{user}:{secret}".encode()).decode() for user in users]
    return [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), *basic]


def leaks(text: str) -> list[str]:
    """Names of the secrets that can be read in the text."""
    known = {**SECRETS, "OTLP": OTLP_KEY}
    return [name for name, secret in known.items() if any(form in text for form in forms(secret))]


@pytest.fixture
def log_text() -> Iterator[io.StringIO]:
    """What every logger of the process says, at DEBUG, as our log writes it."""
    written = io.StringIO()
    handlers = [logging.StreamHandler(written), logging.StreamHandler(written)]
    for handler, formatter in zip(handlers, (log._Text(), log._Json()), strict=True):
        handler.setFormatter(formatter)
    root, ours = logging.getLogger(), logging.getLogger("flywheel")
    before = root.level, ours.level, ours.propagate
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    ours.propagate = True
    root.handlers += handlers
    yield written
    root.handlers = [each for each in root.handlers if each not in handlers]
    root.setLevel(before[0])
    ours.setLevel(before[1])
    ours.propagate = before[2]


# Servers in a bad mood


def repeating(status: int) -> Callable[[Request, object], Answer]:
    """An answer that holds everything that was asked."""

    def rule(request: Request, pass_on: object) -> Answer:
        told = f"{request.method} {request.path} {request.headers} {request.body.decode(errors='replace')}"
        answer = error(status, "some_exception", told)
        body = {**answer.json, "detail": told, "message": told}
        return Answer(status, json.dumps(body).encode(), answer.headers)

    return rule


class _Repeating(socketserver.BaseRequestHandler):
    """Redis' own way: an unknown command is repeated with its arguments."""

    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(65536):
                words = data.decode(errors="replace").replace("\r\n", " ")
                self.request.sendall(f"-ERR unknown command, with args beginning with: {words}\r\n".encode())


class _Nonsense(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            self.request.recv(65536)
            self.request.sendall(b"\x00\xffwhat?\r\n\r\n")


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """The host and port of a server that talks like `handler`."""
    with _Tcp(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


@contextmanager
def moody(mood: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Scheme's end ("" or "s") and address of a server in this mood."""
    if mood == "away":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        yield "", f"127.0.0.1:{port}"
    elif mood == "no TLS":
        with listening(_Nonsense) as address:
            yield "s", address
    elif mood == "untrusted":
        _, tls = make_certificates(folder)
        with front_of("http://127.0.0.1:9", tls) as front:
            yield "s", front.url.partition("://")[2]
    elif mood == "nonsense":
        with listening(_Nonsense) as address:
            yield "", address
    elif mood == "redis repeats":
        with listening(_Repeating) as address:
            yield "", address
    else:
        with front_of("http://127.0.0.1:9") as front:
            front.rule = repeating(int(mood))
            yield "", front.url.partition("://")[2]


# Doors, each as a user of it: what it is asked for, and what is closed in the end


def elastic_key(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    return _elastic({"api_key_env": "ELASTIC_KEY"}, end, address)


def elastic_password(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    return _elastic({"username": "elastic", "password_env": "ELASTIC_PASSWORD"}, end, address)


def _elastic(how: dict[str, str], end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    fields = {"type": "elasticsearch", "url": f"http{end}://{address}", "request_timeout": 5, **how}
    store = ElasticsearchLogStore(
        ElasticsearchRecords.model_validate(fields), environment=SECRETS, pause=lambda seconds: None
    )
    acts = [
        lambda: store.check(thorough=True),
        store.count,
        store.workloads,
        lambda: list(store.query()),
        lambda: store.add([tool_record(1)]),
        store.delete,
    ]
    return store, acts


def mongo(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    config = MongoRuns(
        type="mongo",
        url=f"mongodb://{address}/{'?tls=true' if end else ''}",
        username="flywheel",
        password_env="MONGO_PASSWORD",
        request_timeout=1,
    )
    store = MongoRunStore(config, environment=SECRETS)
    return store, [
        lambda: store.check(thorough=True),
        lambda: store.list(RunQuery()),
    ]


def redis(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    config = CeleryWakeups(
        type="celery", broker_url=f"redis{end}://{address}/0", password_env="REDIS_PASSWORD"
    )
    broker = Broker(config, environment=SECRETS)
    return broker, [
        lambda: broker.check(thorough=True),
        lambda: broker.leave_trace("worker"),
        lambda: broker.present("beat"),
    ]


def judge(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    config = LlmJudgeConfig(
        model_name="judge", url=f"http{end}://{address}/v1/chat/completions", api_key_env="JUDGE_KEY"
    )
    return config, [lambda: answering(config, config.url or "", SECRETS)]


def embedding(end: str, address: str) -> tuple[object, list[Callable[[], object]]]:
    icl = with_embeddings(f"http{end}://{address}")
    model = icl.embedding
    assert model is not None
    embedder = embedder_at(model, model.url or "", SECRETS, remember=False, sleep=hurried)
    return embedder, [lambda: embedder.vectors(["Where is my order?"])]


def with_embeddings(url: str) -> IclConfig:
    model = {"model_name": "nvidia/embed", "url": f"{url}/v1/embeddings", "api_key_env": "EMBEDDING_KEY"}
    return IclConfig.model_validate(
        {
            "example_selection": "semantic_similarity",
            "similarity_config": {"embedding_nim_config": {**model, "request_timeout": 5}},
        }
    )


HTTP_MOODS = ["away", "no TLS", "untrusted", "nonsense", "400", "401", "403", "500"]
CASES = [
    *((door, mood) for door in (elastic_key, elastic_password, judge, embedding) for mood in HTTP_MOODS),
    *((mongo, mood) for mood in ("away", "no TLS", "untrusted", "nonsense")),
    *((redis, mood) for mood in ("away", "no TLS", "untrusted", "nonsense", "redis repeats")),
]


@pytest.mark.parametrize(("door", "mood"), CASES, ids=lambda each: getattr(each, "__name__", each))
def test_no_door_tells_its_secret_however_it_fails(
    door: Callable[[str, str], Any], mood: str, tmp_path: Path, log_text: io.StringIO
) -> None:
    told: list[str] = []
    with moody(mood, tmp_path) as (end, address):
        store, acts = door(end, address)
        told.append(f"{store!r} {getattr(store, '__dict__', '')}")
        for act in acts:
            with pytest.raises(FlywheelError) as caught:
                act()
            told.append(f"{caught.value} {caught.value!r} {vars(caught.value)}")
            log.get_logger("flywheel.test").error("it failed", exc_info=caught.value)
        if hasattr(store, "close"):
            store.close()
    assert "it failed" in log_text.getvalue()
    assert leaks("\n".join([*told, log_text.getvalue(), metrics.page().decode()])) == []


@pytest.mark.parametrize("mood", HTTP_MOODS)
def test_an_evaluation_tells_no_key_of_the_teacher_or_the_embedding_model_however_they_fail(
    mood: str, tmp_path: Path, log_text: io.StringIO
) -> None:
    """The evaluator asks both; its documents, samples, logs and downloads are read by everybody."""
    folder = tmp_path / "room"
    room = Room(folder, ScriptedChat(right), "http://models.test")
    room.put_rows([record(number) for number in range(4, 40, 5)])
    with moody(mood, tmp_path) as (end, address), room.evaluator() as client:
        endpoint = {"url": f"http{end}://{address}/v1/chat/completions", "model_id": "big"}
        embedding = {
            "api_endpoint": {
                "url": f"http{end}://{address}/v1/embeddings",
                "model_id": "nvidia/embed",
                "api_key": SECRETS["EMBEDDING_KEY"],
            }
        }
        body = generic_job(
            model={"api_endpoint": {**endpoint, "api_key": SECRETS["TEACHER_KEY"]}},
            files_url=FILES_URL,
            request_timeout=5,
            max_retries=0,
            parallelism=1,
            embedding={"model": embedding, "input_type": "query"},
        )
        answered = {"target": {"type": "dataset", "dataset": {"files_url": FILES_URL}}}
        told = []
        for posted in (body, {**body, **answered}):
            posted = json.loads(json.dumps(posted))
            if posted["target"]["type"] == "dataset":  # The rows hold the answers: only embeddings are asked.
                for task in posted["config"]["tasks"].values():
                    task["type"] = "data"
            job_id = client.create_job(posted).id
            finished(client, job_id, within_s=60)
            for part in ("", "/status", "/logs", "/samples", "/results"):
                told.append(httpx.get(f"{client.url}/v1/evaluation/jobs/{job_id}{part}", timeout=20).text)
            with zipfile.ZipFile(io.BytesIO(client.download_results(job_id))) as packed:
                told.append(packed.read("results.json").decode())
    text = "\n".join(told)
    assert '"status":"failed"' in text.replace(" ", "")
    assert "/v1/embeddings" in text, "the embedding model was asked, and its error is told"
    assert leaks("\n".join([text, log_text.getvalue(), metrics.page().decode()])) == []


# The good path, on real servers


def test_servers_that_are_well_hear_their_secret_and_nobody_else(
    elasticsearch_url: str, tmp_path: Path, log_text: io.StringIO
) -> None:
    ca, tls = make_certificates(tmp_path)
    told: list[str] = []
    with front_of(elasticsearch_url, tls) as front, start_server("redis") as facts:
        config = ElasticsearchRecords(
            type="elasticsearch",
            url=front.url,
            ca_file=ca,
            username="elastic",
            password_env="ELASTIC_PASSWORD",
            index=f"secrets-{uuid4().hex[:8]}",
        )
        store = ElasticsearchLogStore(config, environment=SECRETS)
        store.add([tool_record(number) for number in range(3)])
        assert store.count() == 3
        told += [str(finding) for finding in store.check(thorough=True)]
        httpx.delete(f"{elasticsearch_url}/{config.index}", timeout=20)
        store.close()
        assert {leaks(request.headers["authorization"])[0] for request in front.requests} == {
            "ELASTIC_PASSWORD"
        }

        with Redis.from_url(facts["url"]) as server:
            server.config_set("requirepass", SECRETS["REDIS_PASSWORD"])
        wakeups = CeleryWakeups(type="celery", broker_url=facts["url"], password_env="REDIS_PASSWORD")
        broker = Broker(wakeups, environment=SECRETS)
        broker.leave_trace("worker")
        told += [str(finding) for finding in broker.check(thorough=True)]
        broker.close()
    assert leaks("\n".join([*told, log_text.getvalue()])) == []


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "completed"), (401, "failed"), (400, "failed"), (403, "failed")]
)
def test_a_run_keeps_no_key_of_its_judge(
    status: int, outcome: str, tmp_path: Path, log_text: io.StringIO
) -> None:
    def answers(request: Request, pass_on: object) -> Answer:
        message = {"role": "assistant", "content": "hello"}
        body = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}
        return Answer(200, json.dumps(body).encode())

    with front_of("http://127.0.0.1:9") as front, collecting() as collector:
        front.rule = answers if status == 200 else repeating(status)
        tracing.start(TelemetryConfig(otlp_endpoint=collector.url), "test")
        judge = LlmJudgeConfig(
            model_name="judge", url=f"{front.url}/v1/chat/completions", api_key_env="JUDGE_KEY"
        )
        nemo = FakeNemo()
        using = settings().model_copy(update={"llm_judge_config": judge})
        world = make_world(tmp_path, make_records(tmp_path), nemo, using)
        world.context = replace(world.context, environment=SECRETS)
        http = TestClient(
            make_app("api", "problem", orchestrator_routers(world.context, lambda run_id: None))
        )
        body = {"workload_id": "tool_router", "client_id": "support-app"}
        run_id = http.post("/api/jobs", json=body).json()["id"]
        run = world.finish(run_id)
        shown = [http.get(path).text for path in ("/api/jobs", f"/api/jobs/{run_id}")]
        world.close()
        tracing.stop()
        assert front.requests[0].headers["authorization"] == f"Bearer {SECRETS['JUDGE_KEY']}"
    assert run.status == outcome
    assert (outcome == "completed") == (
        SECRETS["JUDGE_KEY"] in str(nemo.evaluations)
    )  # The evaluator asks it.
    assert "flywheel.run_id" in str(collector.raw)
    assert leaks("\n".join([run.model_dump_json(), *shown, str(collector.raw), log_text.getvalue()])) == []


@pytest.mark.parametrize("status", [200, 401])
def test_a_run_keeps_no_key_of_its_teacher_or_its_embedding_model(
    status: int, tmp_path: Path, log_text: io.StringIO
) -> None:
    def vectors(request: Request, pass_on: object) -> Answer:
        texts = json.loads(request.body)["input"]
        data = [{"index": number, "embedding": [1.0, float(len(text))]} for number, text in enumerate(texts)]
        return Answer(200, json.dumps({"data": data}).encode())

    with front_of("http://127.0.0.1:9") as front, collecting() as collector:
        front.rule = vectors if status == 200 else repeating(status)
        tracing.start(TelemetryConfig(otlp_endpoint=collector.url), "test")
        teacher = TeacherConfig(
            model_name="big", url="https://teacher.test/v1/chat/completions", api_key_env="TEACHER_KEY"
        )
        icl = with_embeddings(front.url)
        using = settings().model_copy(update={"teacher_config": teacher, "icl_config": icl})
        nemo = FakeNemo()
        world = make_world(tmp_path, make_records(tmp_path), nemo, using)
        world.context = replace(world.context, environment=SECRETS)
        http = TestClient(
            make_app("api", "problem", orchestrator_routers(world.context, lambda run_id: None))
        )
        run_id = http.post("/api/jobs", json={"workload_id": "small_talk", "client_id": "support-app"})
        run = world.finish(run_id.json()["id"])
        shown = [http.get(path).text for path in ("/api/jobs", f"/api/jobs/{run.id}")]
        world.close()
        tracing.stop()
        heard = {name for request in front.requests for name in leaks(str(request.headers))}
    assert heard == {"EMBEDDING_KEY"}
    assert run.status == ("completed" if status == 200 else "failed")
    asked = str(nemo.evaluations)
    assert (status == 200) == (SECRETS["TEACHER_KEY"] in asked) == (SECRETS["EMBEDDING_KEY"] in asked)
    assert leaks("\n".join([run.model_dump_json(), *shown, str(collector.raw), log_text.getvalue()])) == []


# The whole program


def test_the_doctor_and_the_server_on_servers_that_repeat_everything(tmp_path: Path) -> None:
    with (
        front_of("http://127.0.0.1:9") as front,
        listening(_Repeating) as redis_address,
        listening(_Nonsense) as mongo_address,
        collecting() as collector,
    ):
        front.rule = repeating(403)
        config = {
            "logging_config": {"level": "DEBUG"},
            "records": {"type": "elasticsearch", "url": front.url, "api_key_env": "ELASTIC_KEY"},
            "llm_judge_config": {"model_name": "j", "url": f"{front.url}/v1", "api_key_env": "JUDGE_KEY"},
            "nims": [{"model_name": "org/model", "context_length": 2048}],
            "telemetry": {"otlp_endpoint": collector.url, "export_interval": 0.1},
        }
        servers = {
            "runs": {
                "type": "mongo",
                "url": f"mongodb://{mongo_address}",
                "username": "flywheel",
                "password_env": "MONGO_PASSWORD",
                "request_timeout": 1,
            },
            "wakeups": {
                "type": "celery",
                "broker_url": f"redis://{redis_address}/0",
                "password_env": "REDIS_PASSWORD",
            },
        }
        (tmp_path / "doctor.yaml").write_text(json.dumps({**config, **servers}), "utf-8")
        (tmp_path / "serve.yaml").write_text(json.dumps(config), "utf-8")
        environment = {
            **os.environ,
            **SECRETS,
            "HF_ENDPOINT": front.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{OTLP_KEY}",
        }
        told = [_doctor(tmp_path, environment), *_serve(tmp_path, environment)]
        heard = {name for request in front.requests for name in leaks(str(request.headers))}
    assert heard == {"ELASTIC_KEY", "JUDGE_KEY", "HF_TOKEN"}
    assert "flywheel.role" in str(collector.raw)
    assert leaks("\n".join([*told, str(collector.raw)])) == []


def _doctor(folder: Path, environment: dict[str, str]) -> str:
    command = ["doctor", "--data", str(folder / "data"), "--config", str(folder / "doctor.yaml"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "flywheel", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert found["configuration"]["ok"], found["configuration"]
    for check in ("records", "runs", "redis", "judge j", "candidate org/model"):
        assert not found[check]["ok"], found[check]
    return done.stdout + done.stderr


def _serve(folder: Path, environment: dict[str, str]) -> list[str]:
    """Everything that the server says, in its log and to whoever asks."""
    data, output = folder / "data", folder / "serve.log"
    command = ["serve", "--data", str(data), "--config", str(folder / "serve.yaml"), "--port", "0"]
    with output.open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flywheel", *command], env=environment, stdout=log_file, stderr=log_file
        )
    told: list[str] = []
    try:
        end = time.monotonic() + 60
        while not (data / "serve.json").exists():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        api = json.loads((data / "serve.json").read_text())["api"]
        with httpx.Client(base_url=api, timeout=60) as http:
            for path in (
                "/api/health",
                "/api/health?thorough=true",
                "/api/config",
                "/health/ready",
                "/api/workloads",
                "/api/jobs",
                "/metrics",
            ):
                told.append(http.get(path).text)
            thorough = http.get("/api/health?thorough=true").text
            assert all(name in thorough for name in ("records", "judge j", "candidate org/model"))
            told += [thorough, http.get("/api/config").text, http.get("/api/records").text]
            body = {"workload_id": "w", "client_id": "c"}
            told.append(http.post("/api/jobs", json=body).text)
            override = {**body, "llm_judge_config": {"api_key": SECRETS["JUDGE_KEY"]}}
            told.append(http.post("/api/jobs", json=override).text)
        assert "403" in told[1] or "lacks a right" in told[1]
    finally:
        process.terminate()
        process.wait(30)
    return [*told, output.read_text()]
