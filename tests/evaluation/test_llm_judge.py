"""A judge that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from evaluation.answers import TIMED_OUT, call, row, sample
from flywheel.chat import ChatClient
from flywheel.evaluation.judge import GIVE_UP_AFTER, Judge
from flywheel.evaluation.metrics import build_metric
from flywheel.evaluation.metrics.base import BadMetric
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.fake_chat import Reply, ScriptedChat

BP_PROMPT = (
    "\n*Ground Truth*: {{item.response.choices[0].message.tool_calls}}\n"
    "*Prediction*: {{sample.response.choices[0].message.tool_calls}}\n"
)


class Cache(dict[str, str]):
    def put(self, key: str, answer: str) -> None:
        self[key] = answer


async def at_once(seconds: float) -> None:
    """Sleeps for no time."""


def judge_config(pattern: str = r"RATING:\s*(\d+)", prompt: str = BP_PROMPT, **parser: Any) -> dict[str, Any]:
    scores = {"rating": {"type": "int", "parser": parser or {"type": "regex", "pattern": pattern}}}
    template = {"messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": prompt}]}
    return {"type": "llm-judge", "params": {"model": "j", "template": template, "scores": scores}}


def verdicts(
    chat: ScriptedChat,
    config: Mapping[str, Any],
    pairs: list[tuple[dict[str, Any], Sample]],
    cache: Cache | None = None,
) -> list[Verdict]:
    async def run() -> list[Verdict]:
        async with ChatClient("http://judge.test/v1", transport=chat.transport()) as client:
            judge = Judge("judge-1", client.chat, cache if cache is not None else Cache(), sleep=at_once)
            metric = build_metric(config, "m", lambda model, where: judge)
            return [await metric.score(item, answer) for item, answer in pairs]

    return asyncio.run(run())


PAIR = (row(call("f", {"x": 1})), sample(call("f", {"x": 1})))


def saying(text: str) -> ScriptedChat:
    return ScriptedChat(lambda body: Reply(text))


def test_a_rating_is_found_anywhere_in_the_reply() -> None:
    chat = saying("Let me think.\nRATING: 1\nEXPLANATION: the same")
    (verdict,) = verdicts(chat, judge_config(), [PAIR])
    assert verdict.scores == {"rating": 1.0}
    body = chat.requests[0]
    assert (body["model"], body["max_tokens"]) == ("judge-1", 1024)
    assert "'name': 'f'" in body["messages"][1]["content"]


def test_ten_is_ten_and_a_one_digit_pattern_is_replicated() -> None:
    assert verdicts(saying("10"), judge_config(r"(\d+)"), [PAIR])[0].scores == {"rating": 10.0}
    assert verdicts(saying("10"), judge_config(r"(\d)"), [PAIR])[0].scores == {"rating": 1.0}


def test_strict_json_by_path_even_in_a_fence() -> None:
    chat = saying('```json\n{"reasoning": "fine", "score": 8}\n```')
    assert verdicts(chat, judge_config(type="json", json_path="score"), [PAIR])[0].scores == {"rating": 8.0}


@pytest.mark.parametrize("reply", ["I can't judge this.", "", "RATING: high", "RATING:"])
def test_nonsense_and_refusals_are_unscored_and_asked_anew(reply: str) -> None:
    cache = Cache()
    (verdict,) = verdicts(saying(reply), judge_config(), [PAIR], cache)
    assert verdict.scores == {"rating": None}
    assert (verdict.note or "").startswith("unreadable")
    assert not cache


def test_a_candidate_without_calls_does_not_break_the_prompt() -> None:
    chat = saying("RATING: 0")
    assert verdicts(chat, judge_config(), [(row(call("f")), sample(text="no"))])[0].scores == {"rating": 0.0}
    assert chat.requests[0]["messages"][1]["content"].endswith("*Prediction*: ")


def test_an_answer_that_never_came_is_zero_without_asking() -> None:
    chat = saying("RATING: 1")
    assert verdicts(chat, judge_config(), [(row(call("f")), TIMED_OUT)])[0].scores == {"rating": 0.0}
    assert chat.requests == []


def test_the_same_question_is_asked_once_ever() -> None:
    chat, cache = saying("RATING: 1"), Cache()
    other = (row(call("f", {"x": 2})), sample(call("f", {"x": 1})))
    first = verdicts(chat, judge_config(), [PAIR, PAIR, other], cache)
    again = verdicts(chat, judge_config(), [PAIR, other], cache)
    assert [v.scores["rating"] for v in first + again] == [1.0] * 5
    assert len(chat.requests) == 2
    verdicts(chat, judge_config(prompt="another prompt"), [PAIR], cache)
    assert len(chat.requests) == 3


def test_a_judge_that_is_down_leaves_samples_unscored_and_is_soon_left_alone() -> None:
    chat = ScriptedChat(lambda body: Reply("no", status=401))
    pairs = [(row(call("f", {"x": i})), sample(call("f"))) for i in range(GIVE_UP_AFTER + 10)]
    found = verdicts(chat, judge_config(), pairs)
    assert all(v.scores == {"rating": None} for v in found)
    assert "401" in (found[0].note or "")
    assert "not asked" in (found[-1].note or "")
    assert len(chat.requests) == GIVE_UP_AFTER


def test_a_busy_judge_is_asked_again() -> None:
    replies = iter([Reply("later", status=429), Reply("later", status=503), Reply("RATING: 1")])
    assert verdicts(ScriptedChat(lambda body: next(replies)), judge_config(), [PAIR])[0].scores == {
        "rating": 1.0
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (judge_config(r"(\d+"), r"parser\.pattern: .* is no regular expression"),
        (judge_config(type="xml"), r"scores\.rating\.parser: needs"),
        ({"type": "llm-judge", "params": {"model": None}}, r"params\.model: is required"),
        (
            {"type": "llm-judge", "params": {"model": "j", "template": {"x": 1}}},
            "neither messages nor a prompt",
        ),
        ({"type": "nope"}, "'nope' is none of bleu, em, embedding-similarity, f1, json-match, llm-judge"),
        ([], "none of"),
    ],
)
def test_configurations_that_make_no_sense_name_their_place(config: Any, message: str) -> None:
    with pytest.raises(BadMetric, match=message):
        verdicts(saying(""), config, [])


FORM = {"type": "json_schema", "json_schema": {"name": "verdict"}}


def with_params(**params: Any) -> dict[str, Any]:
    config = judge_config(r'"score": (\d+)')
    return {**config, "params": {**config["params"], **params}}


def test_strict_json_is_asked_for_where_the_judges_server_takes_it() -> None:
    chat = saying('{"reasoning": "", "score": 1}')
    assert verdicts(chat, with_params(response_format=FORM), [PAIR])[0].scores == {"rating": 1.0}
    assert chat.requests[0]["response_format"] == FORM


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_the_format_is_asked_without_it_from_then_on(status: int) -> None:
    def refusing(body: dict[str, Any]) -> Reply:
        if "response_format" in body:
            return Reply("response_format is not supported", status=status)
        return Reply('{"reasoning": "", "score": 1}')

    chat = ScriptedChat(refusing)
    others = [(row(call("f", {"x": n})), sample(call("f"))) for n in range(3)]
    found = verdicts(chat, with_params(response_format=FORM), others)
    assert [v.scores for v in found] == [{"rating": 1.0}] * 3
    assert ["response_format" in body for body in chat.requests] == [True, False, False, False]


def test_a_question_that_is_refused_either_way_says_nothing_about_the_format() -> None:
    def too_long(body: dict[str, Any]) -> Reply:
        if "'x'" in str(body) or '"x"' in str(body):
            return Reply("context too long", status=400)
        return Reply('{"score": 1}')

    chat = ScriptedChat(too_long)
    long, short = (row(call("f", {"x": 1})), sample(call("f"))), (row(call("f")), sample(call("f")))
    found = verdicts(chat, with_params(response_format=FORM), [long, short])
    assert [v.scores["rating"] for v in found] == [None, 1.0]
    assert "context too long" in (found[0].note or "")
    assert ["response_format" in body for body in chat.requests] == [True, False, True]


def test_what_a_judge_said_before_is_known_with_or_without_the_format() -> None:
    chat, cache = saying('{"score": 1}'), Cache()
    verdicts(chat, with_params(), [PAIR], cache)
    verdicts(chat, with_params(response_format=FORM), [PAIR], cache)
    assert len(chat.requests) == 1


def test_a_refusal_is_unscored_and_says_so() -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot judge that."}
    chat = ScriptedChat(lambda body: Reply(raw=json.dumps({"choices": [{"index": 0, "message": message}]})))
    cache = Cache()
    (verdict,) = verdicts(chat, with_params(), [PAIR], cache)
    assert verdict.scores == {"rating": None}
    assert "the judge refuses: I cannot judge that." in (verdict.note or "")
    assert not cache


def test_a_judge_that_takes_too_long_leaves_the_answer_unscored_and_is_not_asked_again_for_it() -> None:
    chat = ScriptedChat(lambda body: Reply("RATING: 1", delay_s=5))

    async def run() -> Verdict:
        async with ChatClient("http://judge.test/v1", transport=chat.transport(), timeout=0.05) as client:
            judge = Judge("judge-1", client.chat, Cache(), sleep=at_once)
            return await build_metric(judge_config(), "m", lambda model, where: judge).score(*PAIR)

    verdict = asyncio.run(run())
    assert verdict.scores == {"rating": None}
    assert "no answer in time" in (verdict.note or "")
    assert len(chat.requests) == 1


ORDERED = (
    "{% set a %}REFERENCE {{ item.response.choices[0].message.content }}{% endset %}"
    "{% set b %}CANDIDATE {{ sample.output_text }}{% endset %}"
    "{{ b if candidate_first | default(false) else a }}|{{ a if candidate_first | default(false) else b }}"
)


def test_reference_and_candidate_stand_in_an_order_that_the_seed_draws() -> None:
    def shown(seed: int | None, answer: str = "four") -> tuple[list[str], list[Any]]:
        chat = saying("RATING: 1")
        config = judge_config(prompt=ORDERED)
        if seed is not None:
            config["params"]["order_seed"] = seed
        pairs = [(row(text=f"number {n}"), sample(text=answer)) for n in range(40)]
        found = verdicts(chat, config, pairs)
        texts = [body["messages"][1]["content"] for body in chat.requests]
        firsts = [(v.details or {}).get("candidate_first") for v in found]
        assert [text.startswith("CANDIDATE") for text in texts] == [first is True for first in firsts]
        return [text.split()[0] for text in texts], firsts

    order, stored = shown(7)
    assert 10 < order.count("CANDIDATE") < 30
    assert shown(7) == (order, stored), "a seed draws the same again"
    assert shown(7, "five")[0] == order, "and the same for every candidate"
    assert shown(8)[0] != order
    assert shown(None) == (["REFERENCE"] * 40, [None] * 40)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"response_format": "json"}, r"params\.response_format: 'json' is not an object"),
        ({"order_seed": "x"}, r"params\.order_seed: 'x' is not a number"),
        ({"right_from": True}, r"params\.right_from: True is not a number"),
    ],
)
def test_our_parameters_are_checked_too(params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadMetric, match=message):
        verdicts(saying(""), with_params(**params), [])
