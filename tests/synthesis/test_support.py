"""The demo's traffic: the same for the same seed, untidy as real logs are, and of the size the demo needs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flywheel.prompts import prompt_ids
from flywheel.synthesis.support import CLIENT, PRODUCTS, WORKLOADS, generate, main

STUDENT = Path(__file__).parents[2] / "src" / "flywheel" / "student"


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return list(generate())


def answer(record: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = record["response"]["choices"][0]["message"]
    return message


def test_the_seed_makes_it_byte_identical(tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert main(["--seed", seed, "--conversations", "40", "--out", str(tmp_path / name)]) == 0
    first, same, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == same
    assert first != other


def test_there_is_enough_for_holdout_and_training(records: list[dict[str, Any]]) -> None:
    for workload in WORKLOADS:
        mine = [record for record in records if record["workload_id"] == workload]
        distinct = {json.dumps(record["request"]["messages"]) for record in mine}
        conversations = {record["metadata"]["conversation_id"] for record in mine}
        assert len(distinct) >= 600
        assert len(conversations) >= 600
        assert {record["client_id"] for record in mine} == {CLIENT}


def test_the_log_is_in_order_and_every_answer_fits_its_tools(records: list[dict[str, Any]]) -> None:
    times = [record["timestamp"] for record in records]
    assert times == sorted(times)
    assert len({record["response"]["id"] for record in records}) == len(records)
    for record in records:
        tools = {
            tool["function"]["name"]: tool["function"]["parameters"] for tool in record["request"]["tools"]
        }
        for call in answer(record).get("tool_calls") or []:
            schema = tools[call["function"]["name"]]
            arguments = json.loads(call["function"]["arguments"])
            assert set(schema["required"]) <= set(arguments) <= set(schema["properties"])


def test_some_answers_are_words_some_turns_follow_others(records: list[dict[str, Any]]) -> None:
    router = [record for record in records if record["workload_id"] == "tool_router"]
    words = [record for record in router if not answer(record).get("tool_calls")]
    later = [r for r in router if sum(m["role"] == "user" for m in r["request"]["messages"]) > 1]
    assert 0.1 < len(words) / len(router) < 0.3
    assert len(later) > 40
    assert any(m["role"] == "tool" for r in router for m in r["request"]["messages"])


def test_duplicates_and_conflicts_are_in_it(records: list[dict[str, Any]]) -> None:
    def said(record: dict[str, Any]) -> str:
        message = answer(record)
        return json.dumps([message["content"], [c["function"] for c in message.get("tool_calls") or []]])

    answers: dict[str, Counter[str]] = {}
    for record in records:
        key = json.dumps([record["request"]["messages"], record["workload_id"]])
        answers.setdefault(key, Counter())[said(record)] += 1
    repeated = sum(sum(found.values()) - 1 for found in answers.values())
    conflicting = sum(len(found) > 1 for found in answers.values())
    assert repeated >= 30
    assert 3 <= conflicting <= 40


def test_prompts_are_short_by_the_students_own_tokenizer(records: list[dict[str, Any]]) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(STUDENT)
    lengths: dict[str, list[int]] = {workload: [] for workload in WORKLOADS}
    for record in records[::15]:
        ids = prompt_ids(tokenizer, record["request"]["messages"], record["request"]["tools"])
        lengths[record["workload_id"]].append(len(ids))
    for workload, found in lengths.items():
        assert sum(found) / len(found) <= 250, workload
        assert max(found) <= 400, workload


def test_house_rules_hold(records: list[dict[str, Any]]) -> None:
    """What the schemas do not tell, and the log does: codes, normalised numbers, values nobody asked for."""
    held = [
        json.loads(call["function"]["arguments"])
        for record in records
        for call in answer(record).get("tool_calls") or []
    ]
    assert all(a["order_id"].startswith("HO-") and len(a["order_id"]) == 8 for a in held if "order_id" in a)
    assert all(a["item"] in PRODUCTS.values() for a in held if "item" in a)
    assert {a["limit"] for a in held if "limit" in a} == {5, 50}
