"""Runs from beginning to end against services that do nothing."""

from __future__ import annotations

import json
from collections import Counter

import httpx
import pytest

from flywheel.config import EmbeddingConfig, IclConfig, LlmJudgeConfig, SimilarityConfig
from flywheel.errors import ConfigError
from flywheel.fake_chat import Reply, ScriptedChat
from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.fake import NO_GPU, URLS, FakeNemo
from flywheel.orchestrator.wire import detail
from flywheel.orchestrator.workflow import advance
from flywheel.stores.runs import RunNotStorable
from run_world import CHAT, WORKLOAD, nim, settings


def test_a_run_goes_from_pending_to_a_decision(world):
    here = world()
    run = here.finish(here.start())

    assert (run.status, run.error) == ("completed", None)
    (candidate,) = run.candidates
    scores = {e.eval_type: e.scores["function_name_and_args_accuracy"].value for e in candidate.evaluations}
    assert scores == {"base-eval": 0.1, "icl-eval": 0.3, "customized-eval": 0.9}
    assert run.decision.eval_type == "customized-eval"
    assert run.decision.customized_model.startswith("dfwbp/customized-test-student@cust-")
    assert here.nemo.open_jobs == []
    assert here.nemo.calls["POST /v1/customization/jobs"] == 1
    assert here.nemo.calls["POST /v1/evaluation/jobs"] == 3


def test_the_data_sets_are_uploaded_and_registered_under_the_names_of_the_contract(world):
    here = world()
    run = here.finish(here.start())

    epoch = int(run.created_at.timestamp() * 1_000_000)
    names = [dataset.name for dataset in run.datasets]
    assert names == [f"flywheel-{kind}-tool_router-{epoch}" for kind in ("eval", "icl", "train")]
    uploads = here.nemo.hub.files.items()
    files = {name: set(content) for name, content in uploads if name.startswith("datasets/")}
    assert files == {
        f"datasets/dfwbp/{names[0]}": {"eval_data.jsonl"},
        f"datasets/dfwbp/{names[1]}": {"icl_data.jsonl"},
        f"datasets/dfwbp/{names[2]}": {"training/train_data.jsonl", "validation/val_data.jsonl"},
    }
    assert set(here.nemo.datasets) == {f"dfwbp/{name}" for name in names}
    assert run.curation["records_in"] == 80
    assert run.num_records == run.curation["records_out"]
    assert run.dataset("eval").num_records == 10


def test_the_same_job_posted_twice_has_the_same_holdout(world):
    here = world()
    first, second = here.start(), here.start()
    runs = [here.finish(first), here.finish(second)]

    files = [here.nemo.hub.files[f"datasets/dfwbp/{run.dataset('eval').name}"] for run in runs]
    assert runs[0].dataset("eval").name != runs[1].dataset("eval").name
    assert files[0] == files[1]
    assert runs[0].dataset("eval").sha256 == runs[1].dataset("eval").sha256


def test_a_workload_without_tools_is_scored_by_similarity(world):
    here = world()
    run = here.finish(here.start(CHAT))

    assert run.workload_type == "generic"
    assert run.decision.metric == "similarity"
    score = run.candidates[0].evaluations[0].scores["similarity"]
    assert (score.scorer, score.n, score.low) == ("text-matcher", 100, 0.0)
    assert (run.judge.model_name, run.judge.type) == ("text-matcher", "local")


def test_jobs_are_looked_at_again_later_instead_of_being_waited_for(world):
    here = world(FakeNemo(polls=3))
    run_id = here.start()
    pauses = []
    while (following := advance(run_id, here.context)).seconds is not None:
        pauses.append(following.seconds)
        here.clock.now += following.seconds

    assert here.run(run_id).status == "completed"
    assert min(pauses) == 0.5
    assert max(pauses) <= 5.0


def test_progress_of_a_training_is_in_the_document(world):
    here = world(FakeNemo(polls=5))
    run_id = here.start()
    while here.run(run_id).candidates[0].stage != "work":
        here.clock.now += advance(run_id, here.context).seconds
    for _ in range(3):
        here.clock.now += advance(run_id, here.context).seconds

    training = here.run(run_id).candidates[0].customization
    assert training.status == "running"
    assert 0 < training.progress < 100
    assert training.train_loss is not None
    assert training.eta_seconds > 0


def test_a_model_without_customization_is_only_measured(world):
    plain = nim().model_copy(update={"customization_enabled": False})
    here = world(using=settings(plain))
    run = here.finish(here.start())

    assert run.status == "completed"
    assert [e.eval_type for e in run.candidates[0].evaluations] == ["base-eval", "icl-eval"]
    assert here.nemo.calls["POST /v1/customization/jobs"] == 0


# One candidate's failure is its own


def test_a_candidate_that_cannot_be_deployed_fails_alone_with_its_cause(world):
    nemo = FakeNemo(broken={"test/bad": "image not found"})
    here = world(nemo, settings(nim("test/bad"), nim("test/good")))
    run = here.finish(here.start())

    bad, good = run.candidates
    assert (run.status, bad.failed, good.failed) == ("completed", True, False)
    assert "image not found" in bad.error
    assert run.decision.model_name == "test/good"
    assert nemo.open_jobs == []


def test_a_run_fails_when_no_candidate_is_left(world):
    nemo = FakeNemo(broken={"test/student": "no GPU"})
    here = world(nemo)
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "no GPU" in run.error
    assert nemo.open_jobs == []


def test_a_training_that_fails_keeps_what_was_measured_before(world):
    nemo = FakeNemo(broken={"customize test/student": "loss is NaN"})
    here = world(nemo)
    run = here.finish(here.start())

    (candidate,) = run.candidates
    states = {e.eval_type: e.status for e in candidate.evaluations}
    assert states == {"base-eval": "completed", "icl-eval": "completed", "customized-eval": "skipped"}
    assert "loss is NaN" in candidate.customization.error
    assert run.status == "failed"
    assert "loss is NaN" in run.error


def test_an_evaluation_that_fails_does_not_take_the_others_with_it(world):
    nemo = FakeNemo(broken={"evaluate test/student": "the model is silent"})
    here = world(nemo)
    run = here.finish(here.start())

    states = [e.status for e in run.candidates[0].evaluations]
    assert states == ["failed", "failed", "completed"]
    assert run.status == "completed"
    assert "the model is silent" in run.candidates[0].error


def test_a_job_without_progress_is_given_up(world):
    here = world(FakeNemo(polls=10_000), stall_s=60)
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "made no progress for 60 seconds" in run.error


def test_what_waits_for_gpus_says_so_and_is_not_given_up(world):
    here = world(FakeNemo(queue=20), stall_s=10, poll_s=1)
    run_id = here.start()
    seen = set()
    while not (run := here.context.runs.load(run_id)).finished:
        seen |= {nim["waits_for"] for nim in detail(run, URLS, here.clock())["nims"]}
        here.clock.now += 2
        advance(run_id, here.context)

    assert run.status == "completed", run.error
    assert seen == {None, NO_GPU}
    candidate = run.candidates[0]
    assert (candidate.waits_for, candidate.customization.waits_for) == (None, None)


def test_what_waits_for_ever_is_given_up(world):
    here = world(FakeNemo(queue=10_000), stall_s=60, wait_s=600)
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "made no progress for 600 seconds" in run.error


def test_candidates_whose_names_look_alike_are_kept_apart(world):
    here = world(using=settings(nim("test/a"), nim("test-a"), parallelism=2))
    run = here.finish(here.start())

    assert run.status == "completed"
    assert len({candidate.deployment_name for candidate in run.candidates}) == 2
    assert len(here.nemo.hub.files[f"datasets/dfwbp/{run.dataset('icl').name}"]) == 2


# Services that are away


class Away:
    """Raises what a client raises, for some calls or for a time."""

    def __init__(self, name: str, status: int | None, times: int) -> None:
        self.name, self.status, self.times = name, status, times

    def __call__(self, name: str, when: str) -> None:
        if when == "before" and self.name in name and self.times:
            self.times -= 1
            raise ServiceCallFailed("POST", f"http://nemo.fake{name}", self.status, "maintenance")


@pytest.mark.parametrize("call", ["upload", "model-deployments", "customization/jobs", "evaluation/jobs"])
def test_a_service_that_comes_back_is_waited_for(world, call):
    nemo = FakeNemo(interrupt=Away(call, 503, times=3))
    here = world(nemo)
    run = here.finish(here.start())

    assert run.status == "completed"
    assert any("maintenance" in event.message and event.level == "warning" for event in run.events)
    assert (run.trouble, run.candidates[0].trouble) == (None, None)


@pytest.mark.parametrize("call", ["upload", "model-deployments"])
def test_a_service_that_stays_away_fails_what_needed_it(world, call):
    nemo = FakeNemo(interrupt=Away(call, None, times=10_000))
    here = world(nemo, retry_for_s=120)
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "maintenance" in run.error


def test_a_refusal_is_not_tried_again(world):
    nemo = FakeNemo(interrupt=Away("customization/jobs", 422, times=1))
    here = world(nemo)
    run = here.finish(here.start())

    assert nemo.calls["POST /v1/customization/jobs"] == 0
    assert "maintenance" in run.candidates[0].customization.error


def test_a_bug_in_a_step_fails_its_run_after_a_few_tries(world):
    def broken(name: str, when: str) -> None:
        if name == "upload":
            raise KeyError("surprise")

    nemo = FakeNemo(interrupt=broken)
    here = world(nemo)
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "unforeseen KeyError in step curate" in run.error


def test_a_workload_that_cannot_be_curated_says_why(world):
    here = world()
    run = here.finish(here.start(data_split_config={"min_total_records": 79, "limit": 30}))

    assert run.status == "failed"
    assert "min_total_records asks for 79" in run.error
    assert run.candidates[0].failed


# The judge


def judge_settings():
    judge = LlmJudgeConfig(model_name="judge", url="http://judge.fake/v1/chat/completions", api_key_env="KEY")
    return settings().model_copy(update={"llm_judge_config": judge})


def test_a_configured_judge_is_asked_once_and_named_in_the_run(world):
    chat = ScriptedChat(lambda body: Reply("hello"), models=("judge",))
    here = world(using=judge_settings())
    here = here.reborn(judge_transport=chat.transport(), environment={"KEY": "s3cret"})
    run = here.finish(here.start())

    assert run.status == "completed"
    assert (run.judge.model_name, run.judge.type) == ("judge", "remote")
    (evaluation, *_) = here.nemo.evaluations.values()
    metric = evaluation["config"]["tasks"]["custom-tool-calling"]["metrics"]["correctness"]
    assert metric["params"]["model"]["api_endpoint"]["api_key"] == "s3cret"
    assert "s3cret" not in run.model_dump_json()


def test_a_judge_is_kept_from_tool_calls_where_only_the_metric_is_wanted(world):
    chat = ScriptedChat(lambda body: Reply("hello"), models=("judge",))
    here = world(using=judge_settings())
    here = here.reborn(judge_transport=chat.transport(), environment={"KEY": "s3cret"})
    run = here.finish(here.start(evaluation_config={"tool_eval_type": "tool-calling-metric"}))

    assert (run.judge.model_name, run.judge.type) == ("text-matcher", "local")
    (evaluation, *_) = here.nemo.evaluations.values()
    assert "judge.fake" not in str(evaluation["config"])


def test_a_judge_that_does_not_answer_fails_the_run_with_a_way_out(world):
    chat = ScriptedChat(lambda body: Reply(status=401), models=("judge",))
    here = world(using=judge_settings())
    here = here.reborn(judge_transport=chat.transport(), environment={"KEY": "s3cret"})
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "the judge judge at http://judge.fake/v1/chat/completions does not answer" in run.error
    assert "s3cret" not in run.model_dump_json()


def test_a_judge_whose_key_is_missing_says_which_variable(world):
    here = world(using=judge_settings())
    run = here.finish(here.start())

    assert run.status == "failed"
    assert "KEY is not set" in run.error


# Several runs


def test_a_second_run_waits_for_a_slot_and_then_goes_on(world):
    here = world(FakeNemo(polls=2))
    first, second = here.start(), here.start()
    for _ in range(4):
        advance(first, here.context)

    assert advance(second, here.context).seconds == 30.0
    assert here.run(second).status == "pending"
    here.finish(first)
    assert here.finish(second).status == "completed"


def test_candidates_share_the_slots_in_the_order_of_the_configuration(world):
    most = 0

    def watch(name: str, when: str) -> None:
        nonlocal most
        most = max(most, len(nemo.deployments))

    names = [f"test/{n}" for n in range(5)]
    nemo = FakeNemo(polls=2, interrupt=watch)
    here = world(nemo, settings(*map(nim, names), parallelism=2))
    run = here.finish(here.start(), steps=500)

    assert run.status == "completed"
    assert most == 2
    started = [candidate.started_at for candidate in run.candidates]
    assert started == sorted(started)


# After the end


def test_deleting_a_run_takes_its_data_sets_and_adapters_with_it(world):
    here = world()
    run = here.finish(here.start())
    assert here.nemo.models
    here.context.runs.apply(run, run.but(step="erase"))

    assert advance(run.id, here.context).seconds is None
    assert (here.nemo.hub.files, here.nemo.datasets, here.nemo.models) == ({}, {}, {})
    assert here.nemo.evaluations == {}
    assert here.context.runs.list().total == 0
    assert advance(run.id, here.context).seconds is None


def test_the_log_of_a_healthy_run_is_short_and_tells_the_story(world):
    here = world(FakeNemo(polls=3))
    run = here.finish(here.start())

    messages = [event.message for event in run.events]
    assert messages[0] == "run started"
    assert messages[-1] == "run completed"
    assert len(messages) <= 20
    assert run.workload == WORKLOAD


def test_a_run_that_grows_beyond_what_its_store_takes_fails_and_says_why(world):
    class Narrow:
        """A store of runs that does not take a run with data sets."""

        def __init__(self, store) -> None:
            self._store = store

        def __getattr__(self, name):
            return getattr(self._store, name)

        def apply(self, run, change, *, owner=None):
            if change.datasets:
                raise RunNotStorable("it is too large")
            return self._store.apply(run, change, owner=owner)

    here = world()
    here = here.reborn(runs=Narrow(here.context.runs))
    run = here.finish(here.start())
    assert (run.status, here.nemo.open_jobs) == ("failed", [])
    assert "it is too large" in run.error


# The embedding model


def embedding_settings(**changes):
    model = EmbeddingConfig(
        model_name="nvidia/embedder",
        url="http://embed.fake/v1/embeddings",
        api_key_env="EMBED_KEY",
        **changes,
    )
    return settings().model_copy(
        update={
            "icl_config": IclConfig(
                max_context_length=2048,
                reserved_tokens=256,
                max_examples=2,
                example_selection="semantic_similarity",
                similarity_config=SimilarityConfig(embedding_nim_config=model),
            )
        }
    )


class Embedding:
    """Embeds a text as the counts of its letters; `down` times it is away first."""

    def __init__(self, down=0):
        self.requests, self.down = [], down

    def __call__(self, request):
        self.requests.append(request)
        if self.down:
            self.down -= 1
            return httpx.Response(503, headers={"retry-after": "0"}, text="loading, key s3cret")
        texts = json.loads(request.content)["input"]
        vectors = [[text.lower().count(c) + 1 for c in "abcdefghij"] for text in texts]
        data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        return httpx.Response(200, json={"data": data})

    def known_to(self, world):
        return world.reborn(
            embedding_transport=httpx.MockTransport(self), environment={"EMBED_KEY": "s3cret"}
        )


def test_examples_are_chosen_by_the_configured_embedding_model_which_the_report_names(world):
    embedding = Embedding()
    here = embedding.known_to(world(using=embedding_settings(batch_size=16)))
    run = here.finish(here.start())

    assert run.status == "completed"
    assert run.curation["icl_selection"] == "semantic_similarity: embeddings of nvidia/embedder"
    bodies = [json.loads(request.content) for request in embedding.requests]
    sent = [text for body in bodies for text in body["input"]]
    assert len(set(sent)) > 16
    # Once to look for repeats of the evaluation, which remembers nothing, and once to choose.
    assert max(Counter(sent).values()) == 2
    nearness = run.curation["leakage"]["embeddings"]
    assert (nearness["model"], nearness["threshold"]) == ("nvidia/embedder", 0.95)
    assert all(len(body["input"]) <= 16 and body["input_type"] == "query" for body in bodies)
    assert embedding.requests[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in run.model_dump_json()


def test_an_embedding_model_that_is_away_is_waited_for_and_never_replaced(world):
    embedding = Embedding(down=5)
    here = embedding.known_to(world(using=embedding_settings()))
    run = here.finish(here.start())

    assert run.status == "completed"
    assert run.curation["icl_selection"].endswith("embeddings of nvidia/embedder")
    (said,) = [e.message for e in run.events if e.message.endswith("trying again")]
    assert "http://embed.fake/v1/embeddings" in said
    assert "s3cret" not in run.model_dump_json()

    gone = Embedding(down=10_000).known_to(here)
    failed = gone.finish(gone.start())
    assert (failed.status, "answered 503" in failed.error) == ("failed", True)


def test_a_job_changes_likeness_but_takes_no_key_elsewhere(world):
    here = world(using=embedding_settings())

    def configured(**likeness):
        run = here.run(here.start(icl_config={"similarity_config": likeness}))
        return run.config.icl_config.similarity_config

    assert configured(relevance_ratio=0.5).embedding_nim_config.api_key_env == "EMBED_KEY"
    same = configured(embedding_nim_config={"model_name": "other"}).embedding_nim_config
    assert (same.model_name, same.url, same.api_key_env) == (
        "other",
        "http://embed.fake/v1/embeddings",
        "EMBED_KEY",
    )
    away = configured(embedding_nim={"url": "http://elsewhere.fake/v1/embeddings"}).embedding_nim_config
    assert (away.url, away.api_key_env) == ("http://elsewhere.fake/v1/embeddings", None)
    assert configured(embedding_nim_config=None).embedding_nim_config is None
    with pytest.raises(ConfigError, match="api_key_env can only be set in the server's configuration"):
        configured(embedding_nim_config={"api_key_env": "JUDGE_KEY"})


def test_words_are_also_measured_by_the_embedding_model(world):
    here = Embedding().known_to(world(using=embedding_settings()))
    run = here.finish(here.start(CHAT))
    assert run.candidates[0].evaluations[0].scores["embedding_similarity"].value == 0.1
    (evaluation, *_) = here.nemo.evaluations.values()
    metric = evaluation["config"]["tasks"]["text-matching"]["metrics"]["embedding-similarity"]
    assert metric["params"]["input_type"] == "query"
    assert metric["params"]["model"]["api_endpoint"] == {
        "url": "http://embed.fake/v1/embeddings",
        "model_id": "nvidia/embedder",
        "api_key": "s3cret",
    }
    assert "s3cret" not in run.model_dump_json()

    plain = here.finish(here.start(CHAT, evaluation_config={"scoring": "nemo"}))
    assert "embedding_similarity" not in plain.candidates[0].evaluations[0].scores
