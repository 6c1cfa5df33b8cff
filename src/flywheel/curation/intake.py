"""The pass over the records: each is read, judged, and sorted by side of the holdout, request and answer.

What stays in memory is one record for each different request and answer, so repeats cost nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf

import msgspec

from flywheel.curation.canonical import Answers, Request, read_request
from flywheel.curation.drops import Drops
from flywheel.curation.reasons import Reason
from flywheel.curation.report import Conversations
from flywheel.curation.tools import ToolSets
from flywheel.models import Record, Workload

HOLDOUT_SHARE = 0.2
"""Share of a workload's conversations that is never trained on. Another value would move conversations."""


def in_holdout(workload: Workload, conversation: bytes) -> bool:
    """Whether the conversation with this key is never trained on: by its hash, now and for ever."""
    return hash_of("holdout", workload.client_id, workload.workload_id, conversation.hex()) < HOLDOUT_SHARE


def hash_of(*words: str) -> float:
    """A number in [0, 1) that these words always have."""
    digest = hashlib.blake2b("\0".join(words).encode(), digest_size=8, person=b"flywheel").digest()
    return int.from_bytes(digest, "big") / 2**64


class Seen(msgspec.Struct, gc=False):
    """Records with one request and one answer: how many, the last time, and the one that stands for them."""

    record: Record
    conversation: bytes
    called: tuple[str, ...]
    last: float
    count: int = 1

    def again(self, record: Record, conversation: bytes) -> None:
        self.count += 1
        when, kept = record.timestamp, self.record
        if when > self.last:
            self.last = when
        if when < kept.timestamp or (when == kept.timestamp and _text(record) < _text(kept)):
            self.record = record  # The earliest stands for all, whatever the order they come in.
            self.conversation = conversation


def _text(record: Record) -> tuple[bytes, bytes, bytes]:
    return record.response_json, record.request_json, record.metadata_json


class Group(msgspec.Struct, gc=False):
    """Records with one request, by the key of their answer."""

    request: Request
    answers: dict[bytes, Seen]

    @property
    def count(self) -> int:
        return sum(seen.count for seen in self.answers.values())

    def records(self) -> Iterator[Record]:
        return (seen.record for seen in self.answers.values())


class Intake:
    """Takes records in; `holdout` and `others` are the groups by the key of their request."""

    def __init__(self, workload: Workload, drops: Drops) -> None:
        self.count = 0
        self.first: float | None = None
        self.last: float | None = None
        self.holdout: dict[bytes, Group] = {}
        self.others: dict[bytes, Group] = {}
        self.notes: Counter[str] = Counter()
        self._workload = workload
        self._drops = drops
        self._tool_sets = ToolSets()
        self._sides: dict[bytes, bool] = {}
        self._sizes: Counter[bytes] = Counter()
        self._with_id: set[bytes] = set()

    def take(self, records: Iterable[Record]) -> None:
        requests: dict[bytes, Request | Reason] = {}  # Agents and retries repeat requests byte by byte.
        answers = Answers()
        sizes = self._sizes
        first, last = inf, -inf
        for record in records:
            self.count += 1
            first, last = min(first, record.timestamp), max(last, record.timestamp)
            request = requests.get(record.request_json)
            if request is None:
                request = read_request(record.request_json, self._tool_sets)
                requests[record.request_json] = request
            if isinstance(request, Reason):
                self._drops.add(request, record)
                continue
            answer = answers.of(record.response_json, request.tools)
            if isinstance(answer, Reason):
                self._drops.add(answer, record)
                continue
            conversation = request.opening
            if (name := record.conversation_id) is not None:
                conversation = named(name)
                self._with_id.add(conversation)
            side = self._sides.get(conversation)
            if side is None:
                side = self._sides[conversation] = in_holdout(self._workload, conversation)
            sizes[conversation] += 1
            groups = self.holdout if side else self.others
            group = groups.get(request.key)
            if group is None:
                group = groups[request.key] = Group(request, {})
            seen = group.answers.get(answer.key)
            if seen is None:
                group.answers[answer.key] = Seen(record, conversation, answer.called, record.timestamp)
            else:
                seen.again(record, conversation)
            if request.tools.others:
                self.notes["tools_of_other_types"] += 1
            if request.tools.unchecked:
                self.notes["tools_without_usable_schema"] += 1
        if first <= last:
            self.first, self.last = first, last

    def groups(self) -> Iterator[Group]:
        """Every request with its answers, whichever side of the holdout its conversations are on."""
        for key, group in self.others.items():
            other = self.holdout.get(key)
            yield group if other is None else _together(group, other)
        yield from (group for key, group in self.holdout.items() if key not in self.others)

    def report(self) -> Conversations:
        total = self._sizes.total()
        return Conversations(
            total=len(self._sizes),
            with_id=len(self._with_id),
            holdout=sum(self._sides.values()),
            largest_share=max(self._sizes.values()) / total if total else 0.0,
        )


def _together(one: Group, two: Group) -> Group:
    answers = dict(one.answers)
    for key, seen in two.answers.items():
        known = answers.get(key)
        answers[key] = (
            seen
            if known is None
            else msgspec.structs.replace(
                known, count=known.count + seen.count, last=max(known.last, seen.last)
            )
        )
    return Group(one.request, answers)


def conversation_of(record: Record) -> str:
    """Which conversation a readable record belongs to, as 32 hex digits."""
    if (name := record.conversation_id) is not None:
        return named(name).hex()
    request = read_request(record.request_json, ToolSets())
    return "" if isinstance(request, Reason) else request.opening.hex()


def named(conversation: str) -> bytes:
    """The key of a conversation with an id."""
    return hashlib.blake2b(conversation.encode(), digest_size=16, person=b"conversation").digest()


def newest(records: Iterable[Record], limit: int, drops: Drops) -> list[Record]:
    """The newest `limit` records, in memory for that many; the others are accounted for."""
    kept: list[tuple[float, bytes, bytes, int, Record]] = []
    for number, record in enumerate(records):
        entry = (record.timestamp, record.response_json, record.request_json, number, record)
        if len(kept) < limit:
            heapq.heappush(kept, entry)
        else:
            drops.add(Reason.OVER_LIMIT, heapq.heappushpop(kept, entry)[-1])
    return [record for *_, record in kept]
