"""Answers in JSON mode, compared as JSON by the request's schema."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.answers import TIMED_OUT, row, sample
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.metrics import build_metric
from flywheel.evaluation.metrics.base import BadMetric
from flywheel.evaluation.sample import Sample, Verdict

SCHEMA = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "urgent": {"type": "boolean", "default": False},
        "who": {"$ref": "#/$defs/person"},
    },
    "required": ["total"],
    "$defs": {"person": {"type": "object", "properties": {"age": {"type": "integer", "default": 0}}}},
}
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "order", "schema": SCHEMA}}
PARAMS = {
    "reference": "{{ item.response.choices[0].message.content }}",
    "response_format": "{{ item.request.response_format | default(none) | tojson }}",
}
TRUTH = '{"total": 5, "tags": ["a", "b"], "who": {"name": "Zoë"}}'


def judged(answer: Sample | str, truth: str = TRUTH, form: Any = BY_SCHEMA, **params: Any) -> Verdict:
    config = {"type": "json-match", "params": PARAMS | params}
    metric = build_metric(config, "m", lambda model, where: pytest.fail("no judge"))
    item = row(text=truth)
    if form is not None:
        item["request"]["response_format"] = form
    return asyncio.run(metric.score(item, sample(text=answer) if isinstance(answer, str) else answer))


@pytest.mark.parametrize(
    "answer",
    [
        TRUTH,
        '{"who": {"name": "Zoe\u0308", "age": 0},\n "tags": ["b", "a"], "total": 5.0, "urgent": false}',
    ],
)
def test_the_same_object_however_it_is_written(answer: str) -> None:
    verdict = judged(answer)

    assert verdict.scores == {"json_match": 1.0, "json_valid": 1.0}
    assert (verdict.failure, verdict.classified) == (None, True)


@pytest.mark.parametrize(
    ("answer", "failure", "place"),
    [
        ('{"total": 6, "tags": ["a", "b"], "who": {"name": "Zoë"}}', Failure.WRONG_VALUE, "total"),
        ('{"total": "5", "tags": ["a", "b"], "who": {"name": "Zoë"}}', Failure.WRONG_TYPE, "total"),
        ('{"tags": ["a", "b"], "who": {"name": "Zoë"}}', Failure.MISSING_ARGUMENT, "total"),
        (
            '{"total": 5, "tags": ["a", "b"], "who": {"name": "Zoë", "x": 1}}',
            Failure.UNKNOWN_ARGUMENT,
            "who.x",
        ),
        ("[5]", Failure.WRONG_TYPE, "the whole"),
    ],
)
def test_another_object_has_a_class_and_a_place(answer: str, failure: Failure, place: str) -> None:
    verdict = judged(answer)

    assert verdict.scores == {"json_match": 0.0, "json_valid": 1.0}
    assert verdict.failure is failure
    assert (verdict.note or "").startswith(place)


@pytest.mark.parametrize(
    "answer", ["The total is 5.", "", f"```json\n{TRUTH}\n```", TRUTH[:-1], '{"total": NaN}', "[" * 100_000]
)
def test_what_no_parser_takes_is_invalid_json(answer: str) -> None:
    verdict = judged(answer)

    assert verdict.scores == {"json_match": 0.0, "json_valid": 0.0}
    assert verdict.failure is Failure.INVALID_JSON


def test_an_answer_that_was_cut_off_or_never_came_is_wrong_with_that_cause() -> None:
    assert judged(sample(text=TRUTH[:9], finish="length")).failure is Failure.TRUNCATED
    assert judged(TIMED_OUT).scores == {"json_match": 0.0, "json_valid": 0.0}


def test_requests_that_ask_for_no_json_have_no_value() -> None:
    for form in (None, {"type": "text"}, "json"):
        verdict = judged("words", "words", form)
        assert set(verdict.scores.values()) == {None}
        assert (verdict.bad_reference, verdict.classified) == (None, False)


def test_json_mode_without_a_schema_compares_plainly() -> None:
    form = {"type": "json_object"}
    assert judged('{"a": [1, 2.0]}', '{"a": [1, 2]}', form).scores["json_match"] == 1.0
    assert judged('{"a": [2, 1]}', '{"a": [1, 2]}', form).scores["json_match"] == 0.0


def test_a_teacher_who_wrote_no_json_counts_for_nothing() -> None:
    assert judged(TRUTH, "Sorry, no.").bad_reference == "the expected answer is no JSON"


def test_rules_of_single_members_hold_here_too() -> None:
    rules = {"arguments": {"who.name": "normalized", "total": {"mode": "numeric", "tolerance": 0.5}}}
    answer = '{"total": 5.3, "tags": ["a", "b"], "who": {"name": "ZOË"}}'
    assert judged(answer, rules=rules).scores["json_match"] == 1.0
    assert judged(answer).scores["json_match"] == 0.0
    with pytest.raises(BadMetric, match=r"m\.params\.rules\.strings"):
        judged(answer, rules={"strings": "loose"})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abtotal", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=JSON, other=JSON)
def test_any_json_equals_itself_and_compares_with_any(value: Any, other: Any) -> None:
    assert judged(json.dumps(value), json.dumps(value)).scores["json_match"] == 1.0
    assert judged(json.dumps(other), json.dumps(value)).scores["json_match"] in (0.0, 1.0)
