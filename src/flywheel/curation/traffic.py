"""What records are like, in numbers that two sets of records can be compared by: which tools are called, with
which values, and which versions of their schemas are offered.

Small and without whole texts, since it is kept with every run. A value stands for itself where an argument
takes few values and each of them often (an intent, a city); else it stands for its shape (a text of 8 to 15
characters), because names and numbers that are always new tell nothing when they differ. Records of one
conversation resemble each other, so each share comes with its design effect, as scores do.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict

from flywheel.curation.canonical import Answers, calls_in, read_request
from flywheel.curation.intake import Group, named
from flywheel.curation.reasons import Reason
from flywheel.curation.tools import ToolSets
from flywheel.models import Record

NO_CALL: Final = ""
"""Stands for an answer in words, among the tools."""
ABSENT: Final = "(absent)"
"""Stands for an argument that a call leaves out."""
OTHERS: Final = "(others)"
"""Stands for what was too much to be kept by name; such a mix is not compared."""
REQUESTS: Final = 20_000
"""Different requests that a data set is described by, chosen by their hash; all, where there are fewer."""
_VALUES: Final = 100
"""Different values that an argument may take to be compared value by value …"""
EACH: Final = 5
"""… and how often each must occur, on average."""
_TOOLS: Final = 2_000
_ARGUMENTS: Final = 200
_VERSIONS: Final = 500
_LONGEST: Final = 80
"""Characters of a value that is told by itself."""

_sorted = msgspec.json.Encoder(order="deterministic")
Variable = tuple[str, ...]
"""() for the mix of tools, (tool, argument) for the values of an argument."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Shares(_Value):
    """How often each category occurred."""

    counts: dict[str, int]
    form: Literal["values", "shapes"] = "values"
    design_effect: float = 1.0
    """How many times the variance is what it would be if every call stood alone; at least 1."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Traffic(_Value):
    """A set of records; those that cannot be used are not counted."""

    records: int
    conversations: int
    first: float | None
    last: float | None
    """Times of the first and the last record, in seconds since the epoch."""
    tools: Shares
    """Calls by tool; an answer in words counts once, under `NO_CALL`."""
    arguments: dict[str, dict[str, Shares]]
    """For each tool and argument the values, over the calls of that tool."""
    versions: dict[str, dict[str, int]]
    """For each tool the digests of its schema, with the conversations that were offered it."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """What counts of one record; `count` of them with the same request and answer."""

    conversation: bytes
    calls: Sequence[tuple[str, dict[str, Any]]]
    versions: Mapping[str, str]
    timestamp: float
    last: float
    count: int = 1


def seen_in(groups: Iterable[tuple[bytes, Group]]) -> Iterator[Seen]:
    """The records of an intake, by request; of very many requests a sample that only their hashes choose."""
    for _, group in heapq.nsmallest(REQUESTS, groups, key=itemgetter(0)):
        for each in group.answers.values():
            record = each.record
            yield Seen(
                each.conversation,
                calls_in(record.response_json),
                group.request.tools.versions,
                record.timestamp,
                each.last,
                each.count,
            )


def seen_of(records: Iterable[Record]) -> Iterator[Seen]:
    """The usable ones among these records."""
    sets, answers = ToolSets(), Answers()
    for record in records:
        request = read_request(record.request_json, sets)
        if isinstance(request, Reason):
            continue
        if isinstance(answers.of(record.response_json, request.tools), Reason):
            continue
        name = record.conversation_id
        conversation = request.opening if name is None else named(name)
        calls = calls_in(record.response_json)
        at = record.timestamp
        yield Seen(conversation, calls, request.tools.versions, at, at)


def describe(seen: Iterable[Seen], like: Traffic | None = None) -> Traffic:
    """What these records are like; `like`: arguments are told by value or shape as there."""
    records = sorted(seen, key=lambda each: each.conversation)
    variables = _variables(records)
    forms = _forms(records, variables, like)
    spreads = {variable: _Spread() for variable in ((), *variables)}
    offered: Counter[tuple[str, str]] = Counter()
    conversations = 0
    for _, together in groupby(records, key=lambda each: each.conversation):
        conversations += 1
        cluster: defaultdict[Variable, Counter[str]] = defaultdict(Counter)
        pairs: set[tuple[str, str]] = set()
        for each in together:
            pairs.update(each.versions.items())
            if not each.calls:
                cluster[()][NO_CALL] += each.count
            for tool, arguments in each.calls:
                cluster[()][tool] += each.count
                for name in variables.by_tool.get(tool, ()):
                    told = _told(arguments.get(name, ABSENT), forms[tool, name])
                    cluster[tool, name][told] += each.count
        for variable, counts in cluster.items():
            spreads[variable].add(counts)
        offered.update(pairs)
    described: defaultdict[str, dict[str, Shares]] = defaultdict(dict)
    more = 1 if like is None else 10
    for tool, name in variables:
        described[tool][name] = spreads[tool, name].shares(forms[tool, name], more * (_VALUES + 1))
    return Traffic(
        records=sum(each.count for each in records),
        conversations=conversations,
        first=min((each.timestamp for each in records), default=None),
        last=max((each.last for each in records), default=None),
        tools=spreads[()].shares("values", more * _TOOLS),
        arguments=dict(described),
        versions=_versions(offered),
    )


class _Variables(list[tuple[str, str]]):
    """The arguments that are described: the most used ones."""

    def __init__(self, used: Counter[tuple[str, str]]) -> None:
        super().__init__(sorted(key for key, _ in used.most_common(_ARGUMENTS)))
        self.by_tool: defaultdict[str, list[str]] = defaultdict(list)
        for tool, name in self:
            self.by_tool[tool].append(name)


def _variables(records: Iterable[Seen]) -> _Variables:
    used: Counter[tuple[str, str]] = Counter()
    for each in records:
        for tool, arguments in each.calls:
            for name in arguments:
                used[tool, name] += each.count
    return _Variables(used)


def _forms(
    records: Iterable[Seen], variables: _Variables, like: Traffic | None
) -> dict[tuple[str, str], Literal["values", "shapes"]]:
    distinct: dict[tuple[str, str], set[str]] = {key: set() for key in variables}
    totals: Counter[tuple[str, str]] = Counter()
    for each in records:
        for tool, arguments in each.calls:
            for name in variables.by_tool.get(tool, ()):
                totals[tool, name] += each.count
                known = distinct[tool, name]
                if name in arguments and len(known) <= _VALUES:
                    known.add(_told(arguments[name], "values"))
    forms: dict[tuple[str, str], Literal["values", "shapes"]] = {}
    for key, known in distinct.items():
        before = like.arguments.get(key[0], {}).get(key[1]) if like else None
        few = len(known) <= _VALUES and len(known) * EACH <= totals[key]
        forms[key] = before.form if before else "values" if few else "shapes"
    return forms


def _versions(offered: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    versions: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (tool, digest), count in sorted(offered.most_common(_VERSIONS)):
        versions[tool][digest] = count
    return dict(versions)


class _Spread:
    """Counts of a variable's categories, and what its design effect is made of: sums over conversations."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._squares: Counter[str] = Counter()
        self._products: Counter[str] = Counter()
        self._size_squares = 0
        self._clusters = 0

    def add(self, cluster: Mapping[str, int]) -> None:
        size = sum(cluster.values())
        self._clusters += 1
        self._size_squares += size * size
        for category, count in cluster.items():
            self._counts[category] += count
            self._squares[category] += count * count
            self._products[category] += count * size

    def shares(self, form: Literal["values", "shapes"], most: int) -> Shares:
        kept = self._counts.most_common(most)
        counts = dict(kept)
        if left := self._counts.total() - sum(counts.values()):
            counts[OTHERS] = left
        return Shares(counts=counts, form=form, design_effect=round(self._design_effect(), 4))

    def _design_effect(self) -> float:
        """Rao and Scott's mean over the categories, of the variance between conversations over that of
        independent calls."""
        total, clusters = self._counts.total(), self._clusters
        categories = [(name, count) for name, count in self._counts.items() if count < total]
        if len(categories) < 2 or clusters < 2:
            return 1.0
        weighted = 0.0
        for name, count in categories:
            share = count / total
            spread = self._squares[name] - 2 * share * self._products[name] + share**2 * self._size_squares
            weighted += spread / total / share  # (1 - share) times its design effect.
        return max(1.0, weighted * clusters / (clusters - 1) / (len(categories) - 1))


def _told(value: Any, form: Literal["values", "shapes"]) -> str:
    """The category of a value."""
    if value is ABSENT or value is None or isinstance(value, bool):
        return ABSENT if value is ABSENT else msgspec.json.encode(value).decode()
    if form == "values":
        text = value if isinstance(value, str) else _sorted.encode(value).decode()
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    if isinstance(value, int | float):
        sign = "negative " if value < 0 else ""
        return f"a {sign}number below 10^{len(str(int(abs(value))))}"
    size = len(value)
    kind = "text of" if isinstance(value, str) else "list of" if isinstance(value, list) else "object of"
    low = 1 << size.bit_length() >> 1
    return f"{kind} {low}" if low <= 1 else f"{kind} {low} to {2 * low - 1}"
