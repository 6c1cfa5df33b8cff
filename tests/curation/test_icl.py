"""In-context examples: real messages, from the train part, of every kind of call, within the room."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flywheel.config import IclConfig
from flywheel.curation import icl_rows
from flywheel.models import Record
from traffic import answer, call, record, request, tracking, user

TRACK = [tracking(number) for number in range(10)]
FIND = [
    record(f"find shoe {n}", answer(None, call("find_product", f'{{"query": "{n}"}}')), id_=f"find-{n}")
    for n in range(10)
]
TALK = [record(f"thank you {n}", answer("You are welcome."), id_=f"talk-{n}") for n in range(10)]
POOL = [*TRACK, *FIND, *TALK]
TESTS = [record(f"test {n}", answer("Yes."), id_=f"test-{n}") for n in range(60)]


def messages_only(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> int:
    return len(messages)


def rows(
    tests: list[Record] = TESTS, pool: list[Record] = POOL, seed: int | None = 1, **changes: Any
) -> list[dict[str, Any]]:
    icl = IclConfig(**{"max_context_length": 100, "reserved_tokens": 10, "max_examples": 3, **changes})
    return list(icl_rows(tests, pool, icl=icl, count_tokens=messages_only, seed=seed))


def test_examples_are_real_messages_after_the_system_message() -> None:
    asked = request({"role": "system", "content": "Help."}, user("where is 99"))
    (row,) = rows([record(asked)], TRACK[:1])
    system, question, made, told, own = row["request"]["messages"]
    assert (system["role"], question, own) == ("system", user("where is order 0"), user("where is 99"))
    (made_call,) = made["tool_calls"]
    assert made_call["function"] == {"name": "track_order", "arguments": '{"order": "0"}'}
    assert (told["role"], told["tool_call_id"]) == ("tool", made_call["id"])
    assert row["icl"] == {"examples": ["chat-0"], "enough": True, "selection": "uniform_distribution"}


def test_every_call_has_an_id_of_its_own() -> None:
    for row in rows():
        ids = [c["id"] for m in row["request"]["messages"] for c in m.get("tool_calls", ())]
        results = [m["tool_call_id"] for m in row["request"]["messages"] if m["role"] == "tool"]
        assert len(set(ids)) == len(ids)
        assert results == ids


def test_sets_of_calls_are_drawn_uniformly_with_no_call_among_them() -> None:
    kinds = Counter(name.split("-")[0] for row in rows(max_examples=1) for name in row["icl"]["examples"])
    assert set(kinds) == {"chat", "find", "talk"}
    assert min(kinds.values()) > 10


def test_by_likeness_the_nearest_question_comes_first_and_the_way_of_choosing_is_named() -> None:
    asked = request(user("please find shoe 7"))
    (row,) = rows([record(asked)], example_selection="semantic_similarity", max_examples=1)
    assert row["icl"] == {
        "examples": ["find-7"],
        "enough": True,
        "selection": "semantic_similarity: character n-grams (TF-IDF)",
    }


def test_three_examples_show_three_kinds() -> None:
    assert all(len({name.split("-")[0] for name in row["icl"]["examples"]}) == 3 for row in rows())


def test_the_seed_repeats_the_draw() -> None:
    assert rows(seed=7) == rows(seed=7)
    assert rows(seed=7) != rows(seed=8)


def test_an_example_calls_only_what_the_request_offers() -> None:
    only_talk = record(request(user("hi"), tools=[]), id_="bare")
    (row,) = rows([only_talk])
    assert {name.split("-")[0] for name in row["icl"]["examples"]} == {"talk"}


def test_the_prompt_fits_the_room() -> None:
    # Room for six messages: the request's own, and five more; a call takes three, a talk two.
    for row in rows(max_context_length=16, max_examples=9):
        assert len(row["request"]["messages"]) <= 6
        assert row["icl"]["examples"]


def test_no_room_no_examples_and_that_is_said() -> None:
    for row in rows(max_context_length=11):
        assert row["request"]["messages"][0]["content"].startswith("test")
        assert row["icl"] == {"examples": [], "enough": False, "selection": "uniform_distribution"}


def test_the_whole_is_counted_again_where_it_takes_more_than_its_parts() -> None:
    def dear(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> int:
        return len(messages) ** 2

    icl = IclConfig(max_context_length=30, reserved_tokens=0)
    for row in icl_rows(TESTS, POOL, icl=icl, count_tokens=dear):
        assert len(row["request"]["messages"]) <= 5


def test_an_example_keeps_its_own_conversation() -> None:
    asked = request(
        user("where is 7"),
        {"role": "assistant", "content": None, "tool_calls": [call("track_order", '{"order": "7"}', "x")]},
        {"role": "tool", "tool_call_id": "x", "content": "lost"},
    )
    (row,) = rows(TESTS[:1], [record(asked, answer("It is lost."), id_="long")])
    assert [m["content"] for m in row["request"]["messages"]] == [
        "where is 7",
        None,
        "lost",
        "It is lost.",
        "test 0",
    ]
