"""What goes wrong on the way to the server, what is tried again, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flywheel.client import (
    Client,
    Conflict,
    Invalid,
    NotFound,
    Refused,
    ServerAway,
    ServerFailed,
    Unauthorised,
    Unreadable,
)
from flywheel.client.finding import find

Facing = Callable[..., Any]
HEALTH = {"version": "1", "parts": []}


class Answers:
    """Answers in turn, the last one for ever; keeps the requests."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers=headers[0] if headers else None)


def test_a_read_is_repeated_on_passing_trouble(facing: Facing) -> None:
    server = Answers((503, {}), httpx.ReadError("cut"), (502, {}), (200, HEALTH))
    user = facing(server)
    assert user.do(user.client.health.get()).version == "1"
    assert user.pauses == [0.2, 0.4, 0.8]


def test_the_server_says_how_long_to_wait(facing: Facing) -> None:
    user = facing(Answers((429, {}, {"retry-after": "7"}), (503, {}, {"retry-after": "900"}), (200, HEALTH)))
    user.do(user.client.health.get())
    assert user.pauses == [7.0, 20.0]


def test_repeats_end(facing: Facing) -> None:
    server = Answers((503, {"detail": "the store of runs does not answer", "code": "unavailable"}))
    user = facing(server, retries=2)
    with pytest.raises(ServerFailed, match="the store of runs does not answer") as caught:
        user.do(user.client.health.get())
    assert (len(server.requests), caught.value.word) == (3, "unavailable")


def test_what_may_have_been_done_is_not_done_twice(facing: Facing) -> None:
    server = Answers(httpx.ReadTimeout("slow"))
    user = facing(server)
    with pytest.raises(ServerAway, match=r"POST /api/jobs/x/cancel: ReadTimeout"):
        user.do(user.client.runs.cancel("x"))
    assert len(server.requests) == 1


def test_a_start_is_repeated_under_its_key(facing: Facing) -> None:
    run = {"id": "x", "workload_id": "w", "client_id": "c", "status": "pending"}
    server = Answers(httpx.ReadError("cut"), (200, {"id": "x", "status": "queued"}), (200, run))
    user = facing(server)
    assert user.do(user.client.runs.start("w", "c")).id == "x"
    first, second, _ = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.content == second.content == b'{"workload_id":"w","client_id":"c"}'


def test_what_never_left_is_sent_again(facing: Facing) -> None:
    server = Answers(httpx.ConnectError("refused"), (200, {"id": "x", "message": "ok"}))
    user = facing(server)
    assert user.do(user.client.runs.cancel("x")).message == "ok"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"detail": "who are you"}, Unauthorised),
        (403, b"<html>no</html>", Unauthorised),
        (404, {"detail": "no"}, NotFound),
        (409, {"detail": "there is one"}, Conflict),
        (412, {"detail": "somebody was faster"}, Conflict),
        (400, {"detail": "it has ended", "code": "job_state"}, Conflict),
        (400, {"detail": "malformed"}, Invalid),
        (422, {"detail": "no such candidate"}, Invalid),
        (500, b"", ServerFailed),
    ],
)
def test_each_refusal_has_its_class(facing: Facing, status: int, body: Any, error: type[Refused]) -> None:
    user = facing(Answers((status, body)))
    with pytest.raises(Refused) as caught:
        user.do(user.client.runs.cancel("x"))
    assert type(caught.value) is error
    assert caught.value.answered == status
    assert str(caught.value)


def test_problems_are_named_by_field(facing: Facing) -> None:
    detail = [{"loc": ["query", "limit"], "msg": "should be at most 1000"}, {"loc": ["body"], "msg": "odd"}]
    user = facing(Answers((422, {"detail": detail})))
    with pytest.raises(Invalid) as caught:
        user.all(user.client.runs.list())
    assert [(p.field, p.message) for p in caught.value.problems] == [
        ("limit", "should be at most 1000"),
        ("", "odd"),
    ]
    assert str(caught.value) == "limit: should be at most 1000\nodd"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "JSONDecodeError"),
        ([], "Model"),
        ({"parts": []}, "version: Field required"),
        ({"version": "1", "parts": [{"name": "x"}]}, r"parts\.0\.ok: Field required"),
    ],
)
def test_an_answer_that_is_none_of_ours(facing: Facing, body: Any, words: str) -> None:
    user = facing(Answers((200, body)))
    with pytest.raises(Unreadable, match="no Flywheel server of this version") as caught:
        user.do(user.client.health.get())
    assert "GET /api/health" in str(caught.value)
    assert httpx.URL(caught.value.url).host == "wheel.test"
    assert words is not None


def test_a_list_that_is_none(facing: Facing) -> None:
    for body in ({"runs": []}, {"jobs": 3}, {"jobs": [{"id": "x"}]}):
        user = facing(Answers((200, body)))
        with pytest.raises(Unreadable):
            user.all(user.client.runs.list())


def test_fields_that_this_version_does_not_know_are_kept(facing: Facing) -> None:
    user = facing(Answers((200, HEALTH | {"mood": "fine"})))
    found = user.do(user.client.health.get())
    assert found.mood == "fine"
    assert found.document == HEALTH | {"mood": "fine"}


def test_a_path_is_quoted(facing: Facing) -> None:
    server = Answers((404, {"detail": "no"}))
    user = facing(server)
    with pytest.raises(NotFound):
        user.do(user.client.runs.get("../health?x=1"))
    assert server.requests[0].url.raw_path == b"/api/jobs/..%2Fhealth%3Fx%3D1"


def test_headers_go_with_every_call_and_stay_secret(facing: Facing) -> None:
    server = Answers((401, {"detail": "bad token tk-0123456789"}))
    user = facing(server, headers={"Authorization": "Bearer tk-0123456789"})
    with pytest.raises(Unauthorised) as caught:
        user.do(user.client.health.get())
    assert server.requests[0].headers["authorization"] == "Bearer tk-0123456789"
    assert "tk-0123456789" not in str(caught.value)


@pytest.mark.parametrize("url", ["wheel.test", "ftp://wheel.test", "http://", "http://[::1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ServerAway, match="no address"):
        Client(url)


def test_not_ready_is_an_answer(facing: Facing) -> None:
    away = {"check": "runs", "ok": False, "seen": "does not answer", "mend": "start it"}
    server = Answers((503, {"status": "not ready", "not_ready": [away]}))
    user = facing(server)
    found = user.do(user.client.health.ready())
    assert (found.ready, found.not_ready[0].mend, len(server.requests)) == (False, "start it", 1)


def test_the_server_is_found_as_the_commands_find_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("FLYWHEEL_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find() == "http://127.0.0.1:8000"
    folder = tmp_path / ".flywheel"
    folder.mkdir()
    (folder / "serve.json").write_text(json.dumps({"api": "http://127.0.0.1:4711"}), "utf-8")
    assert find() == "http://127.0.0.1:4711"
    assert find(data=tmp_path) == "http://127.0.0.1:8000"
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path / "elsewhere"))
    assert find() == "http://127.0.0.1:8000"
    monkeypatch.setenv("FLYWHEEL_URL", "http://wheel.example/")
    assert find() == "http://wheel.example"
    assert find("http://other.example") == "http://other.example"


def run_document(status: str) -> tuple[int, Any]:
    return 200, {"id": "x", "workload_id": "w", "client_id": "c", "status": status}


def test_who_waits_outlives_a_restart_of_the_server(facing: Facing) -> None:
    away = [httpx.ConnectError("refused")] * 20
    server = Answers(run_document("running"), *away, (503, {}), run_document("completed"))
    user = facing(server, clock=lambda: sum(user.pauses))
    assert user.do(user.client.runs.wait("x")).status == "completed"


def test_who_waits_does_not_wait_for_ever_for_a_server(facing: Facing) -> None:
    user = facing(
        Answers(run_document("running"), httpx.ConnectError("refused")), clock=lambda: sum(user.pauses)
    )
    with pytest.raises(ServerAway):
        user.do(user.client.runs.wait("x"))
    assert 600 <= sum(user.pauses) < 700


def test_a_server_that_was_never_there_is_said_at_once(facing: Facing) -> None:
    server = Answers(httpx.ConnectError("refused"))
    user = facing(server, retries=1)
    with pytest.raises(ServerAway):
        user.do(user.client.runs.wait("x"))
    assert len(server.requests) == 2
