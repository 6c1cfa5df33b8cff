"""The embedding client: every text once, in order, with patience, and no half answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx
import pytest

from flywheel.chat import ChatClient
from flywheel.embeddings import EmbeddingClient, Vector
from flywheel.errors import ChatBusy, ChatError, ChatRejected, ChatUnreadable

URL = "http://embed.test/v1/embeddings"


class Server:
    """Answers with the length of each text and its number of vowels, last text first."""

    def __init__(self, *before: httpx.Response) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._before = list(before)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        self.bodies.append(json.loads(request.content))
        if self._before:
            return self._before.pop(0)
        data = [
            {"object": "embedding", "index": i, "embedding": [len(text), sum(c in "aeiou" for c in text)]}
            for i, text in enumerate(self.bodies[-1]["input"])
        ]
        return httpx.Response(200, json={"object": "list", "data": data[::-1]})


def vectors(
    server: Server, *texts: Sequence[str], api_key: str | None = None, **settings: Any
) -> list[list[Vector]]:
    async def no_sleep(seconds: float) -> None:
        pass

    client = EmbeddingClient(
        partial(ChatClient, URL, api_key, httpx.MockTransport(server)), "m", sleep=no_sleep, **settings
    )
    return [asyncio.run(client.vectors(each)) for each in texts]


def test_vectors_come_in_the_order_of_the_texts_and_every_text_is_sent_once() -> None:
    server = Server()
    first, second = vectors(server, ["bb", "aaa", " ", "bb", "c"], ["aaa", "", "dddd"], batch_size=2)
    assert first == [[2, 0], [3, 3], [0, 0], [2, 0], [1, 0]]
    assert second == [[3, 3], [0, 0], [4, 0]]
    assert [body["input"] for body in server.bodies] == [["bb", "aaa"], ["c"], ["dddd"]]
    assert server.bodies[0].keys() == {"model", "input", "encoding_format"}


def test_nvidias_models_are_told_the_type() -> None:
    server = Server()
    vectors(server, ["a"], input_type="query")
    assert (server.bodies[0]["input_type"], server.bodies[0]["truncate"]) == ("query", "END")


def test_a_busy_server_is_asked_again_and_then_named() -> None:
    busy = httpx.Response(429, headers={"retry-after": "1"}, text="later")
    assert vectors(Server(busy, busy), ["a"]) == [[[1, 1]]]
    with pytest.raises(ChatBusy, match=r"model 'm' at http://embed\.test/v1/embeddings: answered 429: later"):
        vectors(Server(*[busy] * 4), ["a"])


def test_a_refusal_is_not_repeated_and_holds_no_key() -> None:
    server = Server(httpx.Response(401, text="bad key sk-embed-0123"))
    with pytest.raises(ChatRejected) as failure:
        vectors(server, ["a"], api_key="sk-embed-0123")
    assert len(server.bodies) == 1
    assert "sk-embed-0123" not in f"{failure.value} {failure.value!r}"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "not one embedding for each of 2 texts"),
        ([{"index": 0, "embedding": [1.0]}], "not one embedding for each of 2 texts"),
        ([{"index": 0, "embedding": [1.0]}] * 2, "not one embedding for each of 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"index": [], "embedding": [1.0]}], "not one embedding"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}], "of 1 and of 2 numbers"),
        ([{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": [1.0]}], "not a list of finite"),
        ([{"index": 0, "embedding": []}, {"index": 1, "embedding": []}], "not a list of finite numbers"),
        ([{"index": 0, "embedding": [None]}, {"index": 1, "embedding": [1.0]}], "not a list of finite"),
    ],
)
def test_half_an_answer_is_none(data: Any, problem: str) -> None:
    with pytest.raises(ChatUnreadable, match=problem):
        vectors(Server(httpx.Response(200, json={"data": data})), ["a", "b"])


def test_not_a_number_is_no_coordinate() -> None:
    body = '{"data": [{"index": 0, "embedding": [NaN]}]}'
    with pytest.raises(ChatError, match="finite"):
        vectors(Server(httpx.Response(200, text=body)), ["a"])
