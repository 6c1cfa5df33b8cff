"""Asking and scoring many examples: patience, fairness, failing fast, and how many at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from evaluation.answers import call, row
from flywheel.chat import ChatClient
from flywheel.evaluation.examples import make_examples
from flywheel.evaluation.metrics import build_metric
from flywheel.evaluation.results import facts, record_of, results_text, task_result
from flywheel.evaluation.run import ModelSilent, evaluate
from flywheel.evaluation.sample import Example, Scored
from flywheel.evaluation.throttle import FIRST, Throttle
from flywheel.fake_chat import Reply, ScriptedChat

TEMPLATE = {
    "messages": "{{ item.request.messages | tojson }}",
    "tools": "{{ item.request.tools | default(none) | tojson }}",
    "tool_choice": "{{ item.request.tool_choice | default(none) | tojson }}",
}
CALLS = "{{ item.response.choices[0].message.tool_calls | default([], true) | tojson }}"
CONFIG = {"type": "tool-calling", "params": {"tool_calls_ground_truth": CALLS, "invalid_json": "wrong"}}
METRICS = {"accuracy": build_metric(CONFIG, "m", lambda model, where: pytest.fail("no judge"))}


def examples(rows: list[dict[str, Any]], **changes: Any) -> list[Example]:
    settings: dict[str, Any] = {"model": "student", "defaults": {"temperature": 0.0}, "scorers": "1"}
    return make_examples(rows, TEMPLATE, **{**settings, **changes})


def asked(
    chat: ScriptedChat, todo: list[Example], cap: int = 4, **settings: Any
) -> tuple[list[Scored], list[float]]:
    """The scored samples and every pause that was made."""
    scored: list[Scored] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def run() -> None:
        async with ChatClient("http://m.test/v1", transport=chat.transport(), timeout=0.5) as client:
            throttle = Throttle(cap)
            await evaluate(
                todo, METRICS, scored.append, client.chat, throttle=throttle, sleep=sleep, **settings
            )

    asyncio.run(run())
    return scored, pauses


def rows(count: int) -> list[dict[str, Any]]:
    return [row(call("f", {"n": n}), question=f"number {n}") for n in range(count)]


def echo(body: Mapping[str, Any]) -> Reply:
    """A model that is always right about `rows`."""
    return Reply(calls=[("f", {"n": int(body["messages"][-1]["content"].split()[-1])})])


def by_turns(body: Mapping[str, Any]) -> Reply:
    """Right but for the first eight rows."""
    number = int(body["messages"][-1]["content"].split()[-1])
    return Reply(calls=[("f", {"n": number if number >= 8 else -1})])


def by_question(
    replies: Mapping[str, Reply], otherwise: Callable[[Mapping[str, Any]], Reply]
) -> ScriptedChat:
    return ScriptedChat(lambda body: replies.get(body["messages"][-1]["content"]) or otherwise(body))


def test_every_example_is_asked_once_and_scored() -> None:
    chat = ScriptedChat(echo)
    scored, _ = asked(chat, examples(rows(20)))
    records = [record_of("t", one) for one in scored]
    assert len(chat.requests) == len(records) == 20
    score = task_result(records, METRICS)["metrics"]["accuracy"]["scores"]["function_name_and_args_accuracy"]
    assert (score["value"], score["stats"]["count"]) == (1.0, 20)
    assert score["stats"]["confidence_interval"]["low"] == pytest.approx(0.8389, abs=1e-4)
    assert facts(records)["samples"] == {"total": 20, "answered": 20, "infrastructure_failures": 0}
    assert facts(records)["usage"]["completion_tokens"] == 160


def test_rows_of_one_conversation_widen_the_interval() -> None:
    told = [row | {"conversation": f"c{at // 4}"} for at, row in enumerate(rows(40))]
    alone, _ = asked(ScriptedChat(by_turns), examples(rows(40)))
    together, _ = asked(ScriptedChat(by_turns), examples(told))
    apart, clustered = (
        task_result([record_of("t", one) for one in scored], METRICS)["metrics"]["accuracy"]["scores"][
            "function_name_and_args_accuracy"
        ]
        for scored in (alone, together)
    )
    assert apart["value"] == clustered["value"] == 0.8
    free, wide = (each["stats"]["confidence_interval"] for each in (apart, clustered))
    assert wide["high"] - wide["low"] > 1.5 * (free["high"] - free["low"])
    assert (wide["clusters"], free["method"]) == (10, "wilson")


def test_a_request_keeps_its_own_tools_and_choice_and_gets_none_otherwise() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": 2}}}
    with_tools = row(call("f"))
    with_tools["request"] |= {"tools": [tool], "tool_choice": "none"}
    without = row(text="hi")
    without["request"]["tool_choice"] = "auto"
    first, second = [example.request for example in examples([with_tools, without])]
    assert first is not None
    assert second is not None
    assert (first["tool_choice"], first["tools"], first["temperature"]) == ("none", [tool], 0.0)
    assert list(first["tools"][0]["function"]["parameters"]) == ["b", "a"]
    assert second.keys() == {"messages", "model", "temperature"}


def test_required_is_honoured_where_the_template_says_so() -> None:
    template = TEMPLATE | {"tool_choice": "required"}
    with_tools = row(call("f"))
    with_tools["request"]["tools"] = [{"type": "function", "function": {"name": "f"}}]
    (example,) = make_examples([with_tools], template, model="m", defaults={}, scorers="1")
    assert (example.request or {})["tool_choice"] == "required"


def test_keys_tell_rows_models_and_scorers_apart_and_equal_rows_too() -> None:
    row_ = rows(1)[0]
    keys = [
        *(example.key for example in examples([row_, row_])),
        examples([row_], model="other")[0].key,
        examples([row_], scorers="2")[0].key,
        examples([row_], defaults={})[0].key,
    ]
    assert len(set(keys)) == 5
    assert [e.key for e in examples([row_])] == [keys[0]]


def test_a_row_that_fits_no_request_is_left_out_with_its_reason() -> None:
    chat = ScriptedChat(echo)
    scored, _ = asked(chat, examples([*rows(3), {"question": "where is the request?"}]))
    records = [record_of("t", one) for one in scored]
    assert len(chat.requests) == 3
    assert facts(records)["failures"] == {}
    (reason,) = facts(records)["bad_references"]
    assert "request" in reason
    scores = task_result(records, METRICS)["metrics"]["accuracy"]["scores"]
    assert scores["function_name_accuracy"]["stats"] | {"sum": 0} == scores["function_name_accuracy"][
        "stats"
    ] | {
        "count": 3,
        "nan_count": 1,
        "sum": 0,
    }


def test_busy_servers_are_asked_again_when_they_say() -> None:
    replies = iter([Reply(status=429, headers={"Retry-After": "7"}), Reply(status=503), Reply(status=500)])
    chat = ScriptedChat(lambda body: next(replies, None) or echo(body))
    scored, pauses = asked(chat, examples(rows(1)))
    assert scored[0].failure is None
    assert len(chat.requests) == 4
    assert pauses == [7.0, 1.0, 2.0]


def test_an_endless_retry_after_is_not_waited_for() -> None:
    chat = ScriptedChat(lambda body: Reply(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(ModelSilent):
        asked(chat, examples(rows(1)), retries=2)


def test_failures_are_wrong_answers_with_a_cause() -> None:
    chat = by_question(
        {
            "number 1": Reply(delay_s=5),
            "number 2": Reply("context too long", status=400),
            "number 3": Reply(raw='{"choices": []}'),
            "number 4": Reply(raw="<html>"),
        },
        echo,
    )
    scored, _ = asked(chat, examples(rows(10)))
    found = {one.example.index: one for one in scored}
    assert [found[i].failure for i in range(6)] == [None, "timeout", "error", "error", "error", None]
    assert [found[i].sample.infrastructure for i in range(1, 5)] == [True, False, True, True]
    assert "context too long" in (found[2].sample.error or "")
    records = [record_of("t", one) for one in scored]
    score = task_result(records, METRICS)["metrics"]["accuracy"]["scores"]["function_name_accuracy"]
    assert (score["value"], score["stats"]["count"]) == (0.6, 10)
    assert facts(records)["failures"] == {"error": 3, "timeout": 1}


def test_a_model_that_answers_nothing_fails_fast_with_the_first_error_in_full() -> None:
    chat = ScriptedChat(lambda body: Reply("model 'student' is not served here", status=404))
    with pytest.raises(
        ModelSilent, match=r"the first error: .*model 'student' is not served here"
    ) as failure:
        asked(chat, examples(rows(500)), cap=2)
    assert failure.value.asked == 5
    assert len(chat.requests) < 20


def test_a_model_that_answered_before_is_given_time() -> None:
    chat = ScriptedChat(lambda body: Reply(status=400))
    scored, _ = asked(chat, examples(rows(30)), alive=True)
    assert len(scored) == 30


def test_one_slow_sample_holds_nobody() -> None:
    chat = by_question({"number 0": Reply(calls=[("f", {"n": 0})], delay_s=0.3)}, echo)
    scored, _ = asked(chat, examples(rows(40)), cap=2)
    assert [one.example.index for one in scored][-1] == 0
    assert len(scored) == 40


def test_never_more_at_once_than_the_cap() -> None:
    chat = ScriptedChat(lambda body: Reply("x", delay_s=0.002))
    asked(chat, examples(rows(60)), cap=3)
    assert chat.most_at_once == 3


def test_the_throttle_grows_while_it_helps_and_halves_when_pushed_back() -> None:
    now = 0.0
    pace = {"per_s": 10.0}

    async def run() -> list[int]:
        nonlocal now
        throttle = Throttle(64, clock=lambda: now)
        limits = [throttle.limit]

        async def one_round() -> None:
            nonlocal now
            for _ in range(throttle.limit):
                async with throttle.slot():
                    now += 1 / pace["per_s"]
            limits.append(throttle.limit)

        await one_round()  # The first round is always a gain.
        pace["per_s"] = 20.0
        await one_round()
        await one_round()  # No faster than before: no growth.
        throttle.pushed_back()
        limits.append(throttle.limit)
        return limits

    assert asyncio.run(run()) == [FIRST, 2 * FIRST, 4 * FIRST, 4 * FIRST, 2 * FIRST]


def test_the_download_is_nvidias_document_in_the_order_of_the_data() -> None:
    scored, _ = asked(ScriptedChat(echo), examples(rows(5)))
    records = sorted((record_of("custom-tool-calling", one) for one in scored), key=lambda r: r["index"])
    other = record_of("other \ud800 task", scored[0]) | {"output_text": "half a pair: \udc00"}
    document = json.loads(b"".join(results_text(json.dumps(each).encode() for each in [*records, other])))
    assert list(document) == ["custom-tool-calling", "other \ud800 task"]
    assert document["other \ud800 task"][0]["sample"]["output_text"] == "half a pair: \udc00"
    assert json.loads(b"".join(results_text([]))) == {}
    entries = document["custom-tool-calling"]
    assert [entry["item"]["request"]["messages"][0]["content"] for entry in entries] == [
        f"number {n}" for n in range(5)
    ]
    first = entries[0]
    assert first["sample"]["response"]["model"] == "student"
    assert first["sample"]["response"]["usage"]["total_tokens"] > 0
    assert first["metrics"]["accuracy"]["scores"]["function_name_accuracy"] == {"value": 1.0}
    assert first["calls"] == [{"name": "f", "arguments": {"n": 0}}]


def test_rows_that_hold_their_answers_are_scored_without_asking() -> None:
    scored: list[Scored] = []
    todo = examples(rows(3), model=None)

    async def run() -> None:
        await evaluate(todo, METRICS, scored.append, None, throttle=Throttle(2))

    asyncio.run(run())
    assert all(one.failure is None and one.sample.text == "" for one in scored)
    assert len(scored) == 3
