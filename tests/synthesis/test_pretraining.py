"""The pre-training corpus: answers fit their signatures, values stand in the request, tests stay unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.prompts import template_messages
from flywheel.synthesis.pretraining import RECIPES, Sources, generate, main
from flywheel.synthesis.public import load_intents, load_spans
from flywheel.synthesis.support import ROUTER_TOOLS, TRIAGE_TOOLS

NOTHING = Sources(None, None)


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, Any]]:
    return list(generate(5, 0, 1500, NOTHING))


def calls(example: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for message in template_messages(example["messages"])
        for call in message.get("tool_calls", [])
    ]


def test_every_call_is_one_that_its_signature_allows(corpus: list[dict[str, Any]]) -> None:
    for example in corpus:
        tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in example["tools"]}
        for name, arguments in calls(example):
            schema = tools[name]
            assert set(schema["required"]) <= set(arguments) <= set(schema["properties"]), example
            for key, value in arguments.items():
                labels = schema["properties"][key].get("enum")
                assert labels is None or value in labels


def test_copied_values_stand_in_the_conversation(corpus: list[dict[str, Any]]) -> None:
    copied = total = 0
    for example in corpus:
        said = " ".join(m["content"] or "" for m in example["messages"] if m["role"] == "user")
        tools = {
            tool["function"]["name"]: tool["function"]["parameters"]["properties"]
            for tool in example["tools"]
        }
        for name, arguments in calls(example):
            for key, value in arguments.items():
                if isinstance(value, str) and "enum" not in tools[name][key]:
                    total += 1
                    copied += value in said
    assert total > 1000
    assert copied / total > 0.98


def test_schemas_are_hardly_ever_met_twice(corpus: list[dict[str, Any]]) -> None:
    schemas = [json.dumps(tool) for example in corpus for tool in example["tools"]]
    assert len(set(schemas)) / len(schemas) > 0.95


def test_a_slice_of_the_corpus_is_the_same_made_alone() -> None:
    assert list(generate(3, 0, 60, NOTHING))[40:] == list(generate(3, 40, 60, NOTHING))


def test_every_recipe_occurs_and_none_fails_without_public_data() -> None:
    assert len(RECIPES) == 9
    assert len(list(generate(11, 0, 300, NOTHING))) == 300


def test_the_demos_functions_are_not_in_it(corpus: list[dict[str, Any]]) -> None:
    demo = {json.dumps(tool["function"]["parameters"]) for tool in [*ROUTER_TOOLS, *TRIAGE_TOOLS]}
    made = {json.dumps(tool["function"]["parameters"]) for example in corpus for tool in example["tools"]}
    assert not demo & made


def test_held_out_workloads_stay_out(shared_data: Path) -> None:
    spans, intents = load_spans(shared_data), load_intents(shared_data)

    assert not {"RateBook", "SearchCreativeWork"} & set(spans.functions)
    assert not {"balance", "min_payment", "transfer", "report_fraud"} & set(intents.by_label)
    assert len(spans.utterances) > 5000
    assert len(intents.by_label) == 60


def test_the_command_writes_lines(tmp_path: Path) -> None:
    out = tmp_path / "corpus.jsonl"

    assert main(["--out", str(out), "--count", "20", "--workers", "1"]) == 0

    assert all({"messages", "tools"} == set(json.loads(line)) for line in out.read_text().splitlines())
    assert len(out.read_text().splitlines()) == 20
