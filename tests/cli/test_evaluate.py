"""`flywheel evaluate`: files in, scores and an exit code out."""

from __future__ import annotations

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.answers import call, row
from flywheel.cli import app
from flywheel.curation.reasons import Reason
from flywheel.errors import UserError
from flywheel.evaluation.faults import request_key

RIGHT = call("book", {"city": "Paris"})
TOOLS = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]


def write(path: Path, rows: list[Any]) -> Path:
    text = "".join(json.dumps(each) + "\n" for each in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


def reference(number: int, **more: Any) -> dict[str, Any]:
    record = copy.deepcopy(row(RIGHT))
    record["response"]["id"] = f"r{number}"
    return {**record, "request": {"messages": [], "tools": TOOLS}, **more}


def answer(number: int, *calls: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "message": {"role": "assistant", "tool_calls": list(calls)}}


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_scores_failures_and_what_was_left_out(tmp_path: Path) -> None:
    bad = reference(4)
    bad["response"]["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "{no"
    references = write(tmp_path / "references.jsonl.gz", [*(reference(n) for n in (1, 2, 3)), bad])
    answers = write(
        tmp_path / "answers.jsonl", [answer(1, RIGHT), answer(2, call("book", {"city": "Rome"})), answer(9)]
    )
    done = run(answers, references, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["n"] == 3
    assert found["scores"]["function_name"]["value"] == pytest.approx(2 / 3)
    assert found["scores"]["function_name_and_args_accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["scores"]["nemo_function_name_and_args_accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["failures"] == {"wrong_value": 1, "error": 1}
    assert (found["missing_answers"], found["unused_answers"]) == (1, 1)
    assert list(found["bad_references"].values()) == [1]
    assert "wrong_value" in done.output


def test_json_on_stdout_is_alone_there(tmp_path: Path) -> None:
    references, answers = (
        write(tmp_path / "r.jsonl", [reference(1)]),
        write(tmp_path / "a.jsonl", [answer(1)]),
    )
    done = run(answers, references, "--json", "-")
    assert json.loads(done.stdout)["n"] == 1
    assert "function_name" in done.stderr


def test_a_cutoff_decides_the_exit_code(tmp_path: Path) -> None:
    references = write(tmp_path / "r.jsonl", [reference(1), reference(2)])
    answers = write(tmp_path / "a.jsonl", [answer(1, RIGHT), answer(2)])
    assert run(answers, references, "--cutoff", "function_name=0.5").exit_code == 0
    missed = run(answers, references, "--cutoff", "function_name=0.6")
    assert isinstance(missed.exception, UserError)
    assert "function_name is 0.5000, below 0.6" in str(missed.exception)


def test_what_else_is_right_counts(tmp_path: Path) -> None:
    more = {"acceptable": [{"name": "book", "arguments": {"city": {"any_of": ["Rome", "Roma"]}}}]}
    references = write(tmp_path / "r.jsonl", [reference(1, metadata=more)])
    answers = write(tmp_path / "a.jsonl", [answer(1, call("book", {"city": "Roma"}))])
    assert run(answers, references, "--cutoff", "function_name_and_args_accuracy=1").exit_code == 0


def asked(number: int, words: str, *calls: Any, **more: Any) -> dict[str, Any]:
    record = reference(number, **more)
    record["response"]["choices"][0]["message"]["tool_calls"] = list(calls)
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "book", "parameters": city}}]
    return record | {"request": {"messages": [{"role": "user", "content": words}], "tools": tools}}


def test_references_that_cannot_be_right_are_left_out_in_the_words_of_curation(tmp_path: Path) -> None:
    lines = [
        asked(1, "to Paris", RIGHT),
        asked(2, "anywhere", call("book", {"city": 7})),
        asked(3, "anywhere else", call("fly", {})),
        asked(4, "there", RIGHT),
        asked(5, "there", call("book", {"city": "Rome"})),
        asked(6, "there, please", RIGHT),
        asked(7, "there, please", call("book", {"city": " Paris "})),
        asked(8, "nowhere", call("book", "{city")),
    ]
    answers = write(tmp_path / "a.jsonl", [answer(number, RIGHT) for number in range(1, 8)])
    done = run(answers, write(tmp_path / "r.jsonl", lines), "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["n"] == 3
    assert found["scores"]["function_name_and_args_accuracy"]["value"] == 1
    other, policy = Reason.CONFLICTING_ANSWER.meaning.split(", ")
    assert policy == "which won by the policy", "here there is none, so both are left out"
    assert found["bad_references"] == {
        other: 2,
        Reason.SCHEMA_VIOLATION.meaning: 1,
        Reason.TOOL_NOT_OFFERED.meaning: 1,
        Reason.ARGUMENTS_NOT_JSON.meaning: 1,
    }


def test_an_answer_that_people_accept_is_no_conflict(tmp_path: Path) -> None:
    rome = call("book", {"city": "Rome"})
    both = {"acceptable": [{"name": "book", "arguments": {"city": {"any_of": ["Rome", "Paris"]}}}]}
    lines = [asked(1, "there", RIGHT, metadata=both), asked(2, "there", rome, metadata=both)]
    references = write(tmp_path / "r.jsonl", lines)
    answers = write(tmp_path / "a.jsonl", [answer(1, rome), answer(2, RIGHT)])
    assert run(answers, references, "--json", tmp_path / "out.json").exit_code == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["n"], found["bad_references"]) == (2, {})


def test_the_same_request_with_other_call_ids_and_tools_in_another_order() -> None:
    def request(id_: str, *tools: str) -> dict[str, Any]:
        made = {"role": "assistant", "tool_calls": [{"id": id_, **call("book", {})}]}
        told = {"role": "tool", "tool_call_id": id_, "content": "booked"}
        return {"messages": [{"role": "user", "content": "go"}, made, told], "tools": [*tools]}

    assert request_key(request("a", "x", "y")) == request_key(request("b", "y", "x"))
    assert request_key(request("a", "x")) != request_key(request("a", "y"))
    assert request_key({"messages": [], "tools": []}) is None


def test_conversations_widen_the_intervals(tmp_path: Path) -> None:
    lines = [
        asked(n, f"to {n}", RIGHT, metadata={"conversation_id": f"c{n // 5}"} if n < 40 else {})
        for n in range(60)
    ]
    rome = call("book", {"city": "Rome"})
    given = [answer(n, RIGHT if n // 5 % 2 else rome) for n in range(60)]
    references, answers = write(tmp_path / "r.jsonl", lines), write(tmp_path / "a.jsonl", given)
    assert run(answers, references, "--json", tmp_path / "out.json").exit_code == 0
    found = json.loads((tmp_path / "out.json").read_text())
    interval = found["scores"]["function_name_and_args_accuracy"]["stats"]["confidence_interval"]
    assert interval["clusters"] == 8 + 20
    assert interval["design_effect"] > 2


def test_answers_without_ids_go_by_their_order(tmp_path: Path) -> None:
    references = write(tmp_path / "r.jsonl", [reference(1), reference(2)])
    answers = write(tmp_path / "a.jsonl", [{"tool_calls": [RIGHT]}, {"tool_calls": [RIGHT]}])
    assert run(answers, references, "--cutoff", "function_name=1").exit_code == 0


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([{"tool_calls": []}], "the answers have no id, and there are 1 for 2 references"),
        ([answer(1), {"tool_calls": []}], "1 of 2 answers have no id"),
        ([answer(1), answer(1)], "several answers with the id 'r1'"),
        (
            [answer(7)],
            "no answer belongs to a reference; the first answer's id is 'r7', the first reference's 'r1'",
        ),
        ([7], "line 1: a int where an object belongs"),
    ],
)
def test_answers_that_cannot_be_scored_say_why(tmp_path: Path, answers: list[Any], problem: str) -> None:
    references = write(tmp_path / "r.jsonl", [reference(1), reference(2)])
    done = run(write(tmp_path / "a.jsonl", answers), references)
    assert isinstance(done.exception, UserError)
    assert problem in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give ANSWERS and REFERENCES, or --cases FILE"),
        (["nowhere.jsonl", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["a", "b", "--cutoff", "x"], "--cutoff 'x': it has no =; write function_name=0.9"),
        (["a", "b", "--cutoff", "x=y"], "'y' is no number"),
        (["a", "b", "--cases", "c"], "not both"),
    ],
)
def test_a_wrong_use_says_what_would_be_right(arguments: list[str], problem: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, UserError)
    assert problem in str(done.exception)


def test_cases_are_judged_and_written(tmp_path: Path) -> None:
    case = {
        "id": "c",
        "request": {"tools": TOOLS},
        "expect": "calls",
        "acceptable": [{"name": "book", "arguments": {"city": {"any_of": ["Paris"]}}}],
        "candidates": [
            {
                "kind": "accepted",
                "tool_calls": [{"name": "book", "arguments": {"city": "Paris"}}],
                "valid": True,
            },
            {"kind": "case", "tool_calls": [{"name": "book", "arguments": {"city": "PARIS"}}], "valid": True},
        ],
    }
    path = write(tmp_path / "cases.jsonl.gz", [case])
    assert run("--cases", path, "--json", tmp_path / "strict.json").exit_code == 0
    assert run("--cases", path, "--strings", "normalized", "--json", tmp_path / "loose.json").exit_code == 0
    strict, loose = (json.loads((tmp_path / n).read_text()) for n in ("strict.json", "loose.json"))
    assert strict == {
        "judged": 2,
        "agree": 1,
        "by_kind": {"accepted": {"judged": 1, "agree": 1}, "case": {"judged": 1, "agree": 0}},
    }
    assert loose["agree"] == 2


def labelled(tmp_path: Path, labels: list[Any], scores: dict[int, Any] | None = None) -> Any:
    """Four answers, the last one wrong and one reference without any; the command's run."""
    references = write(tmp_path / "r.jsonl", [reference(n) for n in (1, 2, 3, 4, 5)])
    given = [answer(1, RIGHT), answer(2, RIGHT), answer(3, RIGHT), answer(4, call("book", {"city": "Rome"}))]
    for number, line in enumerate(given, 1):
        line["scores"] = (scores or {}).get(number)
    answers = write(tmp_path / "a.jsonl", given)
    file = write(tmp_path / "labels.jsonl", labels)
    return run(answers, references, "--labels", file, "--json", tmp_path / "out.json")


def test_scores_are_held_against_peoples_labels(tmp_path: Path) -> None:
    labels = [{"id": f"r{n}", "right": right} for n, right in [(1, True), (2, "right"), (3, 0), (4, False)]]
    judge = {n: {"correctness": {"rating": n % 2, "similarity": n}} for n in (1, 2, 3, 4)}

    done = labelled(tmp_path, [*labels, {"id": "r5", "right": True}, {"id": "r9", "right": True}], judge)

    assert done.exit_code == 0, done.output
    people = json.loads((tmp_path / "out.json").read_text())["people"]
    assert (people["labels"], people["used"]) == (6, 4)
    assert list(people["scores"]) == [
        "function_name_and_args_accuracy",
        "nemo_function_name_and_args_accuracy",
        "correctness.rating",
    ]
    ours, judged = people["scores"]["function_name_and_args_accuracy"], people["scores"]["correctness.rating"]
    assert (ours["n"], ours["accuracy"], ours["kappa"]) == (4, 0.75, pytest.approx(0.5))
    assert (judged["accuracy"], judged["kappa"]) == (0.5, pytest.approx(0.0))
    assert "agreement with people" in done.output


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([{"id": "r1"}], r"label 1 \('r1'\): right is None"),
        ([{"right": True}], "label 1 has no id"),
        ([{"id": "r1", "right": True}, {"id": "r1", "right": False}], "two different labels for 'r1'"),
        ([{"id": "other", "right": True}], "no label belongs to an answer; the first answer's id is 'r1'"),
        ([], "no label belongs to an answer"),
    ],
)
def test_labels_that_are_none_are_named(tmp_path: Path, labels: list[Any], message: str) -> None:
    done = labelled(tmp_path, labels)

    assert isinstance(done.exception, UserError)
    assert re.search(message, str(done.exception))
