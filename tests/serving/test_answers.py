"""What is streamed adds up to the whole answer, and nothing of a call or a stop string slips out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flywheel.serving.answers import Pieces, Reading
from flywheel.serving.engine import Generation
from tiny_model import TOOLS

CALL = '<tool_call>{"name": "track_order", "arguments": {"order_id": "A1"}}</tool_call>'


def reading(family: str = "hermes", **options: Any) -> Reading:
    served: Any = SimpleNamespace(family=family, text=lambda ids: "".join(map(chr, ids)))
    return Reading(served, **options)


def streamed(read: Reading, text: str, finish: str = "stop") -> tuple[list[str], list[Any], str]:
    tokens = list(map(ord, text))
    generation = Generation([0], -1, 99, lambda _: None, tokens=tokens, finish=finish)
    pieces = Pieces(read)
    contents = [pieces.more(tokens[:length]) for length in range(1, len(tokens))]
    deltas, reason = pieces.last(generation)
    contents += [delta["content"] for delta in deltas if "content" in delta]
    return [piece for piece in contents if piece], [d for d in deltas if "tool_calls" in d], reason


def test_text_comes_as_it_is_made() -> None:
    pieces, calls, reason = streamed(reading(), "Your order is there.")
    assert len(pieces) > 10
    assert "".join(pieces) == "Your order is there."
    assert (calls, reason) == ([], "stop")


def test_a_call_is_held_back_and_comes_whole() -> None:
    pieces, calls, reason = streamed(reading(tools=TOOLS), f"Let me look < here. {CALL}")
    assert "".join(pieces) == "Let me look < here."
    (call,) = calls[0]["tool_calls"]
    assert call["index"] == 0
    assert call["function"] == {"name": "track_order", "arguments": '{"order_id": "A1"}'}
    assert call["id"].startswith("call_")
    assert reason == "tool_calls"


def test_two_calls_have_two_places() -> None:
    calls = streamed(reading(tools=TOOLS), CALL + CALL)[1]
    assert [delta["tool_calls"][0]["index"] for delta in calls] == [0, 1]


def test_half_a_call_comes_back_as_text() -> None:
    pieces, calls, reason = streamed(reading(tools=TOOLS), CALL[:30], finish="length")
    assert "".join(pieces) == CALL[:30]
    assert (calls, reason) == ([], "length")


def test_without_tools_a_call_is_text() -> None:
    pieces, calls, _ = streamed(reading(), CALL)
    assert "".join(pieces) == CALL
    assert calls == []


def test_where_anything_may_be_a_call_nothing_comes_early() -> None:
    pieces, calls, _ = streamed(reading("llama3", tools=TOOLS), '{"name": "track_order", "parameters": {}}')
    assert (pieces, len(calls)) == ([], 1)
    assert streamed(reading("llama3", tools=TOOLS), "No call at all.")[0] == ["No call at all."]


def test_what_was_put_in_the_models_mouth_belongs_to_the_call() -> None:
    opening = '<tool_call>{"name": "track_order", "arguments":'
    calls = streamed(reading(tools=TOOLS, opening=opening), ' {"order_id": "7"}}</tool_call>')[1]
    assert calls[0]["tool_calls"][0]["function"]["arguments"] == '{"order_id": "7"}'


@pytest.mark.parametrize("stop", ["END", "\n\n"])
def test_a_stop_string_and_what_follows_is_never_seen(stop: str) -> None:
    pieces, _, _ = streamed(reading(stop=(stop,)), f"Here EN it is{stop}and more")
    assert "".join(pieces) == "Here EN it is"


def test_a_character_waits_for_all_its_bytes() -> None:
    assert streamed(reading(), "a\ufffd")[0] == ["a", "\ufffd"]
