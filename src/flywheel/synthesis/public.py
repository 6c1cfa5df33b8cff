# ruff: noqa: E501  Tables of phrases are easier to read with a phrase book's line length.
"""Human utterances from public sets (SNIPS, CC0; CLINC150, CC BY 3.0), in schemas of our own.

Kept out, because the project measures itself on them: the workloads `snips_books` and `clinc_banking`, and every
utterance that occurs in one of them, wherever else it occurs.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from flywheel.synthesis import lexicon as lex

HELD_OUT = frozenset({"snips_books", "clinc_banking"})


@dataclass(frozen=True)
class Utterance:
    text: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Spans:
    """SNIPS: utterances whose values are spans of the text, and what each function looks like."""

    utterances: tuple[Utterance, ...]
    functions: dict[str, dict[str, Any]]
    values: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Intents:
    """CLINC150: utterances by intent."""

    by_label: dict[str, tuple[str, ...]]


def load_spans(folder: Path) -> Spans:
    records = list(_records(folder / "snips.jsonl.gz"))
    banned = {user for workload, user, _, _ in records if workload in HELD_OUT}
    held = {
        tool["function"]["name"]
        for workload, _, tools, _ in records
        if workload in HELD_OUT
        for tool in tools
    }
    functions: dict[str, dict[str, Any]] = {}
    utterances: dict[str, Utterance] = {}
    values: dict[str, set[str]] = defaultdict(set)
    for workload, user, tools, call in records:
        if workload in HELD_OUT or user in banned:
            continue
        for tool in tools:
            if tool["function"]["name"] not in held:
                functions[tool["function"]["name"]] = tool["function"]
        if call and call["name"] in functions:
            arguments = json.loads(call["arguments"])
            utterances[user] = Utterance(user, call["name"], arguments)
            for key, value in arguments.items():
                if isinstance(value, str):
                    values[key].add(value)
    return Spans(
        tuple(utterances.values()), functions, {key: tuple(sorted(vs)) for key, vs in sorted(values.items())}
    )


def load_intents(folder: Path) -> Intents:
    records = list(_records(folder / "clinc150.jsonl.gz"))
    banned = {user for workload, user, _, _ in records if workload in HELD_OUT}
    by_label: dict[str, set[str]] = defaultdict(set)
    for workload, user, _, call in records:
        if workload not in HELD_OUT and user not in banned and call:
            by_label[json.loads(call["arguments"])["intent"]].add(user)
    return Intents({label: tuple(sorted(texts)) for label, texts in sorted(by_label.items())})


def replace_spans(rng: Random, spans: Spans, utterance: Utterance) -> tuple[str, dict[str, Any]]:
    """The same utterance with other values in its spans, so that what was copied cannot be known by heart."""
    text, arguments = utterance.text, dict(utterance.arguments)
    for key, value in utterance.arguments.items():
        if not isinstance(value, str) or text.count(value) != 1 or rng.random() < 0.35:
            continue
        if any(
            other != key and isinstance(v, str) and (v in value or value in v)
            for other, v in arguments.items()
        ):
            continue
        draw = rng.random()
        new = (
            rng.choice(spans.values[key])
            if draw < 0.6
            else lex.phrase(rng)
            if draw < 0.85
            else lex.person(rng)
        )
        if key in (
            "timeRange",
            "spatial_relation",
            "sort",
            "music_item",
            "object_type",
            "restaurant_type",
            "movie_type",
        ):
            new = rng.choice(spans.values[key])
        text, arguments[key] = text.replace(value, new), new
    return text, arguments


def _records(path: Path) -> Iterator[tuple[str, str, list[dict[str, Any]], dict[str, str] | None]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            request, message = record["request"], record["response"]["choices"][0]["message"]
            calls = message.get("tool_calls") or []
            yield (
                record["workload_id"],
                request["messages"][-1]["content"],
                request.get("tools") or [],
                calls[0]["function"] if len(calls) == 1 else None,
            )
