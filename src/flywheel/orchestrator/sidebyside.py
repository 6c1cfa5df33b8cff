"""The records of a run's holdout with every system's answer beside them: what is filtered and listed of them.

A `Table` holds of each record what a list shows, and of each system its score and failure class, as arrays;
answers in full are in the systems' spools. It never changes: another evaluation that completes makes
another table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import NotFound, UserError
from flywheel.orchestrator.samples import Entry, Spool, read_entry

NO_CALL: Final = "no call"
"""The expected tool where none is."""
_UNKNOWN: Final = -1
_NOBODY: Final = 0


class UnknownSystem(UserError):
    code = "unknown_system"

    def __init__(self, parameter: str, name: str, known: Sequence[str]) -> None:
        self.parameter, self.name = parameter, name
        there = ", ".join(map(repr, known)) or "none yet: no evaluation is completed"
        super().__init__(
            f"query parameter {parameter}={name!r}: the run compares no such system; it has {there}"
        )


class UnknownSample(NotFound):
    code = "unknown_sample"

    def __init__(self, key: str, total: int) -> None:
        self.key = key
        super().__init__(
            f"the run compares no record {key!r}; the keys of its {total:,} are in the rows of /compared"
        )


@dataclass(frozen=True, slots=True)
class Item:
    """What a list shows of a record."""

    key: str
    tools: tuple[str, ...]
    question: str
    reference: str
    searched: str
    """In small letters: what `search` looks into."""
    bad_reference: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one system made of one record; `place` is that of the sample in the spool."""

    place: int
    score: float | None
    right: bool | None
    failure: str | None


@dataclass(frozen=True)
class Column:
    """One system: `problem` says why nothing is known of its samples."""

    name: str
    role: str
    model_name: str
    eval_type: str
    spool: Spool | None
    results: Mapping[str, Result]
    problem: str | None = None

    def shown(self) -> dict[str, Any]:
        about = {"name": self.name, "role": self.role, "model_name": self.model_name}
        return about | {"eval_type": self.eval_type, "problem": self.problem}

    def entry(self, key: str) -> Entry | None:
        """The sample in full."""
        result = self.results.get(key)
        return None if result is None or self.spool is None else read_entry(self.spool.read(result.place))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted: all conditions hold. `of` says whose failure class is meant, None: anybody's."""

    tool: str | None = None
    failure: str | None = None
    of: str | None = None
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    search: str | None = None


@dataclass(frozen=True)
class SideBySide:
    """The table of a run; `metric` is the score by which an answer is right, from `right_from` on."""

    metric: str | None
    right_from: float | None
    items: Sequence[Item] = ()
    columns: Sequence[Column] = ()
    size: int = 0
    """Bytes, in memory and in spools."""

    def page(self, wanted: Filter, offset: int, limit: int) -> dict[str, Any]:
        """Rows that match, in the data's order, with the numbers of tools and of failure classes among what
        the other conditions leave. Raises UnknownSystem.
        """
        self._check(wanted)
        everything = np.ones(len(self.items), dtype=np.bool_)
        rest = self._rights(wanted) & self._found(wanted.search) & everything
        by_tool, by_failure = self._with_tool(wanted.tool), self._with_failure(wanted.failure, wanted.of)
        rows = np.flatnonzero(rest & by_tool & by_failure)
        return {
            "systems": [column.shown() for column in self.columns],
            "metric": self.metric,
            "right_from": self.right_from,
            "tools": self._tool_counts(rest & by_failure),
            "failures": self._failure_counts(rest & by_tool, wanted.of),
            "rows": [self._row(int(at)) for at in rows[offset : offset + limit]],
            "total": len(rows),
            "offset": offset,
            "limit": limit,
        }

    def around(self, key: str, wanted: Filter) -> dict[str, Any]:
        """Where a record stands among the rows that match, and the keys before and after it. `position`
        counts from 0; None where the record itself does not match. Raises UnknownSystem and UnknownSample.
        """
        self._check(wanted)
        here = self.place(key)
        by_tool, by_failure = self._with_tool(wanted.tool), self._with_failure(wanted.failure, wanted.of)
        rows = np.flatnonzero(self._rights(wanted) & self._found(wanted.search) & by_tool & by_failure)
        at = int(np.searchsorted(rows, here))
        inside = at < len(rows) and rows[at] == here
        after = at + 1 if inside else at
        return {
            "index": here,
            "key": key,
            "position": at if inside else None,
            "total": len(rows),
            "previous": self.items[rows[at - 1]].key if at > 0 else None,
            "next": self.items[rows[after]].key if after < len(rows) else None,
        }

    def place(self, key: str) -> int:
        """The record's place in the data's order. Raises UnknownSample."""
        found = self._places.get(key)
        if found is None:
            raise UnknownSample(key, len(self.items))
        return found

    def _row(self, at: int) -> dict[str, Any]:
        item = self.items[at]
        results = {
            column.name: {"score": found.score, "right": found.right, "failure": found.failure}
            for column in self.columns
            if (found := column.results.get(item.key))
        }
        return {
            "index": at,
            "key": item.key,
            "tool": ", ".join(item.tools) or NO_CALL,
            "question": item.question,
            "reference": item.reference,
            "bad_reference": item.bad_reference,
            "results": results,
        }

    def _check(self, wanted: Filter) -> None:
        known = [column.name for column in self.columns]
        asked = [("of", name) for name in (wanted.of,) if name is not None]
        asked += [("right", name) for name in wanted.right] + [("wrong", name) for name in wanted.wrong]
        for parameter, name in asked:
            if name not in known:
                raise UnknownSystem(parameter, name, known)

    def _number(self, system: str) -> int:
        return next(number for number, column in enumerate(self.columns) if column.name == system)

    def _rights(self, wanted: Filter) -> NDArray[np.bool_]:
        found = np.ones(len(self.items), dtype=np.bool_)
        for names, verdict in ((wanted.right, 1), (wanted.wrong, 0)):
            for name in names:
                found &= self._right[:, self._number(name)] == verdict
        return found

    def _found(self, search: str | None) -> NDArray[np.bool_]:
        if not search:
            return np.ones(len(self.items), dtype=np.bool_)
        text = search.lower()
        return np.fromiter((text in item.searched for item in self.items), np.bool_, len(self.items))

    def _with_tool(self, tool: str | None) -> NDArray[np.bool_]:
        if tool is None:
            return np.ones(len(self.items), dtype=np.bool_)
        if tool not in self._tools:
            return np.zeros(len(self.items), dtype=np.bool_)
        return self._tools[tool]

    def _with_failure(self, failure: str | None, of: str | None) -> NDArray[np.bool_]:
        if failure is None:
            return np.ones(len(self.items), dtype=np.bool_)
        code = self._classes.get(failure, _UNKNOWN)
        hits = self._failed == code if of is None else self._failed[:, [self._number(of)]] == code
        matching: NDArray[np.bool_] = hits.any(axis=1)
        return matching

    def _tool_counts(self, rows: NDArray[np.bool_]) -> list[dict[str, Any]]:
        found = {name: int((mask & rows).sum()) for name, mask in self._tools.items()}
        return _counted(found)

    def _failure_counts(self, rows: NDArray[np.bool_], of: str | None) -> list[dict[str, Any]]:
        """Rows in which the class comes."""
        failed = self._failed[rows] if of is None else self._failed[rows][:, [self._number(of)]]
        return _counted(
            {name: int((failed == code).any(axis=1).sum()) for name, code in self._classes.items()}
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item.key: at for at, item in enumerate(self.items)}

    @cached_property
    def _right(self) -> NDArray[np.int8]:
        """Records × systems: 1 right, 0 wrong, -1 neither."""
        made = np.full((len(self.items), len(self.columns)), _UNKNOWN, dtype=np.int8)
        for number, column in enumerate(self.columns):
            for key, result in column.results.items():
                if result.right is not None:
                    made[self._places[key], number] = result.right
        return made

    @cached_property
    def _classes(self) -> dict[str, int]:
        counts = Counter(r.failure for c in self.columns for r in c.results.values() if r.failure)
        return {name: code for code, (name, _) in enumerate(counts.most_common(), _NOBODY + 1)}

    @cached_property
    def _failed(self) -> NDArray[np.int16]:
        """Records × systems: the number of the failure class, 0 for none."""
        made = np.full((len(self.items), len(self.columns)), _NOBODY, dtype=np.int16)
        for number, column in enumerate(self.columns):
            for key, result in column.results.items():
                if result.failure:
                    made[self._places[key], number] = self._classes[result.failure]
        return made

    @cached_property
    def _tools(self) -> dict[str, NDArray[np.bool_]]:
        made: dict[str, NDArray[np.bool_]] = {}
        for at, item in enumerate(self.items):
            for tool in item.tools or (NO_CALL,):
                made.setdefault(tool, np.zeros(len(self.items), dtype=np.bool_))[at] = True
        return made


def _counted(found: Mapping[str, int]) -> list[dict[str, Any]]:
    often = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"name": name, "n": count} for name, count in often if count]
