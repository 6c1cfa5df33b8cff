"""Calling a service: what is repeated, what is not, and what an error says."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from flywheel.nemo.calls import Caller, ServiceCallFailed


class Server:
    """Answers from a list; an exception in it is raised instead."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, json={"detail": "so it is"} if answer >= 400 else {"ok": True})


def caller(server: Callable[[httpx.Request], httpx.Response]) -> Caller:
    return Caller("http://service.test/", httpx.MockTransport(server), retries=2, pause_s=0)


@pytest.mark.parametrize("trouble", [503, 429, httpx.ReadTimeout("slow"), httpx.ConnectError("refused")])
def test_a_read_is_repeated_on_passing_trouble(trouble: int | Exception) -> None:
    server = Server(trouble, trouble, 200)

    assert caller(server).json("GET", "/v1/x") == {"ok": True}
    assert server.calls == 3


@pytest.mark.parametrize("trouble", [503, httpx.ReadTimeout("slow")])
def test_a_write_that_may_have_arrived_is_not_repeated(trouble: int | Exception) -> None:
    server = Server(trouble)

    with pytest.raises(ServiceCallFailed):
        caller(server).json("POST", "/v1/x", {})
    assert server.calls == 1


def test_a_write_that_never_left_is_repeated() -> None:
    server = Server(httpx.ConnectError("refused"), 200)

    assert caller(server).json("POST", "/v1/x", {}) == {"ok": True}


def test_a_refusal_is_not_repeated_and_names_the_call() -> None:
    server = Server(422)

    with pytest.raises(ServiceCallFailed) as failed:
        caller(server).json("GET", "/v1/x")

    assert str(failed.value) == "GET http://service.test/v1/x: status 422: so it is"
    assert (server.calls, failed.value.upstream_status) == (1, 422)


def test_when_nobody_answers_the_error_says_so() -> None:
    server = Server(*[httpx.ConnectError("refused")] * 3)

    with pytest.raises(ServiceCallFailed, match="no answer: ConnectError: refused"):
        caller(server).json("GET", "/v1/x")


def test_a_status_that_is_fine_is_none() -> None:
    assert caller(Server(404)).json("GET", "/v1/x", fine=frozenset({404})) is None


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(ServiceCallFailed, match="not JSON"):
        caller(lambda request: httpx.Response(200, text="<html>")).json("GET", "/v1/x")
