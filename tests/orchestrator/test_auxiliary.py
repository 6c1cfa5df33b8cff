"""Judge and embedding model of a run's own: deployed when needed, used by name, taken down at any end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from flywheel.config import EmbeddingConfig, IclConfig, LlmJudgeConfig, Settings, SimilarityConfig
from flywheel.fake_chat import Reply, ScriptedChat
from flywheel.nemo.fake import NO_GPU, FakeNemo
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.wire import detail
from flywheel.orchestrator.workflow import CANCELLED, advance
from orchestrator.test_survival import At, Killed, die
from run_world import CHAT, World, make_world, settings

JUDGE, EMBEDDER = "meta/judge", "nvidia/embedder"


def using(judge: bool = True, embedding: bool = True) -> Settings:
    model = EmbeddingConfig(deployment_type="local", model_name=EMBEDDER, gpus=1)
    icl = IclConfig(
        max_context_length=2048,
        reserved_tokens=256,
        max_examples=2,
        example_selection="semantic_similarity",
        similarity_config=SimilarityConfig(embedding_nim_config=model if embedding else None),
    )
    config = LlmJudgeConfig(deployment_type="local", model_name=JUDGE, gpus=2, tag="1.8") if judge else None
    return settings().model_copy(update={"icl_config": icl, "llm_judge_config": config})


class Served:
    """What the model proxy of the fake NeMo does not do: answers, of what is deployed at that moment."""

    def __init__(self, nemo: FakeNemo) -> None:
        self.nemo = nemo
        self.asked: list[str] = []
        self.chat = ScriptedChat(lambda body: Reply("hello"), models=(JUDGE,))

    def vectors(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body["model"])
        assert str(request.url) == "http://nim.fake/v1/embeddings"
        assert "authorization" not in request.headers
        if body["model"] not in served(self.nemo):
            return httpx.Response(404, json={"error": "not served"})
        data = [{"index": n, "embedding": [len(t), t.count("1") + 1]} for n, t in enumerate(body["input"])]
        return httpx.Response(200, json={"data": data})

    def known_to(self, world: World) -> World:
        return world.reborn(
            embedding_transport=httpx.MockTransport(self.vectors), judge_transport=self.chat.transport()
        )


def served(nemo: FakeNemo) -> set[str]:
    deployments = nemo.deployments.values()
    return {d["config"]["model"] for d in deployments if d["status_details"]["status"] == "ready"}


def build(world: Callable[..., World], nemo: FakeNemo, **which: bool) -> tuple[World, Served]:
    models = Served(nemo)
    return models.known_to(world(nemo, using(**which))), models


def test_both_are_deployed_used_by_their_names_and_taken_down(world: Callable[..., World]) -> None:
    deployed: list[str] = []
    nemo = FakeNemo(polls=2)
    nemo.interrupt = lambda name, when: deployed.extend(
        each["config"]["model"]
        for each in nemo.deployments.values()
        if each["config"]["model"] not in deployed
    )
    here, models = build(world, nemo)
    run = here.finish(here.start(CHAT))
    assert (run.status, run.error) == ("completed", None)
    assert deployed == [EMBEDDER, JUDGE, "test/student"]
    assert set(models.asked) == {EMBEDDER}
    assert len(models.chat.requests) == 1, "probed"
    assert run.curation is not None
    assert run.curation["icl_selection"] == f"semantic_similarity: embeddings of {EMBEDDER}"
    assert run.curation["leakage"]["embeddings"]["model"] == EMBEDDER
    for job in nemo.evaluations.values():
        metrics = job["config"]["tasks"]["llm-as-judge"]["metrics"]
        assert metrics["llm-judge"]["params"]["model"] == JUDGE
        assert metrics["embedding-similarity"]["params"]["model"] == EMBEDDER
    assert run.judge is not None
    assert (run.judge.model_name, run.judge.type, run.judge.deployment_status) == (JUDGE, "local", "ready")
    scores = [s for c in run.candidates for e in c.evaluations for s in e.scores.values()]
    assert {score.scorer for score in scores} == {JUDGE, None}
    assert nemo.open_jobs == []
    assert all(each.released and not each.ready for each in run.auxiliaries)
    shown = detail(run, here.context.services.urls, here.clock())["auxiliaries"]
    roles = [(each["role"], each["model_name"]) for each in shown]
    assert roles == [("embedding", EMBEDDER), ("judge", JUDGE)]
    said = [event.message for event in run.events]
    for role, name in (("embedding", EMBEDDER), ("judge", JUDGE)):
        began = said.index(f"{role} model {name} is being deployed")
        assert began < said.index(f"{role} model {name} answers")


def test_what_is_asked_of_the_deployment_manager_is_what_the_configuration_says(
    world: Callable[..., World],
) -> None:
    nemo = FakeNemo(polls=1)
    posted: dict[str, Any] = {}
    nemo.interrupt = lambda name, when: posted.update(
        {d["config"]["model"]: d for d in nemo.deployments.values()}
    )
    here, _ = build(world, nemo)
    run = here.finish(here.start(CHAT))
    nim = posted[JUDGE]["config"]["nim_deployment"]
    assert (nim["image_name"], nim["image_tag"], nim["gpu"]) == (f"nvcr.io/nim/{JUDGE}", "1.8", 2)
    assert posted[JUDGE]["custom_fields"] == {"flywheel_run": run.id}


def test_where_no_judge_is_wanted_none_is_deployed(world: Callable[..., World]) -> None:
    nemo = FakeNemo()
    here, models = build(world, nemo, embedding=False)
    run = here.finish(here.start(evaluation_config={"tool_eval_type": "tool-calling-metric"}))
    assert (run.status, run.auxiliaries, models.chat.requests) == ("completed", (), [])
    assert run.judge is not None
    assert run.judge.model_name == "text-matcher"


def test_where_examples_are_not_chosen_by_likeness_no_embedding_model_is_deployed(
    world: Callable[..., World],
) -> None:
    here, models = build(world, FakeNemo(), judge=False)
    run = here.finish(here.start(CHAT, icl_config={"example_selection": "uniform_distribution"}))
    assert (run.status, run.auxiliaries, models.asked) == ("completed", (), [])


@pytest.mark.parametrize("model", [JUDGE, EMBEDDER])
def test_one_that_does_not_come_up_fails_the_run_with_its_cause_and_the_other_goes(
    world: Callable[..., World], model: str
) -> None:
    nemo = FakeNemo(broken={model: "no space for its weights"})
    here, _ = build(world, nemo)
    run = here.finish(here.start(CHAT))
    assert run.status == "failed"
    assert run.error == f"deployment of {model} failed: no space for its weights"
    assert nemo.open_jobs == []
    assert all(each.released for each in run.auxiliaries)


def test_a_judge_that_is_up_but_answers_nothing_fails_the_run(world: Callable[..., World]) -> None:
    here, _ = build(world, FakeNemo(), embedding=False)
    here = here.reborn(judge_transport=ScriptedChat(lambda body: Reply(status=400)).transport())
    run = here.finish(here.start(CHAT))
    assert run.status == "failed"
    assert f"the judge {JUDGE} at http://nim.fake/v1/chat/completions does not answer" in (run.error or "")
    assert here.nemo.open_jobs == []


def test_one_that_waits_for_a_gpu_says_so(world: Callable[..., World]) -> None:
    nemo = FakeNemo(queue=3)
    here, _ = build(world, nemo, judge=False)
    run_id = here.start(CHAT)
    while not (found := here.run(run_id).auxiliaries) or found[0].waits_for is None:
        advance(run_id, here.context)
    assert (found[0].waits_for, found[0].ready) == (NO_GPU, False)
    assert here.finish(run_id).status == "completed"


CALLS = 52
"""Calls of the run below, pinned by the first test so that the others reach each of them."""


def test_a_run_makes_as_many_calls_as_these_tests_reach(world: Callable[..., World]) -> None:
    watch = At(10_000, "before", die)
    here, _ = build(world, FakeNemo(interrupt=watch))
    here.finish(here.start(CHAT))
    assert watch.seen + 1 == CALLS


@pytest.mark.parametrize("number", range(0, CALLS, 2))
def test_a_run_cancelled_at_any_call_leaves_none_of_them(world: Callable[..., World], number: int) -> None:
    nemo = FakeNemo()
    here, _ = build(world, nemo)
    run_id = here.start(CHAT)
    nemo.interrupt = At(number, "after", lambda: Jobs(here.context, print).cancel(run_id))
    run = here.finish(run_id)
    assert (run.status, run.error) == ("cancelled", CANCELLED)
    assert nemo.open_jobs == []
    assert all(each.released for each in run.auxiliaries)


@pytest.mark.parametrize("number", range(1, CALLS, 3))
def test_a_worker_killed_after_any_call_deploys_nothing_twice(
    tmp_path: Any, records: Any, number: int
) -> None:
    nemo = FakeNemo(interrupt=At(number, "after", die))
    models = Served(nemo)
    first = make_world(tmp_path, records, nemo, using())
    run_id = first.start(CHAT)
    with pytest.raises(Killed):
        models.known_to(first).finish(run_id)
    first.close()
    second = make_world(tmp_path, records, nemo, using())
    run = models.known_to(second).finish(run_id)
    second.close()
    assert run.status == "completed", run.error
    assert nemo.calls["POST /v1/deployment/model-deployments"] == 3
    assert nemo.open_jobs == []
