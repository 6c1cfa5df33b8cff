"""A judge that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
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
        ({"type": "nope"}, "'nope' is none of bleu, em, f1, json-match, llm-judge"),
        ([], "none of"),
    ],
)
def test_configurations_that_make_no_sense_name_their_place(config: Any, message: str) -> None:
    with pytest.raises(BadMetric, match=message):
        verdicts(saying(""), config, [])
