"""Rows become examples: what is learned, what is left out and told, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flywheel.training.errors import BadRow
from flywheel.training.rows import batched_order, pack, read_examples
from tiny_model import TOOLS, tool_row, write_rows


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def test_only_the_answer_is_learned(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.jsonl", [tool_row(1)])
    (example,) = read_examples([path], tokenizer, 400).kept
    learned = tokenizer.decode([label for label in example["labels"] if label != -100])
    assert (
        learned == '<tool_call>{"name": "start_return", "arguments": {"order_id": "A1"}}</tool_call><|end|>'
    )
    assert len(example["labels"]) == len(example["input_ids"])


def test_every_assistant_turn_is_learned(tokenizer: Any, tmp_path: Path) -> None:
    turns = [("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "goodbye")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns], "tools": TOOLS}
    (example,) = read_examples([write_rows(tmp_path / "t.jsonl", [row])], tokenizer, 400).kept
    assert (
        tokenizer.decode([label for label in example["labels"] if label != -100])
        == "hello<|end|>goodbye<|end|>"
    )


def test_a_prompt_and_its_completion_are_a_chat_of_one_turn(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.jsonl", [{"prompt": "Where?", "completion": "Here."}])
    (example,) = read_examples([path], tokenizer, 400).kept
    assert tokenizer.decode(example["input_ids"]) == "<|user|>Where?<|end|><|assistant|>Here.<|end|>"


def test_rows_that_are_too_long_or_teach_nothing_are_left_out_and_counted(
    tokenizer: Any, tmp_path: Path
) -> None:
    long = tool_row(2)
    long["messages"][1]["content"] = "where " * 500
    silent = {"messages": [{"role": "user", "content": "hi"}]}
    found = read_examples([write_rows(tmp_path / "t.jsonl", [tool_row(1), long, silent])], tokenizer, 400)
    assert len(found.kept) == 1
    assert dict(found.left_out) == {
        "longer than max_seq_length (400 tokens)": 1,
        "no assistant turn to learn": 1,
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"messages": [', "not JSON"),
        ("[1, 2]", "a row is a JSON object, not list"),
        ('{"text": "x"}', "a row is"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(
    tokenizer: Any, tmp_path: Path, line: str, problem: str
) -> None:
    path = write_rows(tmp_path / "train.jsonl", [tool_row(1)])
    path.write_text(path.read_text("utf-8") + "\n" + line + "\n", "utf-8")
    with pytest.raises(BadRow, match=rf"train.jsonl:3: {problem}"):
        read_examples([path], tokenizer, 400)


def test_batches_hold_rows_of_like_length_and_the_order_is_the_seeds() -> None:
    lengths = [n % 50 + 1 for n in range(103)]
    order = batched_order(lengths, 4, seed=1)
    assert sorted(order) == list(range(103))
    assert order == batched_order(lengths, 4, seed=1) != batched_order(lengths, 4, seed=2)
    batches = [[lengths[row] for row in order[i : i + 4]] for i in range(0, 100, 4)]
    assert sum(max(batch) * 4 - sum(batch) for batch in batches) < 0.2 * sum(lengths)


def test_packs_are_full_and_keep_their_rows_apart() -> None:
    rows = [{"input_ids": [n] * n, "labels": [n] * n} for n in (5, 3, 4, 2)]
    packs = pack(rows, 8)
    assert [p["input_ids"] for p in packs] == [[5] * 5 + [3] * 3, [4] * 4 + [2] * 2]
    assert packs[0]["position_ids"] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert packs[0]["labels"] == [-100, 5, 5, 5, 5, -100, 3, 3]
