"""A judge in a run's own jobs: what it says, what it fails to say, and whether it is to be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flywheel.fake_chat import Reply
from flywheel.nemo.evaluation import EvaluationResult
from flywheel.nemo.evaluation_jobs import generic_job, tool_calling_job
from flywheel.nemo.evaluation_scores import judge_agreement, run_scores
from services.evaluator.room import FILES_URL, finished, number_of, record, right, room_with

Judge = Callable[[str], Reply]


def says(score: Any) -> Reply:
    return Reply(json.dumps({"reasoning": "so it is", "score": score}))


def judged(
    folder: Path,
    job: Callable[..., dict[str, Any]],
    judge: Judge,
    student: Callable[[dict[str, Any]], Reply] = right,
    rows: int = 10,
    **settings: Any,
) -> tuple[EvaluationResult, list[dict[str, Any]]]:
    """The result, and what the judge was asked."""
    asked: list[dict[str, Any]] = []

    def models(body: dict[str, Any]) -> Reply:
        if body["model"] != "judge":
            return student(body)
        asked.append(body)
        return judge(body["messages"][1]["content"])

    room = room_with(folder, models)
    with room.evaluator(**settings) as client:
        kept = [record(n) for n in range(5 * rows) if (n % 5 == 4) == (job is generic_job)][:rows]
        room.put_rows(kept)
        posted = client.create_job(job(model="student", files_url=FILES_URL, judge="judge"))
        assert finished(client, posted.id).status == "completed"
        return client.results(posted.id), asked


@pytest.mark.parametrize("score", [10, "10", 10.0])
def test_ten_of_ten_is_ten(tmp_path: Path, score: Any) -> None:
    result, _ = judged(tmp_path, generic_job, lambda text: says(score))
    assert run_scores(result)["similarity"].value == 10.0


@pytest.mark.parametrize("score", [10, 0.5, 7, -1, "1 of 1", None])
def test_a_number_that_is_not_on_the_scale_leaves_the_answer_unscored(tmp_path: Path, score: Any) -> None:
    result, _ = judged(tmp_path, tool_calling_job, lambda text: says(score))
    rating = result.tasks["custom-tool-calling"].metrics["correctness"].scores["rating"]
    assert rating.stats is not None
    assert (rating.stats.count, rating.stats.nan_count) == (0, 10)
    assert run_scores(result)["function_name_and_args_accuracy"].value == 1.0


@pytest.mark.parametrize("score", [0, 11, 110, "ten"])
def test_a_similarity_that_is_not_on_the_scale_is_none(tmp_path: Path, score: Any) -> None:
    result, _ = judged(tmp_path, generic_job, lambda text: says(score))
    assert "similarity" not in run_scores(result)
    assert run_scores(result)["exact_match"].value == 1.0


def test_an_answer_that_never_came_is_at_the_low_end_of_the_scale_and_not_judged(tmp_path: Path) -> None:
    def student(body: dict[str, Any]) -> Reply:
        return Reply("too long", status=400) if number_of(body) == 4 else right(body)

    result, asked = judged(tmp_path, generic_job, lambda text: says(9), student, rows=4)

    assert len(asked) == 3
    score = run_scores(result)["similarity"]
    assert score.stats is not None
    assert (score.value, score.stats.min, score.stats.count) == (7.0, 1.0, 4)


def test_strict_json_is_asked_for_and_the_order_is_drawn_and_kept(tmp_path: Path) -> None:
    result, asked = judged(tmp_path, generic_job, lambda text: says(9), rows=24)
    assert {body["response_format"]["type"] for body in asked} == {"json_schema"}
    firsts = {body["messages"][1]["content"].find("REFERENCE") for body in asked}
    assert len(asked) == 24
    assert len(firsts) > 1, "both orders occur"
    assert run_scores(result)["similarity"].value == 9.0


def test_the_judge_is_measured_by_the_programmatic_score(tmp_path: Path) -> None:
    """The student is wrong on three of ten; the judge waves one of them through."""

    def student(body: dict[str, Any]) -> Reply:
        number = number_of(body)
        return Reply(calls=[("order", {"n": 1000 + number})]) if number in (1, 2, 3) else right(body)

    def lenient(text: str) -> Reply:
        return says(int("1001" in text or ("1002" not in text and "1003" not in text)))

    result, _ = judged(tmp_path, tool_calling_job, lenient, student)

    found = result.custom_fields["judge_agreement"]["custom-tool-calling"]["correctness.rating"]
    assert (found["right_from"], found["unscored"]) == (1, 0)
    with_score = found["with_score"]
    assert with_score["score"] == "tool-calling-accuracy.schema_function_name_and_args_accuracy"
    assert [with_score[cell] for cell in ("n", "both", "only_first", "only_second", "neither")] == [
        10,
        7,
        1,
        0,
        2,
    ]
    assert with_score["accuracy"] == pytest.approx(0.9)
    assert with_score["kappa"] == pytest.approx((0.9 - 0.62) / (1 - 0.62))
    shown = judge_agreement(result)
    assert (shown["n"], shown["accuracy"], shown["kappa"]) == (10, 0.9, with_score["kappa"])
    assert judge_agreement(result.model_copy(update={"custom_fields": {}})) == {}


def test_the_judge_is_measured_by_people_on_answers_that_they_labelled(tmp_path: Path) -> None:
    rows = [
        {
            "gold": "yes",
            "response": {"choices": [{"message": {"content": f"answer {n}"}}]},
            "metadata": {"label": label},
        }
        for n, label in enumerate(["right", "right", "wrong", "wrong", None])
    ]
    template = {"messages": [{"role": "user", "content": "{{ item.gold }} {{ sample.output_text }}"}]}
    params = {
        "model": "judge",
        "template": template,
        "scores": {"good": {"type": "int", "parser": {"type": "json", "json_path": "score"}}},
    }
    task = {"type": "data", "metrics": {"judge": {"type": "llm-judge", "params": params}}}
    room = room_with(tmp_path, lambda body: says(int(body["messages"][0]["content"][-1] in "0134")))
    with room.evaluator() as client:
        body = {"config": {"type": "custom", "tasks": {"t": task}}, "target": {"type": "rows", "rows": rows}}
        posted = client.create_job(body)
        assert finished(client, posted.id).status == "completed"
        found = client.results(posted.id).custom_fields["judge_agreement"]["t"]["judge.good"]

    people = found["with_people"]
    assert (people["n"], people["accuracy"], people["kappa"]) == (4, 0.75, pytest.approx(0.5))
    assert "with_score" not in found
