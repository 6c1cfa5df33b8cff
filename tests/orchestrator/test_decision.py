"""What a run comes to: paired comparison, verdict in words, the teacher asked again, the price."""

from __future__ import annotations

import pytest

from flywheel.config import Pricing, TeacherConfig
from flywheel.nemo.evaluation_scores import decisive_score
from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.decision import best
from flywheel.orchestrator.wire import detail
from flywheel.stores.runs.document import Score
from run_world import CHAT, settings

TEACHER = TeacherConfig(
    model_name="big", url="https://teacher.test/v1/chat/completions", api_key_env="TEACHER_KEY"
)


def using(**changes):
    return settings().model_copy(update=changes)


def test_systems_are_compared_on_the_same_records_and_judged(world):
    here = world()
    run = here.finish(here.start())
    table = run.decision.table
    assert (table["records"], table["ceiling_measured"]) == (10, False)
    values = {system["name"]: system["value"] for system in table["systems"]}
    assert values == {
        "test/student base-eval": 0.1,
        "test/student icl-eval": 0.3,
        "test/student customized-eval": 0.9,
    }
    (against_base,) = [
        d for d in table["differences"] if d["system"].endswith("customized-eval") and d["against"] == "base"
    ]
    assert (against_base["better"], against_base["worse"]) == (8, 0)
    assert against_base["p_value"] < 0.05
    assert run.decision.verdict.startswith("not yet: ")
    assert "more records" in run.decision.verdict
    assert any(run.decision.verdict in event.message for event in run.events)
    assert (
        detail(run, here.context.services.urls, here.clock())["decision"]["verdict"] == run.decision.verdict
    )


def test_before_anything_is_trained_the_run_says_what_its_records_can_show(world):
    here = world()
    run = here.finish(here.start())
    messages = [event.message for event in run.events]
    (said,) = [at for at, message in enumerate(messages) if "as good as its teacher" in message]
    assert said == next(at for at, message in enumerate(messages) if message.startswith("data sets up")) + 1
    count = run.dataset("eval").num_records
    assert messages[said].startswith(f"with {count:,} records ")
    assert "within 3 points of it; a chance of 80% takes 913 (" in messages[said]


def test_a_student_that_is_worse_than_the_teachers_log_by_far_is_not_promoted(world):
    here = world(nemo=FakeNemo(scores={"base-eval": 0.1, "icl-eval": 0.1, "customized-eval": 0.2}))
    run = here.finish(here.start())
    assert run.decision.verdict.startswith("no: ")


def test_the_teacher_is_asked_again_where_one_is_configured(world):
    scores = {"base-eval": 0.1, "icl-eval": 0.3, "customized-eval": 0.8, "teacher-eval": 0.8}
    here = world(nemo=FakeNemo(polls=1, scores=scores), using=using(teacher_config=TEACHER))
    here.context.environment["TEACHER_KEY"] = "hunter2"
    run = here.finish(here.start())
    assert (run.status, run.teacher.status) == ("completed", "completed")
    table = run.decision.table
    assert table["ceiling_measured"]
    assert {s["name"]: s["value"] for s in table["systems"] if s["role"] == "ceiling"} == {"teacher": 0.8}
    (job,) = [j for j in here.nemo.evaluations.values() if j["custom_fields"]["eval_type"] == "teacher-eval"]
    assert job["target"]["model"]["api_endpoint"]["model_id"] == "big"
    shown = detail(run, here.context.services.urls, here.clock())
    assert shown["teacher"]["eval_type"] == "teacher-eval"
    assert "hunter2" not in str(shown) + run.model_dump_json()


def test_a_teacher_that_cannot_be_asked_is_noted_and_its_log_stands_in(world):
    here = world(using=using(teacher_config=TEACHER))
    run = here.finish(here.start())
    assert (run.status, run.teacher.status) == ("completed", "failed")
    assert "TEACHER_KEY is not set" in run.teacher.error
    assert any("the teacher was not asked again" in event.message for event in run.events)
    assert not run.decision.table["ceiling_measured"]


def test_without_samples_the_best_score_decides_and_says_why_there_is_no_verdict(world, monkeypatch):
    here = world()
    monkeypatch.setattr(FakeNemo, "_evaluation_download", lambda *_: b"not a zip")
    run = here.finish(here.start())
    assert run.status == "completed"
    assert run.decision.eval_type == "customized-eval"
    assert (run.decision.verdict, run.decision.table) == (None, None)
    assert "no verdict: the samples of evaluation job" in run.decision.reason


def test_what_a_thousand_requests_cost_is_told_where_prices_are_known(world):
    prices = Pricing(teacher_input_per_million=2.0, teacher_output_per_million=10.0, gpu_hour=3.6)
    run_without = (here := world()).finish(here.start())
    assert run_without.decision.cost is None
    here = world(using=using(pricing=prices))
    run = here.finish(here.start())
    # 1,000 prompt and 100 answer tokens over 100 samples: 30 per request and 0.003 per thousandth of them.
    assert run.decision.cost["teacher"] == pytest.approx((1000 * 2 + 100 * 10) / 1e6 / 100 * 1000)
    assert set(run.decision.cost["systems"]) == {
        f"test/student {kind}" for kind in ("base-eval", "icl-eval", "customized-eval")
    }
    assert all(amount > 0 for amount in run.decision.cost["systems"].values())


def with_json(run, matches, n=100):
    """The run with `json_match` scores of this many records, in the order of its evaluations."""
    (candidate,) = run.candidates
    evaluations = tuple(
        each.but(scores={**each.scores, "json_match": Score(value=value, n=n)})
        for each, value in zip(candidate.evaluations, matches, strict=True)
    )
    return run.but(candidates=(candidate.but(evaluations=evaluations),))


def test_answers_in_json_are_ranked_as_json_and_words_by_similarity(world):
    here = world()
    run = here.finish(here.start(CHAT))
    assert (best(run).metric, best(run).eval_type) == ("similarity", "customized-eval")
    in_json = with_json(run, (0.2, 0.7, 0.4))
    assert (best(in_json).metric, best(in_json).eval_type) == ("json_match", "icl-eval")
    few = with_json(run, (0.2, 0.7, 0.4), n=30)
    assert best(few).metric == "similarity", "most of its records do not ask for JSON"


@pytest.mark.parametrize(
    ("name", "metrics", "found"),
    [
        ("json_match", {"text-matcher": {}}, ("json-match", "json_match", (0.0, 1.0))),
        ("similarity", {"json-match": {}, "llm-judge": {}}, ("llm-judge", "similarity", (1, 10))),
        ("similarity", {"json-match": {}, "text-matcher": {}}, ("text-matcher", "similarity", (1, 10))),
    ],
)
def test_where_samples_have_the_score_that_decides(name, metrics, found):
    assert decisive_score(metrics, "schema", name) == found
