"""Drift fires on a real shift and is quiet on none: real traffic, noise alone, conversations, odd values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flywheel.config import DataSplitConfig
from flywheel.curation import curate
from flywheel.curation.drift import (
    LEVEL,
    THRESHOLD,
    Drift,
    Of,
    describe_changes,
    judge,
    measure,
    schema_changes,
)
from flywheel.curation.reading import read
from flywheel.curation.traffic import ABSENT, Seen, Traffic, describe, seen_of
from flywheel.models import Record
from traffic import SHOP, answer, call, record, request, tool, user


@pytest.fixture(scope="session")
def clinc(shared_data: Path) -> dict[str, list[Record]]:
    """Records of the workloads of `clinc150`, by name, in the order of their times."""
    found: dict[str, list[Record]] = {}
    with (shared_data / "clinc150.jsonl.gz").open("rb") as stream:
        for item in read(stream, "clinc150.jsonl.gz"):
            assert isinstance(item, Record)
            found.setdefault(item.workload_id, []).append(item)
    return found


def drift(before: Traffic, now: Traffic, of: Of = "arguments", threshold: float | None = None) -> Drift:
    return judge(measure(before, now, of), before, now, of, threshold)


def calls(
    values: Sequence[Any], *, per_conversation: int = 1, tool_name: str = "t", argument: str = "a"
) -> list[Seen]:
    """A call for each value, so many of them in a conversation."""
    return [
        Seen(str(number // per_conversation).encode(), [(tool_name, {argument: value})], {}, 0.0, 0.0)
        for number, value in enumerate(values)
    ]


def compared(before: list[Seen], now: list[Seen], of: Of = "arguments") -> Drift:
    reference = describe(before)
    return drift(reference, describe(now, like=reference), of)


# Real traffic


def test_another_workload_s_traffic_is_a_drift(clinc):
    before = describe(seen_of(clinc["clinc_banking"]))
    now = describe(seen_of(clinc["clinc_travel"]), like=before)
    found = drift(before, now)
    (intent,) = found.fired
    assert (intent.name, intent.p_value) == ("route_request.intent", 0.0)
    assert intent.excess > 0.99, "they have no intent in common"
    assert {name for name, was, _ in intent.moved if was} <= set(
        before.arguments["route_request"]["intent"].counts
    )
    assert "route_request.intent is 0.99" in found.says
    assert not drift(before, now, "tools").fired, "both call the one tool equally often"
    (change,) = schema_changes(before, now)
    assert (change.tool, change.change, change.share) == ("route_request", "changed", 1.0)
    assert describe_changes([change]) == "route_request is changed"


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_a_part_of_other_traffic_is_enough(clinc, share: float):
    before = describe(seen_of(clinc["clinc_banking"][:1200]))
    others = round(1000 * share)
    mixed = [*clinc["clinc_banking"][1200 : 2200 - others], *clinc["clinc_travel"][:others]]
    assert drift(before, describe(seen_of(mixed), like=before)).fired


@pytest.mark.parametrize("seed", range(5))
def test_two_halves_of_the_same_traffic_are_no_drift(clinc, seed: int):
    for name in ("clinc_banking", "clinc_travel"):
        records = list(clinc[name])
        random.Random(seed).shuffle(records)
        before = describe(seen_of(records[:1200]))
        for part in (records[1200:1300], records[1200:]):
            now = describe(seen_of(part), like=before)
            for of in ("tools", "arguments"):
                found = drift(before, now, of)
                assert found.shifts
                assert not found.fired, found.says
            assert schema_changes(before, now) == ()


@pytest.mark.parametrize("name", ["apibank", "sgd_dialogues", "snips", "tau1_airline_gpt-4o", "bfcl"])
def test_halves_by_conversation_are_no_drift(shared_data: Path, name: str):
    """Agent loops, dozens of tools, free text, and in `bfcl` a tool of its own for each request."""
    with (shared_data / f"{name}.jsonl.gz").open("rb") as stream:
        seen = list(seen_of(item for item in read(stream, name) if isinstance(item, Record)))
    conversations = sorted({each.conversation for each in seen})
    random.Random(7).shuffle(conversations)
    first = set(conversations[::2])
    before = describe(each for each in seen if each.conversation in first)
    now = describe((each for each in seen if each.conversation not in first), like=before)
    for of in ("tools", "arguments"):
        assert not drift(before, now, of).fired
    assert schema_changes(before, now) == ()


# Noise


def test_noise_alone_is_not_called_a_drift_more_often_than_said():
    """200 pairs of samples of one distribution: p values are below 0.05 about one time in twenty."""
    draw = random.Random(11)
    small = fired = 0
    for _ in range(200):
        before, now = (
            calls([f"v{min(draw.randrange(12), draw.randrange(12))}" for _ in range(count)])
            for count in (600, 150)
        )
        found = compared(before, now)
        small += found.shifts[0].p_value < 0.05
        fired += bool(found.fired)
    assert fired == 0
    assert 2 <= small <= 20, "a test that is never small tells nothing either"


def test_conversations_that_repeat_themselves_are_not_taken_for_many_witnesses():
    """Each conversation has one value ten times: 30 conversations are no 300 records."""
    draw = random.Random(3)

    def traffic(conversations: int) -> list[Seen]:
        values = [f"v{draw.randrange(8)}" for _ in range(conversations) for _ in range(10)]
        once = [values[10 * (number // 10)] for number in range(len(values))]
        return calls(once, per_conversation=10)

    naive = fired = 0
    for _ in range(40):
        before, now = traffic(60), traffic(30)
        found = compared(before, now)
        fired += bool(found.fired)
        alone = [Seen(str(n).encode(), each.calls, {}, 0.0, 0.0) for n, each in enumerate(now)]
        others = [Seen(str(n).encode(), each.calls, {}, 0.0, 0.0) for n, each in enumerate(before)]
        naive += bool(compared(others, alone).fired)
    assert fired == 0
    assert naive > 20, "without the correction most of these would be drifts"


@pytest.mark.parametrize("size", [30, 45])
def test_a_rare_value_among_few_calls_is_no_drift(size: int):
    """Three calls in 10,000 have it, so one in 60 samples of 40 does; of 200 draws perhaps none."""
    for rare in (1, 3, 10):
        before = calls(["a"] * (10_000 - rare) + ["b"] * rare)
        assert not compared(before, calls(["a"] * (size - 1) + ["b"])).fired
    (found,) = compared(calls(["a"] * 10_000), calls(["a"] * (size - 5) + ["b"] * 5)).fired
    assert found.moved[0][0] == "b", "five of them are another thing"


def test_what_is_new_is_named_before_what_became_a_little_rarer():
    known = [f"known-{number % 10}" for number in range(2000)]
    (found,) = compared(calls(known), calls(known[:1400] + [f"new-{n % 20}" for n in range(600)])).fired
    assert all(name.startswith("new-") and was == 0 for name, was, _ in found.moved)


def test_a_few_conversations_that_say_the_same_are_no_drift():
    """Five conversations in a row want the tool that every second one wants: once in 32 times."""
    before = calls([f"v{number // 6 % 2}" for number in range(1200)], per_conversation=6)
    now = calls(["v0"] * 30, per_conversation=6)
    assert describe(now).arguments["t"]["a"].design_effect == 1.0, "they cannot tell theirs"
    assert not compared(before, now).fired
    apart = calls(["v0"] * 30)
    assert compared(calls([f"v{number % 2}" for number in range(1200)]), apart).fired


def test_the_threshold_means_what_the_page_says():
    def shares(percent: int, count: int) -> list[Seen]:
        return calls(["yes" if n % 100 < percent else "no" for n in range(count)])

    assert compared(shares(10, 5000), shares(18, 5000)).shifts[0].excess == pytest.approx(0.1, abs=0.01)
    assert compared(shares(10, 5000), shares(30, 5000)).shifts[0].excess == pytest.approx(0.2, abs=0.02)
    assert not compared(shares(10, 5000), shares(14, 5000)).fired, "sure, but too little to matter"
    small = compared(shares(10, 5000), shares(14, 5000)).shifts[0]
    assert small.p_value < LEVEL
    assert small.excess < THRESHOLD
    reference = describe(shares(10, 5000))
    assert drift(reference, describe(shares(14, 5000), like=reference), threshold=0.05).fired


def test_of_many_arguments_one_that_moved_is_found_and_the_others_stay_quiet():
    draw = random.Random(5)

    def traffic(moved: bool) -> list[Seen]:
        found = []
        for number in range(800):
            arguments = {f"a{n}": draw.choice("abcd") for n in range(30)}
            if moved:
                arguments["a7"] = draw.choice("aaaabcd")
            found.append(Seen(str(number).encode(), [("t", arguments)], {}, 0.0, 0.0))
        return found

    assert not compared(traffic(False), traffic(False)).fired
    assert [each.name for each in compared(traffic(False), traffic(True)).fired] == ["t.a7"]


# Values


def test_values_that_are_always_new_are_told_by_their_shape():
    def orders(first: int, count: int, prefix: str = "A") -> list[Seen]:
        return calls([f"{prefix}{number:05}" for number in range(first, first + count)])

    assert not compared(orders(0, 500), orders(500, 500)).fired, "no order comes twice"
    found = compared(orders(0, 500), orders(500, 500, prefix="ORDER-2026-"))
    assert ("text of 4 to 7", 1.0, 0.0) in found.fired[0].moved
    assert not compared(calls(range(1000, 1500)), calls(range(2000, 2500))).fired
    assert compared(calls(range(1000, 1500)), calls(range(100_000, 100_500))).fired


def test_an_argument_that_is_no_longer_given_is_a_drift():
    before = [Seen(str(n).encode(), [("t", {"a": "x", "b": "y"})], {}, 0.0, 0.0) for n in range(200)]
    now = [Seen(str(n).encode(), [("t", {"a": "x"})], {}, 0.0, 0.0) for n in range(200)]
    (found,) = compared(before, now).fired
    assert found.name == "t.b"
    assert (ABSENT, 0.0, 1.0) in found.moved


def test_what_values_may_be():
    odd = [None, True, 1, -2.5, 1e300, "", "x" * 5000, ["a"], [], {"a": {"b": 1}}, {}]
    before = describe(calls(odd * 30))
    assert sum(before.arguments["t"]["a"].counts.values()) == 330
    assert all(len(name) <= 80 for name in before.arguments["t"]["a"].counts)
    shapes = describe(calls([*odd, *(f"{n}" * (n % 50 + 1) for n in range(300))]))
    assert shapes.arguments["t"]["a"].form == "shapes"
    assert Traffic.model_validate_json(shapes.model_dump_json()) == shapes


def test_too_few_calls_are_not_compared():
    found = compared(calls(["a"] * 500), calls(["b"] * 29))
    assert (found.shifts, found.fired) == ((), ())
    assert "both sides need 30 calls" in found.says


# Tools


def test_a_teacher_that_stops_calling_is_a_drift_of_the_mix():
    before = [record(f"q{n}", answer(None, call("track_order", {"order": str(n)}))) for n in range(100)]
    now = [record(f"r{n}", answer("Sorry, I cannot do that.")) for n in range(100)]
    reference = describe(seen_of(before))
    found = drift(reference, describe(seen_of(now), like=reference), "tools")
    assert "no call 0% → 100%" in found.says
    assert found.numbers()["shifts"][0]["moved"][0]["value"] in ("no call", "track_order")


def offered(*tools: dict[str, Any], count: int = 50) -> Traffic:
    return describe(
        seen_of(record(request(user(f"{n} {len(tools)}"), tools=list(tools))) for n in range(count))
    )


def test_schemas_that_changed_came_or_went_are_told_apart():
    one, two = tool("one", "a"), tool("two", "b")
    assert schema_changes(offered(one, two), offered(two, one)) == ()
    changed = {"type": "function", "function": {**one["function"], "description": "Now with words"}}
    (found,) = schema_changes(offered(one, two), offered(changed, two))
    assert (found.tool, found.change, found.share) == ("one", "changed", 1.0)
    (found,) = schema_changes(offered(one), offered(one, two))
    assert (found.tool, found.change) == ("two", "new")
    (found,) = schema_changes(offered(one, two), offered(one))
    assert (found.tool, found.change) == ("two", "gone")
    assert schema_changes(offered(one), offered(one, two, count=19)) == (), "too few to learn from"


def test_curation_describes_what_it_was_given_repeats_included():
    records = [
        record(f"where is {n}", answer(None, call("track_order", {"order": str(n)})), at=1_700_000_000.0 + n)
        for n in range(60)
    ]
    again = record("where is 1", answer(None, call("track_order", {"order": "1"})), at=1_700_001_000.0)
    repeats = [again] * 5
    broken = [record("broken", {"choices": []})]
    split = DataSplitConfig(min_total_records=1, limit=None)
    traffic = curate([*records, *repeats, *broken], workload=SHOP, split=split).traffic
    assert (traffic.records, traffic.tools.counts) == (65, {"track_order": 65})
    assert (traffic.first, traffic.last) == (1_700_000_000.0, 1_700_001_000.0)
    assert traffic == describe(seen_of([*records, *repeats])), (
        "told the same way by the curation and by a look at the newest records"
    )
