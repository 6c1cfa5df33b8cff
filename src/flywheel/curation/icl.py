"""Evaluation rows with in-context examples: what a student can do with a few examples and no training.

Examples are real messages (user, assistant with its call, the call's result, …) in front of the request's
own, after its system message. They come from the pool of the train part, never from the holdout. For every
request they are chosen anew among those whose calls it offers: drawn by the seed, uniformly over the sets of
tools that the answers call (no call is one of them), or by likeness of the last user message. A last call has
no result in the log where the conversation ends with it; it gets a neutral one, because servers refuse a call
without.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.config import IclConfig
from flywheel.curation.rows import Row, answer_of, clean_messages, eval_rows
from flywheel.curation.similarity import NAME, Embedder, EmbeddingIndex, Index, TextIndex, by_relevance
from flywheel.models import Record

CountTokens = Callable[[list[Row], list[Row] | None], int]
"""Tokens of a prompt with these messages and tools, by the candidate's own tokenizer."""

_NEUTRAL_RESULT = '{"status": "ok"}'
_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class _Example:
    name: str
    messages: tuple[Row, ...]
    asked: str
    """Its last user message."""
    called: frozenset[str]
    tokens: int
    """Roughly: what the example takes on its own."""


def icl_rows(
    eval_records: Iterable[Record],
    pool: Sequence[Record],
    *,
    icl: IclConfig,
    count_tokens: CountTokens,
    seed: int | None = None,
    parse_function_arguments: bool = True,
    embedder: Embedder | None = None,
) -> Iterator[Row]:
    """The rows of `eval_rows`, with examples in `request.messages` and their names in `icl.examples`.

    As many as `icl.max_examples` allows and as fit into `max_context_length - reserved_tokens`; where fewer
    than `min_examples` do, `icl.enough` is false. The request itself is never shortened. Likeness is that of
    `embedder`, and of character n-grams without one; `icl.selection` names which.
    """
    room = icl.max_context_length - icl.reserved_tokens
    examples = [e for e in (_example(record, count_tokens) for record in pool) if e.tokens <= room]
    rows = list(eval_rows(eval_records, parse_function_arguments=parse_function_arguments))
    choose = (
        _Likeness(examples, icl, embedder, [_asked(row["request"]["messages"]) for row in rows])
        if icl.example_selection == "semantic_similarity"
        else _Draw(examples, seed)
    )
    for row in rows:
        request = row["request"]
        tools = request.get("tools")
        offered = {tool["function"]["name"] for tool in tools or ()}
        own: list[Row] = request["messages"]
        free = room - count_tokens(own, tools)
        chosen: list[_Example] = []
        for example in choose.best(row["name"], own, offered):
            if len(chosen) == icl.max_examples:
                break
            if example.tokens <= free:
                chosen.append(example)
                free -= example.tokens
        messages = _with_examples(own, chosen)
        while chosen and count_tokens(messages, tools) > room:  # Parts may take less than the whole.
            chosen.pop()
            messages = _with_examples(own, chosen)
        request["messages"] = messages
        row["icl"] = {
            "examples": [example.name for example in chosen],
            "enough": len(chosen) >= icl.min_examples,
            "selection": choose.name,
        }
        yield row


def _example(record: Record, count_tokens: CountTokens) -> _Example:
    cleaned = clean_messages([*record.request["messages"], answer_of(record.response)], "text")
    messages = [message for message in cleaned if message["role"] not in _SYSTEM]
    calls = messages[-1].get("tool_calls", ())
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": _NEUTRAL_RESULT} for call in calls]
    return _Example(
        name=record.name,
        messages=tuple(messages),
        asked=_asked(messages),
        called=frozenset(call["function"]["name"] for call in calls),
        tokens=count_tokens(messages, None),
    )


class _Draw:
    """Examples in random order, one from every set of calls before the second one of any."""

    name = "uniform_distribution"

    def __init__(self, examples: Sequence[_Example], seed: int | None) -> None:
        self._seed = seed
        self._by_calls: defaultdict[frozenset[str], list[_Example]] = defaultdict(list)
        for example in examples:
            self._by_calls[example.called].append(example)

    def best(self, row: str, own: Sequence[Row], offered: set[str]) -> Iterator[_Example]:
        choice = random.Random(f"{self._seed}/{row}")  # noqa: S311  A draw that can be repeated.
        usable = {called: examples for called, examples in self._by_calls.items() if called <= offered}
        left = {called: choice.sample(examples, len(examples)) for called, examples in usable.items()}
        while left:
            for called in choice.sample(sorted(left, key=sorted), len(left)):
                yield left[called].pop()
                if not left[called]:
                    del left[called]


class _Likeness:
    """Examples by the likeness of what was asked, without near repeats."""

    def __init__(
        self, examples: Sequence[_Example], icl: IclConfig, embedder: Embedder | None, queries: Sequence[str]
    ) -> None:
        self._examples = examples
        self._ratio = icl.similarity_config.relevance_ratio
        texts = [example.asked for example in examples]
        self._index: Index = EmbeddingIndex(embedder, texts, queries) if embedder else TextIndex(texts)
        self.name = f"semantic_similarity: {embedder.name if embedder else NAME}"

    def best(self, row: str, own: Sequence[Row], offered: set[str]) -> Iterator[_Example]:
        numbers = by_relevance(self._index, _asked(own), self._ratio)
        return (self._examples[n] for n in numbers if self._examples[n].called <= offered)


def _asked(messages: Sequence[Row]) -> str:
    content = next((m.get("content") for m in reversed(messages) if m["role"] == "user"), "")
    return content if isinstance(content, str) else json.dumps(content)


def _with_examples(own: list[Row], examples: Sequence[_Example]) -> list[Row]:
    """System messages, then the examples, then the rest of the request; every call has an id of its own."""
    start = next((i for i, message in enumerate(own) if message["role"] not in _SYSTEM), len(own))
    messages = list(own[:start])
    count = 0
    for example in examples:
        renamed: dict[str, str] = {}
        for message in example.messages:
            turn: dict[str, Any] = dict(message)
            if "tool_calls" in turn:
                calls = []
                for call in turn["tool_calls"]:
                    count += 1
                    renamed[call["id"]] = f"exam{count:05}"  # Nine characters: what Mistral's template wants.
                    calls.append({**call, "id": renamed[call["id"]]})
                turn["tool_calls"] = calls
            if "tool_call_id" in turn:
                turn["tool_call_id"] = renamed.get(turn["tool_call_id"], turn["tool_call_id"])
            messages.append(turn)
    return messages + own[start:]
