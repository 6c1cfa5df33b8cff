"""The model proxy under OpenAI's own client: who answers, how it streams, and what if nobody can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from counted import counted
from flywheel.services.deployments import DeploymentService
from services.customizer.parts import until
from services.deployments.conftest import ADAPTER, Control
from services.deployments.test_deployments import body, engines, names, wait_for

HI: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(proxy: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy}/v1", api_key="nothing", max_retries=0) as client:
        yield client


@pytest.fixture
def deployed(service: DeploymentService) -> DeploymentService:
    service.deploy(body())
    wait_for(service, "ready")
    return service


def test_the_base_model_and_its_adapters_answer_by_name(
    deployed: DeploymentService, client: openai.OpenAI, upload: Callable[..., str]
) -> None:
    upload()
    until(lambda: ADAPTER in names(deployed))

    for model in ("flywheel/student", ADAPTER):
        answer = client.chat.completions.create(model=model, messages=HI)
        assert str(answer.choices[0].message.content).startswith(f"{model} at ")
    assert [model.id for model in client.models.list()] == ["flywheel/student", ADAPTER]
    assert client.models.retrieve(ADAPTER).id == ADAPTER


def test_requests_and_tokens_are_counted_by_the_base_model(
    deployed: DeploymentService, client: openai.OpenAI, upload: Callable[..., str]
) -> None:
    upload()
    until(lambda: ADAPTER in names(deployed))
    base = {"model": "flywheel/student", "adapter": "no"}
    tuned = {"model": "flywheel/student", "adapter": "yes"}

    def seen(**labels: str) -> tuple[float, float]:
        tokens = counted("flywheel_model_tokens_total", **labels, kind="completion")
        return counted("flywheel_model_requests_total", **labels, status="200"), tokens

    before = seen(**base), seen(**tuned)
    client.chat.completions.create(model=ADAPTER, messages=HI)
    client.chat.completions.create(model="flywheel/student", messages=HI)
    after = [(requests + 1, tokens + 1) for requests, tokens in before]
    until(lambda: [seen(**base), seen(**tuned)] == after)
    assert counted("flywheel_model_request_duration_seconds_count", **tuned) >= 1
    assert counted("flywheel_deployments_ready") == 1
    assert counted("flywheel_deployments") == 1


def test_completions_and_embeddings(deployed: DeploymentService, client: openai.OpenAI) -> None:
    assert client.completions.create(model="flywheel/student", prompt="hi").choices[0].text == "text"
    embedded = client.embeddings.create(
        model="flywheel/student",
        input=["a", "b"],
        encoding_format="float",
        extra_body={"input_type": "query"},
    )
    assert [item.index for item in embedded.data] == [0, 1]


def test_an_answer_streams_word_by_word(
    deployed: DeploymentService, client: openai.OpenAI, control: Control
) -> None:
    words = []
    control.put("word-1")
    with client.chat.completions.create(model="flywheel/student", messages=HI, stream=True) as stream:
        for chunk in stream:
            words.append(chunk.choices[0].delta.content)
            control.put(f"word-{len(words) + 1}")  # The next word exists only when this one has arrived.

    assert words == ["word-1 ", "word-2 ", "word-3 "]


def test_a_caller_that_goes_away_ends_the_engines_work(
    deployed: DeploymentService, client: openai.OpenAI, control: Control
) -> None:
    control.put("word-1")
    with client.chat.completions.create(model="flywheel/student", messages=HI, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.content == "word-1 "

    until(lambda: control.lines("events") == ["the caller went away"])
    until(lambda: all(backend.in_flight == 0 for backend in deployed.backends.all()))


def test_a_caller_that_goes_away_before_the_answer_is_not_waited_for(
    deployed: DeploymentService, proxy: str, control: Control
) -> None:
    control.put("slow")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{proxy}/v1/chat/completions", json={"model": "flywheel/student", "messages": HI}, timeout=0.3
        )

    until(lambda: all(backend.in_flight == 0 for backend in deployed.backends.all()))
    control.remove("slow")


def test_an_unknown_model_is_told_what_is_there(deployed: DeploymentService, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="models that answer now: flywheel/student") as refused:
        client.chat.completions.create(model="gpt-9", messages=HI)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="'gpt-9' does not exist"):
        client.models.retrieve("gpt-9")


def test_a_model_that_is_loading_is_asked_for_again_later(
    service: DeploymentService, client: openai.OpenAI, control: Control
) -> None:
    control.put("hold")
    service.deploy(body())
    wait_for(service, "running")

    with pytest.raises(openai.InternalServerError, match="is loading") as refused:
        client.chat.completions.create(model="flywheel/student", messages=HI)

    assert refused.value.status_code == 503
    assert refused.value.response.headers["retry-after"] == "2"


@pytest.mark.parametrize("content", ["", "not json", "[]", "{}", '{"model": 7}'])
def test_a_body_that_names_no_model_is_refused(proxy: str, content: str) -> None:
    answer = httpx.post(f"{proxy}/v1/chat/completions", content=content, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_engines_own_refusal_passes_through(deployed: DeploymentService, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the prompt is too long") as refused:
        client.chat.completions.create(model="flywheel/student", messages=HI, max_tokens=99999)
    assert refused.value.code == "context_length_exceeded"


def test_a_dead_engine_is_503_until_it_is_back(
    deployed: DeploymentService, client: openai.OpenAI, control: Control, tmp_path: Path
) -> None:
    control.put("hold")
    for process in engines(tmp_path):
        process.kill()
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="flywheel/student", messages=HI)
    assert refused.value.status_code in (502, 503)

    control.remove("hold")
    until(lambda: len(control.lines("starts")) == 2)
    wait_for(deployed, "ready")

    assert client.chat.completions.create(model="flywheel/student", messages=HI)


def test_requests_are_shared_between_two_deployments_of_a_model(
    deployed: DeploymentService, client: openai.OpenAI, control: Control
) -> None:
    deployed.deploy(body(name="student-2"))
    wait_for(deployed, "ready", "student-2")
    control.put("slow")

    def ask(_: int) -> str | None:
        answer = client.chat.completions.create(model="flywheel/student", messages=HI)
        return answer.choices[0].message.content

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(ask, range(4))
        until(lambda: sum(backend.in_flight for backend in deployed.backends.all()) == 4)
        shares = [backend.in_flight for backend in deployed.backends.all()]
        control.remove("slow")
        assert len(set(answers)) == 2
    assert shares == [2, 2]
