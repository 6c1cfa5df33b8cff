"""A run's answers side by side, ready to be browsed: built once in a thread of its own, kept while they fit.

Completed evaluations never change, so what was read of them is never read again, unless it had to make room.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from flywheel.curation.canonical import text_of
from flywheel.evaluation.calls import ToolCall, calls_of
from flywheel.evaluation.pairing import Keys, Reading
from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.evaluation_scores import decisive_score
from flywheel.nemo.judge_prompts import SIMILAR_FROM, SIMILARITY_SCALE
from flywheel.orchestrator.comparing import TEACHER, decided_by, measured
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.samples import (
    Entry,
    NoSamples,
    Spool,
    brief_entry,
    downloaded,
    mapping,
    message_of,
    read_entry,
)
from flywheel.orchestrator.sidebyside import Column, Item, Result, SideBySide
from flywheel.orchestrator.trouble import passing
from flywheel.stores.runs.document import Run

MOST_BYTES: Final = 1 << 30
"""Of all tables that are kept, in memory and on disk; 10,000 records of 6 systems are some 300 MB."""
_SHOWN = 300
_SEARCHED = 2_000
"""Characters of a question and of a reference that a list shows, and that are searched."""
_OVERHEAD = 400
"""Bytes of the objects of one row or result."""


class Comparisons:
    """The tables of the runs that were asked for last; `most_bytes` of them are kept, and at least one."""

    def __init__(self, context: Context, *, most_bytes: int = MOST_BYTES) -> None:
        self._context, self._most_bytes = context, most_bytes
        self._lock = threading.RLock()
        self._kept: OrderedDict[tuple[str, ...], Future[SideBySide]] = OrderedDict()
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="side-by-side")

    async def of(self, run: Run) -> SideBySide:
        """The table of the run's completed evaluations. Who asks while it is built waits for it, without a
        thread. Raises what the evaluator's client raises for passing trouble.
        """
        # Shielded: others may wait for the same table.
        return await asyncio.shield(asyncio.wrap_future(self._begun(run)))

    def _begun(self, run: Run) -> Future[SideBySide]:
        key = (run.id, *(evaluation.job_id or "" for _, _, evaluation, _ in measured(run)))
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = self._builder.submit(build, run, self._context)
                found.add_done_callback(lambda done: self._settle(key, done))
            self._kept.move_to_end(key)
            return found

    def _settle(self, key: tuple[str, ...], done: Future[SideBySide]) -> None:
        """Forget what failed, and what is too much; the newest stays."""
        with self._lock:
            if done.cancelled() or done.exception() is not None:
                self._kept.pop(key, None)
                return
            ready = {k: f.result().size for k, f in self._kept.items() if f.done() and not f.exception()}
            for old in list(ready)[:-1]:
                if sum(ready.values()) <= self._most_bytes:
                    break
                del self._kept[old], ready[old]


def build(run: Run, context: Context) -> SideBySide:
    """Read every completed evaluation of the run. Raises what the evaluator's client raises for passing
    trouble; a system whose samples are gone is told with its problem.
    """
    making = _Making(run, context)
    columns = []
    for name, role, evaluation, _ in measured(run):
        model = evaluation.model or name if name == TEACHER else name.removesuffix(f" {evaluation.eval_type}")
        about = (name, role, model, evaluation.eval_type)
        try:
            columns.append(Column(*about, *making.read(evaluation.job_id or "")))
        except (NoSamples, ServiceCallFailed, ValueError) as error:
            if isinstance(error, ServiceCallFailed) and passing(error):
                raise
            columns.append(Column(*about, None, {}, str(error)))
    return making.table(columns)


class _Making:
    """The table while it is being read."""

    def __init__(self, run: Run, context: Context) -> None:
        self._run, self._context = run, context
        self._score = decided_by(run)
        self._reading: Reading | None = None
        self._items: dict[str, Item] = {}
        self._size = 0

    def read(self, job_id: str) -> tuple[Spool, dict[str, Result]]:
        """The samples of one evaluation: spooled, and what lists show of each record."""
        spool, keys, results = Spool(self._context.spool), Keys(), {}
        texts = downloaded(job_id, self._context.services.evaluator)
        spool.extend(texts)
        for place, text in enumerate(texts):
            entry = brief_entry(text)
            key = keys.next(entry)
            if key not in self._items:
                self._items[key] = _item(key, read_entry(text))
            results[key] = self._result(entry, place)
        self._size += spool.size + _OVERHEAD * len(results)
        return spool, results

    def table(self, columns: list[Column]) -> SideBySide:
        reading, items = self._reading, tuple(self._items.values())
        size = self._size + sum(_OVERHEAD + 2 * len(item.searched) for item in items)
        return SideBySide(
            metric=self._score if columns else None,
            right_from=_right_from(reading) if reading else None,
            items=items,
            columns=tuple(columns),
            size=size,
        )

    def _result(self, entry: Entry, place: int) -> Result:
        if self._reading is None:
            scoring = self._run.config.evaluation_config.scoring
            self._reading = Reading(*decisive_score(entry.get("metrics") or {}, scoring, self._score))
        score, failure = self._reading.of(entry), entry.get("failure")
        right: bool | None = None
        if not entry.get("bad_reference"):
            # An answer that never came is wrong; one that a judge left without a score is neither.
            right = score >= _right_from(self._reading) if score is not None else False if failure else None
        return Result(place, score, right, str(failure) if failure else None)


def _right_from(reading: Reading) -> float:
    """The score, 0 to 1, from which on an answer is right."""
    least, most = reading.scale
    return round((SIMILAR_FROM - least) / (most - least), 9) if reading.scale == SIMILARITY_SCALE else 1.0


def _item(key: str, entry: Entry) -> Item:
    item = mapping(entry.get("item"))
    question = _question(mapping(item.get("request")).get("messages"))
    message = message_of(mapping(item.get("response")))
    calls = calls_of(message)
    reference = "; ".join(map(_written, calls)) if calls else _text(message.get("content"))
    return Item(
        key=key,
        tools=tuple(sorted({call.name for call in calls if call.name})),
        question=_cut(question),
        reference=_cut(reference),
        searched=f"{key}\n{question[:_SEARCHED]}\n{reference[:_SEARCHED]}".lower(),
        bad_reference=str(entry["bad_reference"]) if entry.get("bad_reference") else None,
    )


def _question(messages: Any) -> str:
    """The last words of the user, else of anybody."""
    found = [m for m in messages if isinstance(m, Mapping)] if isinstance(messages, list) else []
    asked = [m for m in found if m.get("role") == "user"] or found
    return _text(asked[-1].get("content")) if asked else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    found = text_of(content)
    return "(not only text)" if found is None else found


def _written(call: ToolCall) -> str:
    """`order_status(order="A7")`."""
    if not isinstance(call.arguments, dict):
        return f"{call.name}({call.raw})"
    given = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join(given)})"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
