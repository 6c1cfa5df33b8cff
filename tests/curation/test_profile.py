"""The profile of a workload says what its records are, in the words and by the rules of curation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flywheel.config import DataSplitConfig
from flywheel.curation import curate
from flywheel.curation.profile import VERSIONS, profile, tool_schemas
from flywheel.models import Record, Workload

HERE = Workload("an-app", "a-task")


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Does {name}",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
            **more,
        },
    }


def record(
    said: str,
    *called: str,
    at: float = 0.0,
    text: str = "ok",
    tools: list[dict[str, Any]] | None = None,
    response: Mapping[str, Any] | None = None,
    conversation: str | None = None,
) -> Record:
    """A request that says `said`, answered with these calls, or with `text`."""
    calls = [{"id": n, "type": "function", "function": {"name": n, "arguments": "{}"}} for n in called]
    message = {"role": "assistant", "content": None if calls else text, "tool_calls": calls}
    request: dict[str, Any] = {"model": "asked", "messages": [{"role": "user", "content": said}]}
    offered = [tool("look"), tool("buy")] if tools is None else tools
    request |= {"tools": offered} if offered else {}
    answer = {"choices": [{"message": message, "finish_reason": "stop"}], **(response or {})}
    return Record.of(HERE, at, request, answer, {"conversation_id": conversation} if conversation else None)


def test_the_tool_mix_counts_answers_and_silence():
    found = profile(
        [record("a", "look"), record("b", "look", "look"), record("c", "look", "buy"), record("d")], HERE
    )
    assert [(use.name, use.count, use.share) for use in found.tools] == [("look", 3, 0.75), ("buy", 1, 0.25)]
    assert (found.no_call.count, found.no_call.share) == (1, 0.25)
    assert found.looked_at == 4


def test_what_is_invalid_is_said_in_the_reasons_of_curation_and_is_in_no_share():
    found = profile(
        [
            record("a", "look"),
            record("b", "steal"),
            record("c", text="  "),
            record("d", response={"choices": []}),
            record("e", response={"choices": []}),
        ],
        HERE,
    )
    assert found.health.invalid == {"tool_not_offered": 1, "empty_answer": 1, "no_choices": 2}
    assert (found.health.valid, found.tools[0].share) == (1, 1.0)


def test_repeats_and_contradictions_are_found_across_the_two_sides_of_the_holdout():
    """Enough conversations that some are held out: the same request on both sides is still one request."""
    same = [record("same", "look", at=n, conversation=f"c{n}") for n in range(40)]
    other = [record("torn", "look" if n % 2 else "buy", at=n, conversation=f"c{n}") for n in range(40)]
    health = profile([*same, *other], HERE).health
    assert (health.valid, health.conversations) == (80, 40)
    assert (health.conflicts, health.conflicting) == (1, 40)
    assert health.duplicates == 39 + 19  # Of the torn request one answer is kept, 20 times given.


def test_the_profile_and_the_report_of_curation_agree():
    records = [record(f"question {n // 2}", "look", at=n, conversation=f"c{n // 2}") for n in range(200)]
    records += [record(f"broken {n}", "steal", at=n) for n in range(7)]
    report = curate(records, workload=HERE, split=DataSplitConfig(eval_size=5, min_total_records=20)).report
    dropped = {str(drop.reason): drop.count for drop in report.dropped}
    health = profile(records, HERE).health
    assert health.duplicates == dropped["duplicate"] == 100
    assert health.invalid == {"tool_not_offered": dropped["tool_not_offered"]}
    assert health.conversations == report.conversations.total


def test_tokens_are_summed_where_they_are_told_and_the_model_is_the_one_that_answered():
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    found = profile(
        [
            record("a", response={"model": "big-2", "usage": usage}),
            record("b", response={"model": "big-2", "usage": usage}),
            record("c", response={"usage": None}),
            record("d", response={"usage": {"prompt_tokens": "many"}}),
            record("e", response={"usage": {"prompt_tokens": True}}),
            record("f", response={"usage": "none"}),
        ],
        HERE,
    ).usage
    assert found.models == {"asked": 4, "big-2": 2}
    assert (found.prompt_tokens, found.completion_tokens, found.with_usage) == (200, 14, 2)


def test_a_changed_schema_is_another_version_and_another_order_of_keys_is_not():
    old = tool("look")
    shuffled = {"function": dict(reversed(old["function"].items())), "type": "function"}
    new = tool("look", parameters={"type": "object", "properties": {"id": {"type": "integer"}}})
    found = tool_schemas(
        [
            record("a", at=10, tools=[old]),
            record("b", at=40, tools=[new, tool("buy")]),
            record("c", at=20, tools=[shuffled]),
            record("d", at=50, tools=[tool("buy"), new]),
            record("e", at=5, tools=[]),
        ]
    )
    (look, buy) = found
    assert (look.tool, buy.tool) == ("look", "buy")
    assert [(v.first, v.last, v.count, v.schema) for v in look.versions] == [
        (10, 20, 2, old),
        (40, 50, 2, new),
    ]
    assert [(v.first, v.last, v.count) for v in buy.versions] == [(40, 50, 2)]
    assert len({v.sha256 for t in found for v in t.versions}) == 3


def test_the_functions_of_the_old_api_are_tools_too():
    request = {"messages": [{"role": "user", "content": "?"}], "functions": [tool("look")["function"]]}
    (found,) = tool_schemas([Record.of(HERE, 1.0, request, {"choices": []})])
    assert found.tool == "look"
    assert found.versions[0].schema == tool("look")


def test_a_tool_that_changes_with_every_request_is_told_by_its_newest_versions():
    found = tool_schemas(
        record("a", at=n, tools=[tool("look", description=str(n))]) for n in range(VERSIONS + 5)
    )
    assert [v.first for v in found[0].versions] == list(range(5, VERSIONS + 5))
    assert found[0].left_out == 5


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": 5}', b'{"messages":[],"tools":{"a":' * 2000])
def test_a_record_that_cannot_be_read_is_counted_and_breaks_nothing(body: bytes):
    broken = Record(1.0, HERE.workload_id, HERE.client_id, body, body)
    found = profile([broken, record("a", "look")], HERE)
    assert found.health.invalid == {"malformed": 1}
    assert (found.looked_at, found.health.valid) == (2, 1)


def test_no_records_have_an_empty_profile():
    found = profile([], HERE)
    assert (found.looked_at, found.tools, found.no_call.share, found.tool_schemas) == (0, (), 0.0, ())


def test_the_order_of_the_records_does_not_count():
    records = [record(f"q{n % 7}", "look" if n % 3 else "buy", at=n) for n in range(30)]
    assert (
        len({repr(profile(each, HERE)) for each in (records, records[::-1], records[15:] + records[:15])})
        == 1
    )
