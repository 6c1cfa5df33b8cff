"""The server as a process, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from flywheel.chat import ChatClient, ChatResult
from tiny_model import TOOLS
from tiny_server import Server, start_server

HELLO: list[Any] = [{"role": "system", "content": "You help."}, {"role": "user", "content": "Where is A12?"}]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def chat(client: OpenAI, model: str = "test/tiny", **options: Any) -> Any:
    given: dict[str, Any] = {"messages": HELLO, "max_tokens": 8, "temperature": 0, **options}
    return client.chat.completions.create(model=model, **given)


def test_an_answer_and_what_it_cost(client: OpenAI) -> None:
    answer = chat(client)
    assert answer.model == "test/tiny"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def test_the_same_question_has_the_same_answer(client: OpenAI) -> None:
    one, two = (chat(client).choices[0].message.content for _ in range(2))
    assert one == two
    drawn = [chat(client, temperature=1.5, seed=3, n=2).choices for _ in range(2)]
    assert [choice.message.content for choice in drawn[0]] == [choice.message.content for choice in drawn[1]]
    assert drawn[0][0].message.content != drawn[0][1].message.content


def test_tools_change_the_prompt_unless_none_are_wanted(client: OpenAI) -> None:
    without = chat(client).usage.prompt_tokens
    assert chat(client, tools=TOOLS).usage.prompt_tokens > without
    assert chat(client, tools=TOOLS, tool_choice="none").usage.prompt_tokens == without
    forced = {"type": "function", "function": {"name": "start_return"}}
    answer = chat(client, tools=TOOLS, tool_choice=forced)
    assert "start_return" in (answer.choices[0].message.content or "")  # A random model's call is no call.


def test_a_stream_adds_up_to_the_answer(client: OpenAI) -> None:
    whole = chat(client, max_tokens=20)
    chunks = list(chat(client, max_tokens=20, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert content == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("options", [{"max_tokens": 20}, {"max_tokens": 20, "tools": TOOLS}, {"n": 2}])
def test_our_own_client_reads_a_stream_as_the_whole_answer(server: Server, options: dict[str, Any]) -> None:
    body = {"model": "test/tiny", "messages": HELLO, "max_tokens": 8, "temperature": 0, **options}

    async def ask() -> tuple[ChatResult, ChatResult]:
        async with ChatClient(f"{server.url}/v1", timeout=60) as client:
            return await client.chat(body), await client.stream(body)

    whole, streamed = asyncio.run(ask())
    names = ("message", "finish_reason", "index")
    assert [[choice[name] for name in names] for choice in streamed.response["choices"]] == [
        [choice[name] for name in names] for choice in whole.response["choices"]
    ]
    assert streamed.response["usage"] == whole.response["usage"]
    assert streamed.first_token_s is not None
    assert 0 < streamed.first_token_s < streamed.latency_s


def test_plain_completions(client: OpenAI) -> None:
    made = client.completions.create(model="test/tiny", prompt=["Where", "is"], max_tokens=4, temperature=0)
    assert [choice.index for choice in made.choices] == [0, 1]
    assert made.usage is not None
    assert made.usage.completion_tokens == 8


def test_many_at_once_answer_as_one_by_one(client: OpenAI) -> None:
    asked = [(f"Where is A{n}?", ("test/tiny", "team/red@cust-1")[n % 2]) for n in range(12)]

    def ask(question: tuple[str, str]) -> str:
        return str(
            chat(client, question[1], messages=[{"role": "user", "content": question[0]}])
            .choices[0]
            .message.content
        )

    one_by_one = [ask(question) for question in asked]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, asked)) == one_by_one


def test_adapters_come_and_go_and_never_change(
    client: OpenAI, http: httpx.Client, adapters: dict[str, Path], tmp_path: Path
) -> None:
    base = chat(client).choices[0].message.content
    name = "team/blue-1.5@cust-2"
    load = {"lora_name": name, "lora_path": str(adapters["blue"])}
    assert http.post("/v1/load_lora_adapter", json=load).status_code == 200
    assert http.post("/v1/load_lora_adapter", json=load).status_code == 200
    listed = {model.id: model for model in client.models.list()}
    assert listed[name].parent == "test/tiny"  # type: ignore[attr-defined]
    assert listed["test/tiny"].max_model_len == 512  # type: ignore[attr-defined]
    assert client.models.retrieve(name).id == name
    assert chat(client, name).choices[0].message.content != base
    assert chat(client).choices[0].message.content == base

    other = load | {"lora_path": str(adapters["green"])}
    refused = http.post("/v1/load_lora_adapter", json=other)
    assert refused.status_code == 409
    assert "load other content under another name" in refused.json()["error"]["message"]

    assert http.post("/v1/unload_lora_adapter", json={"lora_name": name}).status_code == 200
    with pytest.raises(openai.NotFoundError, match="there are: test/tiny, team/red@cust-1"):
        chat(client, name)
    assert http.post("/v1/load_lora_adapter", json=other).status_code == 409  # Not even now.
    assert http.post("/v1/unload_lora_adapter", json={"lora_name": name}).status_code == 404


def test_an_adapter_with_another_hash_is_not_loaded(
    http: httpx.Client, adapters: dict[str, Path], tmp_path: Path
) -> None:
    load = {"lora_name": "x", "lora_path": str(adapters["green"]), "sha256": "0" * 64}
    refused = http.post("/v1/load_lora_adapter", json=load)
    assert refused.status_code == 400
    assert "not the expected 000000" in refused.json()["error"]["message"]
    nothing = http.post("/v1/load_lora_adapter", json={"lora_name": "x", "lora_path": str(tmp_path)})
    assert nothing.status_code == 400
    assert "No such file" in nothing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"model": "nobody"}, 404, "'nobody' is not served here; there are: test/tiny"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"content": "x"}]}, 400, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": "where " * 600}]},
            400,
            r"has \d+ tokens; this model takes at most 512",
        ),
        ({"response_format": {"type": "json_object"}}, 400, "response_format.type"),
        ({"logprobs": True}, 400, "logprobs"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
            400,
            "none of the tools",
        ),
    ],
)
def test_what_is_wrong_is_told(http: httpx.Client, body: dict[str, Any], status: int, told: str) -> None:
    import re

    answer = http.post("/v1/chat/completions", json={"model": "test/tiny", "messages": HELLO, **body})
    assert answer.status_code == status
    assert re.search(told, answer.json()["error"]["message"])


def test_a_body_that_is_not_json(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", content="{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]


def test_who_hangs_up_frees_the_slots(client: OpenAI, http: httpx.Client) -> None:
    """Four slots; eight long answers that nobody waits for must not keep the ninth from coming."""
    streams = [chat(client, max_tokens=400, stream=True) for _ in range(4)]
    for stream in streams:
        next(iter(stream))
        stream.close()
    impatient = {"model": "test/tiny", "messages": HELLO, "max_tokens": 400, "temperature": 0}
    for _ in range(4):
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=impatient, timeout=0.01)
    assert chat(client, max_tokens=2).usage.completion_tokens == 2


def test_it_says_that_it_is_well(http: httpx.Client) -> None:
    assert {http.get(path).status_code for path in ("/health", "/v1/health/live", "/v1/health/ready")} == {
        200
    }


def test_a_port_in_use(tiny: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start_server({"model": str(tiny), "name": "x", "port": port}, tmp_path)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use; name another port")


def test_a_bad_spec(tmp_path: Path) -> None:
    process = start_server({"model": "m", "name": "x", "port": "seven"}, tmp_path)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "is not a serving SPEC: port" in said


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    process = start_server({"model": "/nowhere", "name": "x"}, tmp_path)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert said.startswith("the model '/nowhere' cannot be served: no such folder")
    assert said.count("\n") == 1


def test_a_chat_model_has_no_embeddings(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'test/tiny': is a chat model; serve an"):
        client.embeddings.create(model="test/tiny", input="hi")


def test_sigterm_ends_it_at_once_even_in_the_middle(
    server: Server, client: OpenAI, tmp_path: Path, adapters: dict[str, Path]
) -> None:
    """The last test of this file: it ends the server that the others share."""
    stream = chat(client, max_tokens=400, stream=True)
    next(iter(stream))
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=20) == 0
    assert time.monotonic() - began < 5  # Two seconds on a machine that is not busy.
    stream.close()
