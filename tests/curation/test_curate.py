"""From records to the parts of a data set: all is accounted for, and the holdout stands still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.config import DataSplitConfig
from flywheel.curation import (
    Curation,
    Embedder,
    NotEnoughConversations,
    NotEnoughRecords,
    NothingButRepeats,
    Reason,
    curate,
    dataset_id,
)
from flywheel.models import Record, Workload
from traffic import SHOP, TOOLS, answer, call, record, request, tool, tracking, user

LOG = [tracking(number) for number in range(200)]
"""Two hundred conversations of one record each, without anything wrong."""


def made(records: Iterable[Record], *, workload: Workload = SHOP, **changes: Any) -> Curation:
    conflicts, embedder = changes.pop("conflicts", "majority"), changes.pop("embedder", None)
    split = DataSplitConfig(**{"eval_size": 20, "limit": None, "min_total_records": 1, **changes})
    return curate(records, workload=workload, split=split, conflicts=conflicts, embedder=embedder)


def dropped(curation: Curation) -> dict[str, int]:
    return {each.reason.value: each.count for each in curation.report.dropped}


def balanced(curation: Curation) -> bool:
    """Every record is in one part, or accounted for."""
    report = curation.report
    parts = (*curation.eval, *curation.train, *curation.val)
    return report.records_in == report.records_out + sum(
        dropped(curation).values()
    ) and report.records_out == len(parts) == len({each.key for each in parts})


def names(part: Iterable[Record]) -> set[str]:
    return {each.name for each in part}


def test_the_parts_of_a_healthy_log() -> None:
    curation = made(LOG)
    assert balanced(curation)
    assert len(curation.eval) == 20
    assert dropped(curation).keys() == {"holdout_reserve"}
    assert 120 < len(curation.train) < 170
    assert 5 < len(curation.val) < 30
    assert names(curation.icl) < names(curation.train)
    assert curation.report.parts["train"].calls == {"track_order": len(curation.train)}
    assert curation.report.leakage.exact == {"icl": 0, "train": 0, "val": 0}
    assert curation.report.warnings == ()


BAD = {
    "malformed": (request(), answer("x")),
    "unsupported_content": (
        request({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}),
        answer("x"),
    ),
    "no_choices": (request(user("a")), {"error": {"message": "overloaded"}}),
    "truncated": (request(user("a")), answer("and then", finish="length")),
    "filtered": (request(user("a")), answer("", finish="content_filter")),
    "refused": (request(user("a")), answer(None, refusal="I cannot help with that.")),
    "empty_answer": (request(user("a")), answer(" \n")),
    "bad_call": (request(user("a")), answer(None, call("", "{}"))),
    "arguments_not_json": (request(user("a")), answer(None, call("track_order", '{"order": '))),
    "tool_not_offered": (request(user("a"), tools=[]), answer(None, call("track_order", "{}"))),
    "schema_violation": (request(user("a")), answer(None, call("track_order", '{"order": 5}'))),
}


@pytest.mark.parametrize("reason", BAD)
def test_an_answer_that_nobody_should_learn_from(reason: str) -> None:
    asked, answered = BAD[reason]
    curation = made([*LOG, record(asked, answered, id_="bad")])
    (drop,) = (each for each in curation.report.dropped if each.reason.value == reason)
    assert (drop.count, drop.examples) == (1, ("bad",))
    assert drop.meaning
    assert "bad" not in names((*curation.eval, *curation.train, *curation.val))
    assert balanced(curation)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        pytest.param(request(user("a")), answer("We are open."), id="no call is data"),
        pytest.param(
            request(user("a"), tools=[tool("wide", *(f"p{n}" for n in range(50)))]),
            answer(None, call("wide", "{}")),
            id="a tool with many properties",
        ),
        pytest.param(request(user("a")), answer(None, call("find_product", "")), id="no arguments at all"),
        pytest.param(request(user("a")), answer(None, call("track_order", {"order": "1"})), id="an object"),
        pytest.param(
            request(user("a"), tools=[{"function": {"name": "bare"}}]),
            answer(None, {"function": {"name": "bare", "arguments": "{}"}}),
            id="a tool without a type and a call without an id",
        ),
        pytest.param(
            request(user("a"), tools=[*TOOLS, {"type": "web_search"}]), answer("Found."), id="another type"
        ),
        pytest.param(
            request(user("a"), tools=[], functions=[{"name": "old"}]),
            answer(None, function_call={"name": "old", "arguments": "{}"}),
            id="the old function call",
        ),
        pytest.param(
            request(user("a"), tools=[tool("odd", type="dict")]),
            answer(None, call("odd", '{"x": 1}')),
            id="a schema that is none",
        ),
        pytest.param(request({"role": "user", "content": None}), answer("Hm?"), id="no content"),
        pytest.param(
            request(user("a"), n=2),
            {"choices": [*answer("Hello")["choices"], *answer("")["choices"]]},
            id="only the first choice counts",
        ),
    ],
)
def test_what_is_odd_but_good(asked: dict[str, Any], answered: dict[str, Any]) -> None:
    curation = made([*LOG, record(asked, answered)], eval_size=1_000)
    assert dropped(curation) == {}
    assert curation.report.records_out == len(LOG) + 1


def test_a_schema_that_points_elsewhere_is_not_fetched() -> None:
    odd = tool("remote")
    odd["function"]["parameters"] = {"$ref": "http://example.com/schema.json"}
    curation = made([*LOG, record(request(user("a"), tools=[odd]), answer(None, call("remote", "{}")))])
    assert curation.report.notes["tools_without_usable_schema"] == 1


class TestDuplicates:
    def test_the_same_question_and_answer_count_once(self) -> None:
        again = [tracking(7, at=1_800_000_000.0 + n) for n in range(3)]
        curation = made([*LOG, *again])
        assert dropped(curation)["duplicate"] == 3
        assert balanced(curation)

    def test_call_ids_do_not_count(self) -> None:
        def turn(id_: str) -> Record:
            asked = request(
                user("where is 7"),
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [call("track_order", '{"order":"7"}', id_)],
                },
                {"role": "tool", "tool_call_id": id_, "content": "lost"},
            )
            return record(asked, answer(None, call("find_product", "{}", f"{id_}-2")), id_=id_)

        assert dropped(made([*LOG, turn("a"), turn("b")]))["duplicate"] == 1

    def test_the_tool_result_counts(self) -> None:
        def turn(result: str) -> Record:
            made_ = [call("track_order", '{"order": "7"}')]
            told = {"role": "tool", "tool_call_id": "call_1", "content": result}
            return record(
                request(user("?"), {"role": "assistant", "tool_calls": made_}, told), answer("Well.")
            )

        assert "duplicate" not in dropped(made([*LOG, turn("lost"), turn("found")]))

    def test_which_of_two_calls_a_result_belongs_to_counts(self) -> None:
        def turn(first: str, second: str) -> Record:
            calls = [call("track_order", '{"order": "1"}', "a"), call("track_order", '{"order": "2"}', "b")]
            told = [
                {"role": "tool", "tool_call_id": first, "content": "x"},
                {"role": "tool", "tool_call_id": second, "content": "y"},
            ]
            return record(
                request(user("?"), {"role": "assistant", "tool_calls": calls}, *told), answer("Well.")
            )

        assert "duplicate" not in dropped(made([*LOG, turn("a", "b"), turn("b", "a")]))

    @pytest.mark.parametrize(
        "change",
        [
            {"tool_choice": "required"},
            {"tools": TOOLS[:1]},
            {"response_format": {"type": "json_object"}},
        ],
    )
    def test_what_the_teacher_was_told_counts(self, change: dict[str, Any]) -> None:
        two = [record(request(user("?"))), record(request(user("?"), **change))]
        assert "duplicate" not in dropped(made([*LOG, *two]))

    @pytest.mark.parametrize(
        "change",
        [
            {"tool_choice": "auto"},
            {"temperature": 1.0},
            {"model": "other"},
            {"tools": TOOLS[::-1]},
        ],
    )
    def test_what_does_not_change_the_question_does_not_count(self, change: dict[str, Any]) -> None:
        two = [record(request(user("?"))), record(request(user("?"), **change))]
        assert dropped(made([*LOG, *two]))["duplicate"] == 1

    def test_text_in_parts_is_text(self) -> None:
        parts = {"role": "user", "content": [{"type": "text", "text": "?"}]}
        assert dropped(made([*LOG, record(request(user("?"))), record(request(parts))]))["duplicate"] == 1

    def test_parallel_calls_in_another_order_are_the_same_answer(self) -> None:
        one, two = call("track_order", '{"order": "1"}', "a"), call("find_product", '{ "query": "x" }', "b")
        both = [record("?", answer(None, one, two)), record("?", answer(None, two, one))]
        assert dropped(made([*LOG, *both])) | {"holdout_reserve": 0} == {"duplicate": 1, "holdout_reserve": 0}


class TestConflicts:
    SAID = (("no", 1), ("yes", 2), ("yes", 3), ("maybe", 4))

    def winners(self, policy: str) -> tuple[set[str], Curation]:
        asked = [record("open?", answer(text), at=1_700_000_000.0 + at) for text, at in self.SAID]
        curation = made([*LOG, *asked], conflicts=policy, eval_size=1_000)
        everything = (*curation.eval, *curation.train, *curation.val)
        said = {r.response["choices"][0]["message"]["content"] for r in everything}
        return said & {"no", "yes", "maybe"}, curation

    def test_majority(self) -> None:
        winners, curation = self.winners("majority")
        assert winners == {"yes"}
        assert dropped(curation) == {"conflicting_answer": 2, "duplicate": 1}
        assert (curation.report.conflicts.requests, curation.report.conflicts.records) == (1, 4)
        assert len(curation.report.conflicts.examples[0]) == 3
        assert balanced(curation)

    def test_latest(self) -> None:
        assert self.winners("latest")[0] == {"maybe"}

    def test_drop(self) -> None:
        winners, curation = self.winners("drop")
        assert winners == set()
        assert dropped(curation) == {"conflicting_answer": 4}
        assert balanced(curation)

    def test_equal_votes_go_to_the_most_recent(self) -> None:
        asked = [record("?", answer(text), at=at) for text, at in (("old", 1.0), ("new", 2.0))]
        curation = made([*LOG, *asked], eval_size=1_000)
        (drop,) = curation.report.dropped
        everything = (*curation.eval, *curation.train, *curation.val)
        assert any(r.response == answer("new") for r in everything)
        assert drop.reason is Reason.CONFLICTING_ANSWER


class TestHoldout:
    def test_it_never_changes(self) -> None:
        """Pins the hash: were these to move, every existing holdout would leak into training."""

        def held(log: list[Record]) -> list[int]:
            return sorted(int(name.removeprefix("chat-")) for name in names(made(log, eval_size=1_000).eval))

        assert held(LOG)[:8] == [0, 7, 11, 13, 17, 18, 19, 20]
        named = [tracking(number, conversation=f"c{number}") for number in range(50)]
        assert held(named)[:8] == [1, 7, 9, 16, 23, 27, 41, 47]

    def test_it_is_about_a_fifth(self) -> None:
        many = [tracking(number) for number in range(2_000)]
        assert 0.17 < made(many).report.conversations.holdout / 2_000 < 0.23

    def test_it_does_not_depend_on_seed_or_sizes(self) -> None:
        one = made(LOG, eval_size=1_000, random_seed=1)
        two = made(LOG, eval_size=1_000, random_seed=2, val_ratio=0.5, min_total_records=3)
        assert one.eval == two.eval

    def test_another_workload_has_another_one(self) -> None:
        assert names(made(LOG).eval) != names(made(LOG, workload=Workload("shop", "returns")).eval)

    def test_a_conversation_stays_together(self) -> None:
        def turns(number: int) -> list[Record]:
            opening = [{"role": "system", "content": "Help."}, user(f"hello, I am {number}")]
            reply = [{"role": "assistant", "content": "Hi"}, user("thanks")]
            return [
                record(request(*opening), answer("Hi"), id_=f"{number}-1"),
                record(request(*opening, *reply), answer("Bye"), id_=f"{number}-2"),
            ]

        curation = made([turn for number in range(200) for turn in turns(number)], eval_size=1_000)
        of = [
            {name.split("-")[0] for name in names(p)} for p in (curation.eval, curation.train, curation.val)
        ]
        assert sum(map(len, of)) == len(set.union(*of)) == 200

    def test_an_id_tells_conversations_apart_that_open_alike(self) -> None:
        def turn(number: int) -> Record:
            asked = request(user("hello"), {"role": "assistant", "content": "Yes?"}, user(f"order {number}"))
            return record(asked, answer("Fine."), conversation=f"c{number}")

        curation = made([turn(number) for number in range(100)])
        assert (curation.report.conversations.total, curation.report.conversations.with_id) == (100, 100)

    def test_a_request_on_both_sides_belongs_to_the_holdout(self) -> None:
        hello = [record("hello", at=1.0 + n, conversation=f"c{n}") for n in range(60)]
        curation = made([*LOG, *hello], eval_size=1_000)
        drops = dropped(curation)
        assert drops["also_in_holdout"] > drops["duplicate"] > 0
        assert sum(each.request == hello[0].request for each in curation.eval) == 1
        assert not any(each.request == hello[0].request for each in (*curation.train, *curation.val))
        assert balanced(curation)

    def test_eval_takes_the_first_by_hash(self) -> None:
        assert made(LOG, eval_size=1_000).eval[:20] == made(LOG).eval

    def test_a_small_holdout_makes_a_small_evaluation_and_a_warning(self) -> None:
        curation = made(LOG, eval_size=100)
        assert len(curation.eval) == curation.report.holdout_records < 100
        assert "fewer than the eval_size of 100" in curation.report.warnings[0]

    def test_one_giant_conversation_is_warned_of(self) -> None:
        giant = [
            record(request(user("hi"), {"role": "assistant", "content": "?"}, user(f"{n}")))
            for n in range(300)
        ]
        assert any("one conversation has 60%" in each for each in made([*LOG, *giant]).report.warnings)


LOGS = st.lists(
    st.builds(
        lambda number, answered, at, conversation: record(
            f"question {number}",
            answer(f"answer {answered}"),
            at=float(at),
            conversation=f"c{conversation}" if conversation else None,
        ),
        st.integers(0, 12),
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(0, 6),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(log=LOGS, data=st.data(), policy=st.sampled_from(["majority", "latest", "drop"]))
def test_the_order_of_the_records_does_not_matter(
    log: Sequence[Record], data: st.DataObject, policy: str
) -> None:
    shuffled = data.draw(st.permutations([*LOG[:20], *log]))
    one, two = made([*LOG[:20], *log], conflicts=policy), made(shuffled, conflicts=policy)
    assert (one.eval, one.icl, one.train, one.val) == (two.eval, two.icl, two.train, two.val)
    assert dataset_id(one) == dataset_id(two)
    assert balanced(one)


@settings(deadline=None, max_examples=60)
@given(log=LOGS, more=LOGS)
def test_more_records_never_move_what_was_held_out_into_training(
    log: Sequence[Record], more: Sequence[Record]
) -> None:
    before, after = made([*LOG[:20], *log], eval_size=100), made([*LOG[:20], *log, *more], eval_size=100)
    held = {each.request_json for each in before.eval}
    assert not held & {each.request_json for each in (*after.train, *after.val, *after.icl)}
    assert after.report.leakage.exact == {"icl": 0, "train": 0, "val": 0}


class TestLimits:
    def test_only_the_newest_are_looked_at(self) -> None:
        curation = made(LOG, limit=150, eval_size=1_000)
        assert dropped(curation) == {"over_limit": 50}
        everything = names((*curation.eval, *curation.train, *curation.val))
        assert everything == {f"chat-{number}" for number in range(50, 200)}
        assert balanced(curation)

    def test_too_few_records_names_the_numbers(self) -> None:
        bad = record("x", answer(""))
        with pytest.raises(NotEnoughRecords) as caught:
            made([*LOG[:30], bad, bad], min_total_records=50)
        assert (caught.value.found, caught.value.usable, caught.value.needed) == (32, 30, 50)
        assert caught.value.dropped == {"empty_answer": 2}
        assert "30 usable records of 32 (2 empty_answer left out)" in str(caught.value)

    def test_no_records_at_all(self) -> None:
        with pytest.raises(NotEnoughRecords, match="0 usable records of 0"):
            made([])

    def test_a_single_conversation_cannot_be_split(self) -> None:
        turns = [
            record(request(user("hi"), {"role": "assistant", "content": f"{n}"}, user("?")))
            for n in range(60)
        ]
        with pytest.raises(NotEnoughConversations, match="has 1 different conversations"):
            made(turns)

    def test_validation_has_at_least_one_conversation(self) -> None:
        assert all(made(LOG[:n], val_ratio=0.001).val for n in (20, 50, 200))
        assert made(LOG, val_ratio=0).val == ()


def test_the_same_records_make_the_same_data_set() -> None:
    assert dataset_id(made(LOG)) == dataset_id(made(reversed(LOG)))
    assert dataset_id(made(LOG)) != dataset_id(made(LOG[:-1]))


def test_the_pool_has_some_of_every_set_of_calls() -> None:
    words = [record(f"how are you {n}", answer("Fine."), id_=f"talk-{n}") for n in range(40)]
    curation = made([*LOG, *words])
    assert curation.report.parts["icl"].calls == {"": 16, "track_order": 16}


def test_near_duplicates_across_parts_are_counted_with_examples() -> None:
    long = "the parcel {} that I ordered on monday for my sister has not arrived at her new house yet"
    curation = made([record(long.format(n), answer("Oh."), id_=f"n{n}") for n in range(100)])
    leakage = curation.report.leakage
    assert leakage.near["train"] == len(curation.train)
    assert leakage.near_eval > 0
    assert leakage.examples[0].similarity >= leakage.threshold
    assert any("nearly repeated" in each for each in curation.report.warnings)


def paraphrased(count: int = 100) -> list[Record]:
    """Everybody asks one of ten things in words of their own, which name the thing by its number."""
    texts = (f"{chr(97 + n % 26) * 9} {n} thing:{n % 10}" for n in range(count))
    return [record(text, answer("Oh."), id_=f"n{n}") for n, text in enumerate(texts)]


def by_thing(texts: Sequence[str]) -> list[list[float]]:
    """An embedding model that hears what is meant: the same thing is the same direction."""
    return [[3.0 * (int(text[-1]) == axis) for axis in range(10)] for text in texts]


THINGS = Embedder("things", by_thing)


def test_what_is_said_in_other_words_is_found_by_embeddings_and_left_in_by_default() -> None:
    curation = made(paraphrased(), embedder=THINGS)
    leakage = curation.report.leakage
    asked = {thing_of(each) for each in curation.eval}
    again = [each for each in curation.train if thing_of(each) in asked]
    assert (leakage.near["train"], leakage.near_eval) == (0, 0), "no words in common"
    assert leakage.embeddings is not None
    assert leakage.embeddings.near["train"] == len(again) > 0
    assert leakage.embeddings.near_eval == len(curation.eval)
    assert (leakage.embeddings.model, leakage.embeddings.threshold) == ("things", 0.95)
    assert {each.similarity for each in leakage.embeddings.examples} == {1.0}
    assert (leakage.policy, leakage.dropped) == ("report", 0)
    assert any("nearly repeated" in each for each in curation.report.warnings)
    assert balanced(curation)


def thing_of(each: Record) -> str:
    text: str = each.request["messages"][-1]["content"]
    return text[-1]


def test_near_repeats_can_be_left_out_of_everything_but_the_holdout() -> None:
    before = made(paraphrased(), embedder=THINGS, eval_size=5)
    after = made(paraphrased(), embedder=THINGS, eval_size=5, near_duplicates="drop")
    asked = {thing_of(each) for each in after.eval}
    assert after.eval == before.eval
    for name in ("train", "val", "icl"):
        kept: tuple[Record, ...] = getattr(after, name)
        assert not asked & {thing_of(each) for each in kept}
    assert set(after.train) == {each for each in before.train if thing_of(each) not in asked}
    assert after.icl
    gone = len(before.train) + len(before.val) - len(after.train) - len(after.val)
    assert dropped(after)["near_evaluation"] == after.report.leakage.dropped == gone > 0
    assert balanced(after)
    assert not any("nearly repeated" in each for each in after.report.warnings)


def test_without_an_embedding_model_those_of_equal_words_are_left_out() -> None:
    log = [tracking(number) for number in range(60)]
    long = "the parcel {} that I ordered on monday for my sister has not arrived at her new house yet"
    log += [record(long.format(n), answer("Oh."), id_=f"n{n}") for n in range(60)]
    before = made(log, eval_size=40)
    after = made(log, eval_size=40, near_duplicates="drop")
    assert before.report.leakage.near["train"] > 0
    assert after.report.leakage.embeddings is None
    assert after.report.leakage.dropped >= before.report.leakage.near["train"]
    assert not any("my sister" in str(each.request) for each in after.train)


def test_where_all_repeat_the_evaluation_there_is_nothing_to_learn_from() -> None:
    long = "the parcel {} that I ordered on monday for my sister has not arrived at her new house yet"
    log = [record(long.format(n), answer("Oh."), id_=f"n{n}") for n in range(100)]
    with pytest.raises(NothingButRepeats, match=r"all \d+ records outside the holdout .* use report"):
        made(log, near_duplicates="drop")


def test_the_report_survives_json() -> None:
    report = made([*LOG, record("x", answer(""))]).report
    assert type(report).model_validate_json(report.model_dump_json()) == report


def test_an_input_that_can_be_read_only_once_is_enough() -> None:
    assert made(iter(LOG)).eval == made(LOG).eval
