"""What a workload is made of: tools, tokens, health, and how the schemas of its tools have changed.

A look at the newest records for people, who want to know before any run whether a workload is worth one. What
makes a record valid, a duplicate or a conflict is decided by the same code that curates data sets, so a page
that shows this and the report of a run cannot disagree about a record.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flywheel.curation.conflicts import Resolver
from flywheel.curation.drops import Drops
from flywheel.curation.intake import Intake
from flywheel.curation.reasons import Reason
from flywheel.curation.tools import wire_tools
from flywheel.models import Record, Workload

VERSIONS = 20
"""Versions of one tool's schema that are told, the newest ones; a tool that is made anew for every request
has one per request."""
TOOLS = 200
"""Tools whose schemas are told, those that are offered most often."""

_sorted = msgspec.json.Encoder(order="deterministic")
_UNPARSED = 4_096  # Sets of tools whose text is remembered.


@dataclass(frozen=True, slots=True)
class ToolUse:
    """How often a tool is called; `share` is of the valid records, and answers may call several."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A tool as it was offered between two moments (seconds since the epoch), in `count` requests.

    `sha256` is of the canonical JSON of `schema`, OpenAI's `{"type", "function"}`: the order of keys and
    white space do not count, a changed description does.
    """

    sha256: str
    first: float
    last: float
    count: int
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolSchemas:
    """The versions of one tool's schema, by their first time."""

    tool: str
    versions: tuple[SchemaVersion, ...]
    left_out: int
    """Older versions than those."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The teacher's models with their number of records; its tokens, in those records that tell them."""

    models: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    with_usage: int


@dataclass(frozen=True, slots=True)
class Health:
    """What curation would say of the records; of each conflict and duplicate it keeps one.

    `invalid` is by reason (`flywheel.curation.reasons`). `duplicates` repeat a request and its answer;
    `conflicts` are requests with several answers, `conflicting` the records of these.
    """

    valid: int
    invalid: dict[str, int]
    duplicates: int
    conflicts: int
    conflicting: int
    conversations: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A look at `looked_at` records of a workload."""

    looked_at: int
    tools: tuple[ToolUse, ...]
    no_call: ToolUse
    usage: Usage
    health: Health
    tool_schemas: tuple[ToolSchemas, ...]


def profile(records: Sequence[Record], workload: Workload) -> Profile:
    """The profile of these records, which are all of `workload`; their order does not count."""
    drops = Drops()
    intake = Intake(workload, drops)
    intake.take(records)
    invalid = {str(reason): count for reason, count in drops.counts.items()}
    valid = intake.count - sum(invalid.values())
    resolver, calls, silent = Resolver("majority", drops), Counter[str](), 0
    for group in intake.groups():
        for seen in group.answers.values():
            calls.update(dict.fromkeys(seen.called, seen.count))
            silent += 0 if seen.called else seen.count
        resolver.resolve(group)
    conflicts = resolver.report()
    return Profile(
        looked_at=intake.count,
        tools=tuple(_use(name, count, valid) for name, count in calls.most_common()),
        no_call=_use("", silent, valid),
        usage=_usage(records),
        health=Health(
            valid=valid,
            invalid=invalid,
            duplicates=drops.counts[Reason.DUPLICATE],
            conflicts=conflicts.requests,
            conflicting=conflicts.records,
            conversations=intake.report().total,
        ),
        tool_schemas=tool_schemas(records),
    )


def _use(name: str, count: int, valid: int) -> ToolUse:
    return ToolUse(name, count, count / valid if valid else 0.0)


class _Offer(msgspec.Struct, gc=False):
    tools: msgspec.Raw = msgspec.Raw(b"")
    functions: msgspec.Raw = msgspec.Raw(b"")


_offers = msgspec.json.Decoder(_Offer)


def tool_schemas(records: Iterable[Record]) -> tuple[ToolSchemas, ...]:
    """Every tool that the requests offer, with the versions of its schema; most offered ones first."""
    known: dict[tuple[bytes, bytes], tuple[str, ...]] = {}  # Most requests offer the same, byte for byte.
    schemas: dict[str, tuple[str, dict[str, Any]]] = {}
    times: dict[str, tuple[float, float, int]] = {}
    for record in records:
        try:
            offer = _offers.decode(record.request_json)
            where = (bytes(offer.tools), bytes(offer.functions))
            if (digests := known.get(where)) is None:
                if len(known) >= _UNPARSED:
                    known.clear()
                digests = known[where] = _digests(*where, schemas)
        except (msgspec.MsgspecError, RecursionError):  # Counted as malformed.
            continue
        for digest in digests:
            first, last, count = times.get(digest, (record.timestamp, record.timestamp, 0))
            times[digest] = min(first, record.timestamp), max(last, record.timestamp), count + 1
    by_tool: dict[str, list[SchemaVersion]] = {}
    for digest, (name, schema) in schemas.items():
        if digest in times:
            by_tool.setdefault(name, []).append(SchemaVersion(digest, *times[digest], schema))
    told = sorted(by_tool.items(), key=lambda item: (-sum(each.count for each in item[1]), item[0]))
    return tuple(_versions(name, versions) for name, versions in told[:TOOLS])


def _versions(tool: str, found: list[SchemaVersion]) -> ToolSchemas:
    found.sort(key=lambda each: (each.first, each.last, each.sha256))
    return ToolSchemas(tool, tuple(found[-VERSIONS:]), max(0, len(found) - VERSIONS))


def _digests(
    tools_json: bytes, functions_json: bytes, schemas: dict[str, tuple[str, dict[str, Any]]]
) -> tuple[str, ...]:
    """The digest of each tool in a request; the schemas that were not known go to `schemas`."""
    tools, functions = (msgspec.json.decode(text or b"null") for text in (tools_json, functions_json))
    found = []
    for tool in wire_tools(tools, functions):
        digest = hashlib.sha256(_sorted.encode(tool)).hexdigest()
        schemas.setdefault(digest, (tool["function"]["name"], tool))
        found.append(digest)
    return tuple(dict.fromkeys(found))


class _Body(msgspec.Struct, gc=False):
    model: Any = None
    usage: Any = None


_bodies = msgspec.json.Decoder(_Body)


def _usage(records: Iterable[Record]) -> Usage:
    models, prompt, completion, with_usage = Counter[str](), 0, 0, 0
    for record in records:
        try:
            answer = _bodies.decode(record.response_json)
            model = answer.model or _bodies.decode(record.request_json).model
        except (msgspec.MsgspecError, RecursionError):
            continue
        if isinstance(model, str):
            models[model] += 1
        tokens = answer.usage if isinstance(answer.usage, dict) else {}
        if (asked := _count(tokens.get("prompt_tokens"))) is not None:
            with_usage += 1
            prompt += asked
            completion += _count(tokens.get("completion_tokens")) or 0
    return Usage(dict(models.most_common()), prompt, completion, with_usage)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
