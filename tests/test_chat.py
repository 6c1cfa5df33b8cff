"""The chat client: what became of a request, told narrowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
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


# Streamed


def streamed(transport: httpx.AsyncBaseTransport, times: int = 1, **settings: Any) -> ChatResult:
    async def run() -> ChatResult:
        async with ChatClient("http://model.test/v1", transport=transport, **settings) as client:
            return [await client.stream(BODY) for _ in range(times)][-1]

    return asyncio.run(run())


class Chunks(httpx.AsyncByteStream):
    """A body that comes in these chunks, and breaks then if it is told to."""

    def __init__(self, chunks: list[bytes], breaks: bool = False) -> None:
        self._chunks, self._breaks = chunks, breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._breaks:
            raise httpx.RemoteProtocolError("peer closed connection")


def streaming(*pieces: Any, breaks: bool = False, size: int = 7) -> httpx.MockTransport:
    """A server that streams these objects (or raw lines), in chunks that respect nothing."""
    lines = [
        piece if isinstance(piece, str) else f"data: {json.dumps(piece, ensure_ascii=False)}"
        for piece in pieces
    ]
    data = "".join(line + "\r\n\r\n" for line in lines).encode()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return httpx.MockTransport(
        lambda request: httpx.Response(200, stream=Chunks(chunks, breaks), headers=headers)
    )


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def piece_of_call(arguments: str, **call: Any) -> dict[str, Any]:
    name = {"name": call.pop("name")} if "name" in call else {}
    return piece(tool_calls=[{**call, "function": {**name, "arguments": arguments}}])


@pytest.mark.parametrize(
    "reply",
    [
        Reply("Hello there,\n how are you? "),
        Reply(calls=[("f", {"x": "a \u2028 b"}), ("g", {})]),
        Reply("Both.", calls=[("f", "{broken")]),
        Reply("cut off", finish_reason="length"),
    ],
)
def test_a_streamed_answer_is_the_one_that_comes_whole(reply: Reply) -> None:
    whole, pieces = ScriptedChat(lambda body: reply), ScriptedChat(lambda body: reply)
    result = streamed(pieces.transport())
    assert result.response == ask(whole.transport()).response
    assert result.first_token_s is not None
    assert 0 < result.first_token_s <= result.latency_s
    assert pieces.requests == [{**BODY, "stream": True, "stream_options": {"include_usage": True}}]


def test_text_reasoning_and_calls_are_put_together_as_servers_in_the_wild_send_them() -> None:
    done = piece("tool_calls") | {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    opening = piece(role="assistant", content="", tool_calls=None)
    text = (piece(reasoning_content="hm"), ": comment", "event: x", piece(content="a\u2028b\x85"))
    found = streamed(
        streaming(
            opening,
            *text,
            piece_of_call('{"x"', index=0, id="c1", name="f"),
            piece_of_call(": 1}", index=0, name="f"),
            piece_of_call("{}", index=0, id="c2", name="f"),
            piece_of_call("[]", index=1, id="c3", name="h"),
            done,
            "data: [DONE]",
        )
    )
    assert found.message["content"] == "a\u2028b\x85"
    assert found.message["reasoning_content"] == "hm"
    calls = [(call["id"], *call["function"].values()) for call in found.message["tool_calls"]]
    assert calls == [("c1", "f", '{"x": 1}'), ("c2", "f", "{}"), ("c3", "h", "[]")]
    assert found.usage == {"prompt_tokens": 3, "completion_tokens": 4}


@pytest.mark.parametrize(
    ("transport", "error", "reason"),
    [
        (streaming(piece(content="Yes, but")), ChatUnreachable, "it ended before the answer did"),
        (streaming(piece(content="Yes"), "data: [DONE]"), ChatUnreachable, "it ended before the answer did"),
        (streaming("data: [DONE]"), ChatUnreachable, "it ended without a choice"),
        (streaming(piece(content="Yes"), breaks=True), ChatUnreachable, "peer closed connection"),
        (streaming(piece(content="Yes"), {"error": {"message": "no memory"}}), ChatBusy, "no memory"),
        (streaming({"error": {"message": "too long", "code": 400}}), ChatRejected, "too long"),
        (streaming(piece(content="Yes"), "data: {no"), ChatUnreadable, "not JSON"),
        (streaming("data: 7"), ChatUnreadable, "not an object"),
        (streaming(piece(content=["Yes"])), ChatUnreadable, "a piece of its text is a list"),
        (streaming(piece(tool_calls=[7])), ChatUnreadable, "its tool_calls is no object: 7"),
        (streaming(piece(tool_calls=[{"function": 7}])), ChatUnreadable, "its function is no object: 7"),
        (streaming({"choices": [{"delta": 7}]}), ChatUnreadable, "its delta is no object: 7"),
        (streaming({"choices": 7}), ChatUnreadable, "its choices are no list: 7"),
        (answering(503), ChatBusy, "503"),
        (answering(200, "<html>"), ChatUnreadable, "not JSON"),
        (failing(httpx.ConnectError), ChatUnreachable, "no connection"),
    ],
)
def test_a_stream_that_breaks_is_an_error_with_its_cause_and_never_a_short_answer(
    transport: httpx.MockTransport, error: type[ChatError], reason: str
) -> None:
    with pytest.raises(error) as failure:
        streamed(transport)
    assert type(failure.value) is error
    assert reason in str(failure.value)


def test_an_error_in_a_stream_does_not_repeat_the_key() -> None:
    with pytest.raises(ChatBusy) as failure:
        streamed(streaming({"error": {"message": "bad key sk-secret-2"}}), api_key="sk-secret-2")
    assert "sk-secret-2" not in str(failure.value)


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_to_stream_is_asked_without_from_then_on(status: int) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return Reply("stream_options: unknown", status=status) if "stream" in body else Reply("yes")

    chat = ScriptedChat(script)
    result = streamed(chat.transport(), times=3)
    assert (result.text, result.first_token_s) == ("yes", None)
    assert ["stream" in body for body in chat.requests] == [True, False, False, False]


def test_a_refusal_for_another_reason_is_one_and_is_not_asked_again() -> None:
    chat = ScriptedChat(lambda body: Reply("too long", status=400))
    with pytest.raises(ChatRejected):
        streamed(chat.transport())
    assert len(chat.requests) == 1


def test_a_server_that_answers_whole_whatever_was_asked_is_read_so() -> None:
    whole = json.dumps({"choices": [{"message": {"content": "yes"}}]})
    result = streamed(answering(200, whole))
    assert (result.text, result.first_token_s) == ("yes", None)
