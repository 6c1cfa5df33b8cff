"""Every task type with NVIDIA's other metrics, as on the wire: completion, chat-completion, data."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flywheel.fake_chat import Reply
from flywheel.nemo.evaluation_jobs import generic_job
from flywheel.nemo.evaluation_scores import run_scores
from services.evaluator.room import FILES_URL, Client, finished, record, room_with

GOLD = {"ground_truth": "{{ item.gold }}"}
METRICS = {
    "bleu": {"type": "bleu", "params": {"references": ["{{ item.gold }}"]}},
    "rouge": {"type": "rouge", "params": GOLD},
    "em": {"type": "em", "params": GOLD},
    "f1": {"type": "f1", "params": GOLD},
    "exact": {"type": "string-check", "params": {"check": ["{{sample.output_text}}", "==", "{{item.gold}}"]}},
    "sum": {
        "type": "number-check",
        "params": {"check": ["{{ sample.output_text }}", "==", "{{ item.sum }}"]},
    },
}
ROWS = [
    {"question": f"{n}+{n}", "gold": f"The sum of both numbers is {2 * n}", "sum": 2 * n} for n in range(8)
]


def body(kind: str, target: dict[str, Any], **params: Any) -> dict[str, Any]:
    template = {
        "completion": {"prompt": "Q: {{item.question}}\nA:", "stop": ["\n"]},
        "chat-completion": {"messages": [{"role": "user", "content": "{{item.question}}"}]},
        "data": None,
    }[kind]
    task = {"type": kind, "metrics": METRICS, "dataset": {"files_url": FILES_URL}}
    if template is not None:
        task["params"] = {"template": template}
    return {"config": {"type": "custom", "params": params, "tasks": {"sums": task}}, "target": target}


def scores(client: Client, posted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every score's value by metric and name, and the download's document."""
    job = client.create_job(posted)
    assert finished(client, job.id).status == "completed"
    metrics = client.results(job.id).tasks["sums"].metrics
    with zipfile.ZipFile(io.BytesIO(client.download_results(job.id))) as archive:
        document = json.loads(archive.read("results.json"))
    values = {
        f"{name}.{score}": value.value
        for name, found in metrics.items()
        for score, value in found.scores.items()
    }
    return values, document


RIGHT_IN_HALF = {
    "bleu.sentence": pytest.approx(50.0),
    "bleu.corpus": pytest.approx(36.787944, abs=1e-5),  # Half of the words: a brevity penalty of exp(-1).
    "rouge.rouge_1_score": 0.5,
    "rouge.rouge_2_score": 0.5,
    "rouge.rouge_3_score": 0.5,
    "rouge.rouge_L_score": 0.5,
    "em.em": 0.5,
    "f1.f1": 0.5,
    "exact.string-check": 0.5,
    "sum.number-check": 1.0,
}


@pytest.mark.parametrize("kind", ["completion", "chat-completion"])
def test_a_model_is_asked_and_scored_by_every_metric(tmp_path: Path, kind: str) -> None:
    """It answers half of them in full, the rest not at all; a number-check without number has no value."""

    def student(asked: dict[str, Any]) -> Reply:
        question = asked["prompt"][3:-3] if kind == "completion" else asked["messages"][0]["content"]
        number = int(question.split("+")[0])
        return Reply(f"The sum of both numbers is {2 * number}" if number < 3 else "", delay_s=0.002)

    room = room_with(tmp_path, student)
    with room.evaluator() as client:
        room.put_rows(ROWS)
        target = {"type": "model", "model": "student"}
        posted = body(kind, target, limit_samples=6, parallelism=2, max_tokens=20, extra={"seed": 7})
        found, document = scores(client, posted)

    assert found == RIGHT_IN_HALF
    assert len(room.chat.requests) == 6
    assert room.chat.most_at_once == 2
    first = room.chat.requests[0]
    assert ("prompt" in first, first["max_tokens"], first["seed"]) == (kind == "completion", 20, 7)
    entries = document["sums"]
    assert [entry["item"]["question"] for entry in entries] == [f"{n}+{n}" for n in range(6)]
    assert entries[0]["sample"]["output_text"] == "The sum of both numbers is 0"
    assert entries[0]["metrics"]["rouge"]["scores"]["rouge_L_score"] == {"value": 1.0}
    assert entries[0]["metrics"]["bleu"]["scores"] == {"sentence": {"value": pytest.approx(100.0)}}
    assert entries[5]["metrics"]["sum"]["scores"]["number-check"] == {"value": None}


@pytest.mark.parametrize("target", ["rows", "cached_outputs", "dataset"])
def test_answers_that_are_there_already_are_scored_without_asking(tmp_path: Path, target: str) -> None:
    rows = [
        {
            **row,
            "response": {"choices": [{"message": {"content": row["gold"] if at < 3 else ""}}]},
        }
        for at, row in enumerate(ROWS)
    ]
    room = room_with(tmp_path, lambda asked: pytest.fail("nobody is asked"))
    with room.evaluator() as client:
        room.put_rows(rows)
        given: dict[str, Any] = {
            "rows": {"rows": rows},
            "cached_outputs": {"cached_outputs": {"files_url": FILES_URL}},
            "dataset": {"dataset": {"files_url": FILES_URL}},
        }[target]
        found, document = scores(client, body("data", {"type": target, **given}, limit_samples=6))

    assert found == RIGHT_IN_HALF
    assert len(document["sums"]) == 6
    assert room.chat.requests == []


def test_answers_in_json_mode_are_compared_as_json_in_a_runs_job(tmp_path: Path) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}

    def json_record(number: int) -> dict[str, Any]:
        made = record(4)
        made["request"] = {
            "messages": [{"role": "user", "content": f"order {number}"}],
            "response_format": form,
        }
        made["response"]["choices"][0]["message"]["content"] = json.dumps({"n": number, "tags": ["a", "b"]})
        return made

    replies = {
        "order 0": '{"tags": ["a", "b"], "n": 0.0}',
        "order 1": '{"tags": ["a", "b"], "n": 7}',
        "order 2": 'Sure: {"n": 2, "tags": ["a", "b"]}',
    }
    room = room_with(tmp_path, lambda asked: Reply(replies.get(asked["messages"][-1]["content"], "Bye.")))
    with room.evaluator() as client:
        words = record(4)
        words["response"]["choices"][0]["message"]["content"] = "Bye."
        room.put_rows([*(json_record(n) for n in range(3)), words])
        job = client.create_job(generic_job(model="student", files_url=FILES_URL))
        assert finished(client, job.id).status == "completed"
        result = client.results(job.id)

    found = run_scores(result)
    assert found["json_match"].value == pytest.approx(1 / 3)
    assert found["json_match"].stats is not None
    assert (found["json_match"].stats.count, found["json_match"].stats.nan_count) == (3, 1)
    assert found["json_valid"].value == pytest.approx(2 / 3)
    assert found["exact_match"].stats is not None
    assert found["exact_match"].stats.count == 4
    assert result.custom_fields["failures"] == {"wrong_value": 1, "invalid_json": 1}
