"""Training rows: JSON lines in, token ids and labels out, with a count of what was left out and why.

Everything is tokenised once, at the start; a row is a few kilobytes, and the epochs after the first cost
nothing.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from flywheel.prompts import PromptError, training_example
from flywheel.prompts.render import IGNORED, ChatTokenizer
from flywheel.training.errors import BadRow

SHAPE = 'a row is {"messages": [...], "tools": [...]?} or {"prompt": "...", "completion": "..."}'


class Example(TypedDict, total=False):
    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]
    """Only in packs, where it starts again at 0 with each row."""


@dataclass
class Examples:
    kept: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason to number of rows."""

    @property
    def tokens(self) -> int:
        return sum(len(example["input_ids"]) for example in self.kept)


def read_examples(paths: Sequence[Path], tokenizer: ChatTokenizer, max_length: int) -> Examples:
    """The rows of all files as examples of at most `max_length` tokens, in the order of the files.

    Raises BadRow for a line that is not JSON or not a row, and PromptError for a tokenizer without a chat
    template.
    """
    found = Examples()
    for path, number, row in _rows(paths):
        messages = _messages(row)
        if messages is None:
            raise BadRow(
                path, number, 'a row is {"messages": [...], "tools": [...]?} or {"prompt", "completion"}'
            )
        if not any(message.get("role") == "assistant" for message in messages):
            found.left_out["no assistant turn to learn"] += 1
            continue
        try:
            ids, labels = training_example(tokenizer, messages, row.get("tools") or None)
        except PromptError as error:
            if not tokenizer.chat_template:
                raise
            found.left_out[str(error)] += 1
            continue
        if len(ids) > max_length:
            found.left_out[f"longer than max_seq_length ({max_length} tokens)"] += 1
        else:
            found.kept.append({"input_ids": ids, "labels": labels})
    return found


def pack(examples: Sequence[Example], length: int) -> list[Example]:
    """Join rows into sequences of at most `length` tokens, longest first, each into the first that has room.

    A row's first label is dropped: it would be predicted from the row before. Attention is kept apart by the
    position ids.
    """
    packs: list[Example] = []
    for example in sorted(examples, key=lambda e: -len(e["input_ids"])):
        ids = example["input_ids"]
        room = next((p for p in packs if len(p["input_ids"]) + len(ids) <= length), None)
        if room is None:
            room = {"input_ids": [], "labels": [], "position_ids": []}
            packs.append(room)
        room["input_ids"] += ids
        room["labels"] += [IGNORED, *example["labels"][1:]]
        room["position_ids"] += range(len(ids))
    return packs


def batched_order(lengths: Sequence[int], batch_size: int, seed: int) -> list[int]:
    """A shuffled order in which batches hold rows of like length.

    Rows are shuffled, cut into stretches of eight batches, sorted within, and the full batches shuffled
    again; a short batch stays last, so that cutting the order into `batch_size` pieces gives back the same
    batches.
    """
    draw = random.Random(seed)  # noqa: S311 - an order, not a secret
    rows = list(range(len(lengths)))
    draw.shuffle(rows)
    stretch = 8 * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(rows), stretch):
        part = sorted(rows[start : start + stretch], key=lambda row: lengths[row])
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    full, rest = [b for b in batches if len(b) == batch_size], [b for b in batches if len(b) < batch_size]
    draw.shuffle(full)
    return [row for batch in (*full, *rest) for row in batch]


def _rows(paths: Sequence[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    for path in paths:
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield path, number, _row(path, number, line)
        except OSError as error:
            raise BadRow(path, 0, error.strerror or "cannot be read") from error


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRow(path, number, f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadRow(path, number, f"a row is a JSON object, not {type(row).__name__}")
    return row


def _messages(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    messages = row.get("messages")
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return messages
    if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
        # Students are asked through chat completions, so they learn plain pairs as a chat of one turn.
        return [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        ]
    return None
