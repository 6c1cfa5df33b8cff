"""A judge held against the programmatic score and against people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flywheel.evaluation.agreement import agreement, judge_agreement, label_of
from flywheel.evaluation.metrics import build_metric

TRUTH = {"tool_calls_ground_truth": "{{ [] }}"}
BY_RULE = build_metric({"type": "tool-calling", "params": TRUTH}, "m", lambda model, where: pytest.fail("no"))
STAND_IN = build_metric(
    {"type": "text-matcher", "params": TRUTH}, "m", lambda model, where: pytest.fail("no")
)
EXACT = "function_name_and_args_accuracy"


class Judge:
    type, version, score_names = "llm-judge", "1", ("rating",)

    def __init__(self, right_from: float | None = 1.0) -> None:
        self._right_from = right_from

    def right_from(self, score: str, values: Sequence[float]) -> float | None:
        return self._right_from

    async def score(self, item: Any, sample: Any) -> Any:
        raise AssertionError("the scores are there")


def record(rating: float | None, exact: float | None, **changes: Any) -> dict[str, Any]:
    scores = {"accuracy": {EXACT: exact}, "judge": {"rating": rating}}
    usual = {"scores": scores, "response": {}, "request": {}, "item": {}, "bad_reference": None}
    return usual | changes


def test_accuracy_and_kappa_with_the_programmatic_score() -> None:
    """The example of Cohen (1960), 200 of it: 0.7 agreed, 0.5 by chance."""
    pairs = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    records = [record(judged, exact) for judged, exact in pairs]

    (found,) = judge_agreement(records, {"accuracy": BY_RULE, "judge": Judge()}).items()

    assert found[0] == "judge.rating"
    about = found[1]["with_score"]
    assert about["score"] == f"accuracy.{EXACT}"
    assert (about["n"], about["accuracy"], about["kappa"]) == (50, 0.7, pytest.approx(0.4))
    assert about["low"] < 0.4 < about["high"]
    assert [about[cell] for cell in ("both", "only_first", "only_second", "neither")] == [20, 5, 10, 15]
    assert "with_people" not in found[1]


def test_what_has_no_verdict_or_no_answer_is_no_agreement() -> None:
    records = [
        record(1.0, 1.0),
        record(0.0, 0.0),
        record(None, 1.0),  # The judge talked nonsense.
        record(1.0, None),
        record(0.0, 0.0, response=None),  # Nobody answered, so nobody judged.
        record(None, None, bad_reference="no call"),
    ]

    found = judge_agreement(records, {"accuracy": BY_RULE, "judge": Judge()})["judge.rating"]

    assert found["unscored"] == 1
    assert found["with_score"]["n"] == 2
    assert found["with_score"]["accuracy"] == 1.0


def test_a_graded_score_is_right_from_its_threshold_on() -> None:
    records = [record(10.0, 1.0), record(8.0, 1.0), record(7.0, 0.0), record(9.0, 0.0)]

    found = judge_agreement(records, {"accuracy": BY_RULE, "judge": Judge(8.0)})["judge.rating"]

    assert found["right_from"] == 8.0
    assert found["with_score"]["accuracy"] == 0.75
    assert judge_agreement(records, {"accuracy": BY_RULE, "judge": Judge(None)}) == {}


def test_the_stand_in_is_measured_as_the_judge_is() -> None:
    scores = {"accuracy": {EXACT: 1.0}, "correctness": {"rating": 0.0, "similarity": 0.4}}
    records = [record(None, None, scores=scores)] * 3

    found = judge_agreement(records, {"accuracy": BY_RULE, "correctness": STAND_IN})

    assert list(found) == ["correctness.rating"]
    assert (found["correctness.rating"]["with_score"]["accuracy"]) == 0.0


def test_people_labelled_the_rows_own_answers() -> None:
    def labelled(rating: float, label: Any, **changes: Any) -> dict[str, Any]:
        return record(rating, None, item={"metadata": {"label": label}}, request=None, **changes)

    records = [labelled(1.0, "right"), labelled(0.0, False), labelled(1.0, 0), labelled(1.0, "unsure")]

    found = judge_agreement(records, {"judge": Judge()})["judge.rating"]

    assert (found["with_people"]["n"], found["with_people"]["accuracy"]) == (3, pytest.approx(2 / 3))
    asked = [record(1.0, None, item={"metadata": {"label": True}})]
    assert judge_agreement(asked, {"judge": Judge()}) == {}, "the label is not about a model's new answer"


def test_one_and_the_same_label_has_no_kappa() -> None:
    found = agreement([(True, True)] * 4)

    assert (found["accuracy"], found["kappa"]) == (1.0, None)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *((True, True), (1, True), ("Right ", True), ("1", True)),
        *((False, False), (0, False), ("wrong", False), (None, None), ("maybe", None), (2, None), ([], None)),
    ],
)
def test_labels_are_read_or_left(value: Any, label: bool | None) -> None:
    assert label_of(value) is label
