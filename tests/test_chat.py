"""The chat client: what became of a request, told narrowly."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from flywheel.chat import ChatClient, ChatResult, endpoint_root
from flywheel.errors import ChatBusy, ChatError, ChatRejected, ChatTimeout, ChatUnreachable, ChatUnreadable
from flywheel.fake_chat import Reply, ScriptedChat

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def ask(transport: httpx.AsyncBaseTransport, body: dict[str, Any] = BODY, **settings: Any) -> ChatResult:
    async def run() -> ChatResult:
        async with ChatClient("http://model.test/v1", transport=transport, **settings) as client:
            return await (client.complete(body) if "prompt" in body else client.chat(body))

    return asyncio.run(run())


def answering(status: int, text: str = "", headers: dict[str, str] | None = None) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, text=text, headers=headers))


def failing(error: type[httpx.TransportError]) -> httpx.MockTransport:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("broke")

    return httpx.MockTransport(fail)


def test_an_answer_with_text_calls_usage_and_latency() -> None:
    chat = ScriptedChat(lambda body: Reply("Hello", calls=[("f", {"x": 1})]))
    result = ask(chat.transport())
    assert (result.text, result.message["tool_calls"][0]["function"]["name"]) == ("Hello", "f")
    assert result.usage["prompt_tokens"] > 0
    assert result.latency_s > 0


def test_a_plain_completion_reads_the_same() -> None:
    result = ask(ScriptedChat(lambda body: Reply("done")).transport(), {"model": "m", "prompt": "say"})
    assert result.text == "done"


def test_the_key_is_sent_and_never_repeated_in_an_error() -> None:
    seen: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(401, text="bad key sk-secret-1")

    with pytest.raises(ChatRejected) as failure:
        ask(httpx.MockTransport(refuse), api_key="sk-secret-1")
    assert seen == ["Bearer sk-secret-1"]
    assert failure.value.http_status == 401
    assert "sk-secret-1" not in str(failure.value)
    assert "******" in str(failure.value)


def test_busy_servers_say_when_to_come_back_in_seconds_or_by_date() -> None:
    for status in (429, 500, 503):
        with pytest.raises(ChatBusy) as failure:
            ask(answering(status, headers={"Retry-After": "2.5"}))
        assert (failure.value.http_status, failure.value.retry_after) == (status, 2.5)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with pytest.raises(ChatBusy) as failure:
        ask(answering(503, headers={"Retry-After": date}))
    assert failure.value.retry_after == pytest.approx(30, abs=3)
    with pytest.raises(ChatBusy) as failure:
        ask(answering(503, headers={"Retry-After": "soon"}))
    assert failure.value.retry_after is None


@pytest.mark.parametrize(
    ("transport", "error"),
    [
        (failing(httpx.ConnectError), ChatUnreachable),
        (failing(httpx.ConnectTimeout), ChatUnreachable),
        (failing(httpx.RemoteProtocolError), ChatUnreachable),
        (failing(httpx.ReadTimeout), ChatTimeout),
        (answering(400, "too long"), ChatRejected),
        (answering(404), ChatRejected),
        (answering(302), ChatRejected),
        (answering(200, "<html>"), ChatUnreadable),
        (answering(200, "[]"), ChatUnreadable),
        (answering(200, '{"choices": []}'), ChatUnreadable),
        (answering(200, '{"error": "quota"}'), ChatUnreadable),
    ],
)
def test_every_failure_has_its_class_and_names_the_model(
    transport: httpx.MockTransport, error: type[ChatError]
) -> None:
    with pytest.raises(error, match=r"model 'm' at http://model\.test/v1/chat/completions"):
        ask(transport)


def test_a_server_that_dribbles_is_cut_off_at_the_time_limit() -> None:
    with pytest.raises(ChatTimeout):
        ask(ScriptedChat(lambda body: Reply("late", delay_s=5)).transport(), timeout=0.05)


def test_models_are_listed() -> None:
    async def run() -> list[str]:
        transport = ScriptedChat(lambda body: Reply(), models=["a", "b@cust-1"]).transport()
        async with ChatClient("http://model.test/v1", transport=transport) as client:
            return await client.models()

    assert asyncio.run(run()) == ["a", "b@cust-1"]


@pytest.mark.parametrize(
    "url",
    ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions", "http://h/v1/completions/"],
)
def test_an_endpoint_or_its_root_are_the_same(url: str) -> None:
    assert endpoint_root(url) == "http://h/v1"
