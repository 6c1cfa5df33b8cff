"""The table of several systems on the same records, and what it says in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from flywheel.evaluation.comparison import BadComparison, compare
from flywheel.evaluation.statistics import ClusterBootstrap, difference_intervals, holm, mcnemar, wilson
from flywheel.evaluation.table import Role, Row, System, Table
from flywheel.evaluation.verdicts import Verdict, verdicts


def rows(n: int, per_conversation: int = 1, tools: Sequence[str] = ()) -> list[Row]:
    return [
        Row(f"r{i}", f"c{i // per_conversation}", {"tool": (tools[i % len(tools)],)} if tools else {})
        for i in range(n)
    ]


def system(name: str, role: Role, scores: Sequence[float | None]) -> System:
    return System(name, role, {f"r{i}": score for i, score in enumerate(scores)})


def right(n: int, wrong: Sequence[int] | range = ()) -> list[float | None]:
    return [0.0 if i in set(wrong) else 1.0 for i in range(n)]


def only(table: Table) -> Verdict:
    (verdict,) = verdicts(table)
    return verdict


def test_each_system_has_its_score_with_its_interval() -> None:
    table = compare(
        rows(100),
        [system("base", "base", right(100, range(40))), system("student", "candidate", right(100, range(7)))],
    )
    base, student = table.systems
    assert (base.value, student.value) == (0.6, 0.93)
    assert student.interval == wilson(93, 100)
    assert (table.records, table.conversations, table.left_out) == (100, 100, {})


def test_a_missing_answer_is_a_wrong_one_and_counted() -> None:
    scores = right(50, range(5))
    scores[10] = None
    table = compare(rows(60), [system("student", "candidate", scores)])
    (student,) = table.systems
    assert (student.value, student.missing) == (44 / 60, 11)


def test_a_ceiling_that_did_not_answer_lowers_no_bar() -> None:
    table = compare(rows(50), [system("teacher", "ceiling", [None] * 10 + [1.0] * 38 + [0.0] * 2)])
    assert (table.systems[0].value, table.systems[0].missing) == (0.96, 10)


def test_a_bad_reference_is_left_out_for_all_alike_and_counted_by_reason() -> None:
    records = rows(30)
    records[0] = Row("r0", "c0", bad_reference="arguments are not JSON")
    records[1] = Row("r1", "c1", bad_reference="arguments are not JSON")
    records[2] = Row("r2", "c2", bad_reference="conflicting answers")
    table = compare(
        records, [system("a", "candidate", right(30, [0, 5])), system("b", "candidate", right(30, [1, 6]))]
    )
    assert table.left_out == {"arguments are not JSON": 2, "conflicting answers": 1}
    assert [each.value for each in table.systems] == [26 / 27, 26 / 27]
    assert table.records == 27


def test_differences_are_paired_tested_exactly_and_adjusted_together() -> None:
    n = 200
    scores = {
        "base": right(n, range(60)),
        "one": right(n, range(10)),
        "two": right(n, range(5, 40)),
        "teacher": right(n, range(4)),
    }
    roles: dict[str, Role] = {"base": "base", "one": "candidate", "two": "candidate", "teacher": "ceiling"}
    table = compare(rows(n), [system(name, roles[name], found) for name, found in scores.items()])
    pairs = [(each.system, each.other, each.against) for each in table.differences]
    assert pairs == [
        ("one", "base", "base"),
        ("one", "two", "candidate"),
        ("one", "teacher", "ceiling"),
        ("two", "base", "base"),
        ("two", "teacher", "ceiling"),
    ]
    first = table.differences[0]
    assert (first.better, first.worse, first.value) == (50, 0, 0.25)
    assert first.p_value == pytest.approx(mcnemar(50, 0), abs=1e-12)
    versus = table.differences[1]
    assert (versus.better, versus.worse) == (30, 5)
    assert [each.p_holm for each in table.differences] == list(holm([e.p_value for e in table.differences]))
    (expected,) = difference_intervals(
        np.array(scores["one"], dtype=float)[:, None],
        np.array(scores["two"], dtype=float)[:, None],
        ClusterBootstrap(range(n)),
    )
    assert versus.interval == expected


def test_conversations_of_several_records_widen_everything_and_leave_the_seed() -> None:
    wrong = [i for i in range(240) if (i // 6) % 5 == 0]  # Whole conversations.
    systems = [system("teacher", "ceiling", right(240)), system("student", "candidate", right(240, wrong))]
    alone, together = compare(rows(240), systems), compare(rows(240, 6), systems, seed=5)
    assert together.conversations == 40
    for apart, clustered in (
        (alone.systems[1].interval, together.systems[1].interval),
        (alone.differences[0].interval, together.differences[0].interval),
    ):
        assert clustered.high - clustered.low > 2 * (apart.high - apart.low)
        assert (clustered.seed, clustered.clusters) == (5, 40)
        assert clustered.design_effect == pytest.approx(6, rel=0.2)
    assert together.differences[0].p_value == pytest.approx(2**-7)  # 8 conversations all one way.
    assert together.non_inferiority["student"].records_needed > 5 * alone.non_inferiority["student"].records


def test_slices_count_and_the_small_ones_are_marked_and_not_tested() -> None:
    records = [
        Row(f"r{i}", f"c{i}", {"tool": ("rare",) if i < 19 else ("common", "second")}) for i in range(100)
    ]
    table = compare(
        records,
        [system("teacher", "ceiling", right(100)), system("student", "candidate", right(100, range(12)))],
    )
    found = {entry.label: entry for entry in table.slices}
    assert [(e.label, e.records, e.small) for e in table.slices] == [
        ("common", 81, False),
        ("second", 81, False),
        ("rare", 19, True),
    ]
    assert found["rare"].differences == ()
    assert found["rare"].values == {"teacher": 1.0, "student": pytest.approx(7 / 19)}
    assert found["common"].values["student"] == 1.0
    assert found["common"].intervals["student"] == wilson(81, 81)


def test_failures_are_counted_by_class_on_the_records_that_count() -> None:
    records = rows(30)
    records[3] = Row("r3", "c3", bad_reference="conflicting answers")
    failures = {"r1": "wrong_value", "r2": "wrong_value", "r3": "timeout", "r4": "no_call_expected_call"}
    student = System("student", "candidate", {r.key: float(r.key not in failures) for r in records}, failures)
    assert compare(records, [student]).systems[0].failures == {"wrong_value": 2, "no_call_expected_call": 1}


def test_graded_scores_are_compared_too() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.uniform(0.3, 0.6, 80), rng.uniform(0.5, 0.9, 80)
    table = compare(
        rows(80, 2),
        [system("base", "base", low.tolist()), system("student", "candidate", high.tolist())],
    )
    (difference,) = table.differences
    assert difference.value == pytest.approx((high - low).mean())
    assert 0 < difference.interval.low < difference.value < difference.interval.high
    assert difference.p_value <= 0.001
    assert table.systems[0].interval.method == "wilson, cluster bootstrap"


def test_the_table_is_json_and_the_same_for_the_same_seed() -> None:
    systems = [
        system("teacher", "ceiling", right(90, range(3))),
        system("student", "candidate", right(90, range(9))),
    ]
    records = rows(90, 3, ["a", "b"])
    one, same = (compare(records, systems, seed=2) for _ in range(2))
    assert one == same
    document = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert document["systems"][1]["value"] == 0.9
    assert document["systems"][1]["interval"]["seed"] == document["seed"] == 2
    assert document["non_inferiority"]["student"]["passes"] is False
    assert document["slices"][0]["differences"][0]["system"] == "student"


@pytest.mark.parametrize(
    ("systems", "words"),
    [
        ([System("a", "candidate", {"r99": 1.0})], "'a' has a score for 'r99', which is no record"),
        ([System("a", "candidate", {"r1": 1.2})], "'a' scores 1.2 on 'r1', not 0 to 1"),
        ([System("a", "candidate", {"r1": float("nan")})], "'a' scores nan on 'r1'"),
        ([System("a", "candidate", {}), System("a", "base", {})], "system 'a' is there twice"),
        ([System("a", "ceiling", {}), System("b", "ceiling", {})], "more than one ceiling"),
        ([System("a", "candidate", {}, base="b")], "'a' has the base 'b', which is not there"),
    ],
)
def test_what_cannot_be_compared_is_named(systems: list[System], words: str) -> None:
    with pytest.raises(BadComparison, match=words):
        compare(rows(3), systems)


def test_a_record_twice_a_margin_in_points_and_a_level_in_percent_are_refused() -> None:
    with pytest.raises(BadComparison, match="record 'r0' is there twice"):
        compare([*rows(2), *rows(1)], [])
    with pytest.raises(BadComparison, match="margin 3 is not a share between 0 and 1"):
        compare(rows(2), [], margin=3)
    with pytest.raises(BadComparison, match="level 95 is not"):
        compare(rows(2), [], level=95)


def test_no_record_one_record_and_no_system_make_tables_too() -> None:
    student = System("student", "candidate", {})
    nothing = compare([], [student, System("base", "base", {})])
    assert (nothing.records, nothing.systems[0].value, nothing.non_inferiority) == (0, 0.0, {})
    assert str(only(nothing)) == "not yet: there is no record with a usable reference"
    assert json.dumps(nothing.as_dict(), allow_nan=False)
    single = compare(rows(1), [system("student", "candidate", [1.0])])
    assert only(single).decision == "not yet"
    assert compare(rows(3), []).systems == ()


# What the table says in words.


def judged(n: int, teacher_wrong: Sequence[int], student_wrong: Sequence[int], **more: float) -> Verdict:
    return only(
        compare(
            rows(n),
            [
                system("teacher", "ceiling", right(n, teacher_wrong)),
                system("student", "candidate", right(n, student_wrong)),
            ],
            **more,
        )
    )


def test_a_student_as_good_as_its_teacher_on_enough_records_is_promoted() -> None:
    verdict = judged(1000, range(30), range(10, 40))
    assert str(verdict) == "promote: at most 1 point below the teacher, the margin is 3 points"
    assert verdict.more_records is None


def test_on_too_few_records_the_verdict_says_how_many_more() -> None:
    verdict = judged(200, range(10), range(5, 15))
    # 5 % discordance at a margin of 3 points, see the test of `records_needed`.
    assert verdict.decision == "not yet"
    assert verdict.more_records is not None
    assert str(verdict) == f"not yet: needs about {verdict.more_records} more records"
    assert 220 <= verdict.more_records <= 320


def test_the_records_it_asks_for_do_decide() -> None:
    more = judged(200, range(10), range(5, 15)).more_records
    assert more is not None
    n = 200 + more
    discordant = round(n * 0.025)
    assert judged(n, range(discordant), range(discordant, 2 * discordant)).decision == "promote"


def test_a_student_that_is_clearly_worse_is_refused_with_its_distance() -> None:
    verdict = judged(500, range(10), range(100))
    assert str(verdict) == "no: 18 points below the teacher, and the margin is 3 points"


def test_a_student_that_looks_worse_on_few_records_may_be_unlucky() -> None:
    verdict = judged(60, [], range(3))
    assert verdict.decision == "not yet"
    assert verdict.reason.startswith("5 points below the teacher so far; needs about ")


def test_a_student_that_looks_worse_on_enough_records_is_refused() -> None:
    verdict = judged(1000, range(20), range(20, 72))
    assert verdict.decision == "no"


def test_a_wider_margin_lets_it_pass() -> None:
    assert judged(400, range(10), range(5, 25)).decision == "not yet"
    assert judged(400, range(10), range(5, 25), margin=0.1).decision == "promote"


def test_a_student_that_fails_one_tool_is_refused_however_good_it_is_otherwise() -> None:
    records = [Row(f"r{i}", f"c{i}", {"tool": ("refund",) if i < 40 else ("search",)}) for i in range(2000)]
    table = compare(
        records,
        [
            system("teacher", "ceiling", right(2000)),
            system("student", "candidate", right(2000, range(14))),
        ],
    )
    assert table.non_inferiority["student"].passes
    assert str(only(table)) == "no: loses on tool refund (35 points on 40 records)"


def test_requests_without_a_call_are_named_as_such() -> None:
    records = [Row(f"r{i}", f"c{i}", {"tool": ("(no call)",) if i < 40 else ("search",)}) for i in range(900)]
    table = compare(
        records, [system("teacher", "ceiling", right(900)), system("s", "candidate", right(900, range(14)))]
    )
    assert only(table).reason == "loses on requests without a call (35 points on 40 records)"


def test_few_records_of_a_tool_refuse_nobody() -> None:
    records = [Row(f"r{i}", f"c{i}", {"tool": ("refund",) if i < 15 else ("search",)}) for i in range(1500)]
    table = compare(
        records, [system("teacher", "ceiling", right(1500)), system("s", "candidate", right(1500, range(8)))]
    )
    assert only(table).decision == "promote"


def test_a_student_worse_than_its_base_is_refused() -> None:
    table = compare(
        rows(3000),
        [
            system("teacher", "ceiling", right(3000, range(60))),
            system("plain", "base", right(3000, range(60))),
            system("tuned", "candidate", right(3000, range(90))),
        ],
    )
    assert str(only(table)) == "no: 1 point below its base plain"


def test_a_candidate_is_held_against_its_own_base_only() -> None:
    own, foreign = (
        system(name, "base", right(3000, wrong)) for name, wrong in (("small", range(300)), ("big", []))
    )
    teacher = system("teacher", "ceiling", right(3000, range(60)))
    tuned = replace(system("small tuned", "candidate", right(3000, range(30, 90))), base="small")
    table = compare(rows(3000), [own, foreign, tuned, teacher])
    assert [each.other for each in table.differences] == ["small", "teacher"]
    assert only(table).decision == "promote"
    assert str(only(compare(rows(3000), [own, foreign, replace(tuned, base=None), teacher]))) == (
        "no: 2 points below its base big"
    )


def test_without_a_second_asking_the_log_is_the_ceiling_and_the_verdict_says_so() -> None:
    table = compare(rows(300), [system("student", "candidate", right(300, range(60)))])
    assert (table.ceiling_measured, table.differences) == (False, ())
    assert only(table).reason == (
        "20 points below the teacher's log (the teacher was not asked again), and the margin is 3 points"
    )
    assert compare(rows(300), [system("s", "candidate", right(300))]).non_inferiority["s"].passes


def test_ties_on_every_record_are_no_evidence_against() -> None:
    scores = right(400, range(40))
    table = compare(rows(400), [system("teacher", "ceiling", scores), system("student", "candidate", scores)])
    assert table.differences[0].p_value == 1.0
    assert only(table).decision == "promote"


def test_a_teacher_that_never_agrees_with_itself_is_no_measure() -> None:
    verdict = judged(400, range(360), range(360))
    assert str(verdict) == "not yet: the teacher agrees with its own log on 10% of the records only"


def test_one_conversation_cannot_promote_anybody() -> None:
    table = compare(
        rows(400, 400), [system("teacher", "ceiling", right(400)), system("student", "candidate", right(400))]
    )
    assert str(only(table)) == "not yet: all records belong to one conversation"


def test_grades_that_are_all_a_little_lower_get_a_verdict_too() -> None:
    table = compare(
        rows(12),
        [
            system("teacher", "ceiling", [0.9, 0.8, 0.7] * 4),
            system("student", "candidate", [0.89, 0.78, 0.5] * 4),
        ],
    )
    verdict = only(table)
    assert verdict.decision == "not yet"
    assert verdict.more_records is not None
