"""Runs as they change, for everybody who watches: one look at the store for all listeners of this process.

The store is looked at, not the loop that advances the runs, because workers are other processes. While
nobody listens nothing is asked. A listener that is slow gets the newest state of each run, not all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.orchestrator.losses import shown
from flywheel.orchestrator.wire import progress, summary
from flywheel.stores.runs.brief import brief_of
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import RunNotFound
from flywheel.stores.runs.protocol import RunStore

INTERVAL_S = 0.5
"""Between two looks at the store."""

log = get_logger(__name__)

Change = tuple[str, Run | None]
"""The id of a run, and the run as it is now; None: it was deleted."""


class Watch:
    """Looks at `runs` for its listeners, every `interval_s`. Belongs to the event loop of its listeners."""

    def __init__(self, runs: RunStore, *, interval_s: float = INTERVAL_S) -> None:
        self._runs, self._interval_s = runs, interval_s
        self._listeners: set[_Listener] = set()
        self._known: dict[str, int] = {}
        self._erased: set[str] = set()
        self._mark: str | None = None
        self._begun = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def close(self) -> None:
        """End every listener's stream, from any thread; later ones end at once."""
        self._closed = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is over, and its listeners with it.
                self._loop.call_soon_threadsafe(self._end)

    async def run(self, run_id: str) -> AsyncGenerator[Run, None]:
        """The run as it is now, and again whenever it has changed, until it is finished or deleted."""
        async with self._listening(run_id) as listener:
            try:
                run = await asyncio.to_thread(self._runs.load, run_id)
            except RunNotFound:
                return
            yield run
            revision = run.revision
            while not run.finished:
                changes = await listener.changes()
                if changes is None:
                    return
                for _, now in changes:
                    if now is None:
                        return
                    if now.revision > revision:
                        run, revision = now, now.revision
                        yield run

    async def all(self, since: str | None = None) -> AsyncGenerator[tuple[str, list[Change]], None]:
        """The store's mark and the runs that changed, from now on or since an earlier mark."""
        async with self._listening(None) as listener:
            begin = await asyncio.to_thread(self._runs.changed, since)
            missed = [(run_id, await asyncio.to_thread(self._load, run_id)) for run_id, _ in begin.runs]
            mark = begin.mark
            yield mark, missed
            while (changes := await listener.changes()) is not None:
                mark = self._mark or mark
                yield mark, changes

    @contextlib.asynccontextmanager
    async def _listening(self, run_id: str | None) -> AsyncIterator[_Listener]:
        """Who listens hears of every change from inside the body on; the first one waits for a first look."""
        self._loop = asyncio.get_running_loop()
        listener = _Listener(run_id)
        self._listeners.add(listener)
        try:
            if self._looking is None:
                self._mark, self._begun = None, asyncio.Event()
                self._looking = asyncio.create_task(self._look())
            if self._closed:
                self._end()
            await self._begun.wait()
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None
                self._known.clear()
                self._erased.clear()

    async def _look(self) -> None:
        """Ask the store what changed, for as long as anybody listens."""
        well = True
        while True:
            try:
                await self._look_once()
            except FlywheelError as error:
                if well:
                    log.warning("changes of runs cannot be seen", extra={"error": str(error)})
                well = False
            except Exception:  # What is wrong now must not leave everybody without news for good.
                log.exception("looking for changes of runs failed unforeseen")
            else:
                well = True
            await asyncio.sleep(self._interval_s)

    async def _look_once(self) -> None:
        changes = await asyncio.to_thread(self._runs.changed, self._mark)
        ids = {run_id for run_id, revision in changes.runs if self._known.get(run_id, -1) < revision}
        for run_id in ids | self._erased:
            hearing = [each for each in self._listeners if each.run_id in (None, run_id)]
            if hearing:
                run = await asyncio.to_thread(self._load, run_id)
                self._remember(run_id, run)
                for listener in hearing:
                    listener.tell(run_id, run)
        self._mark = changes.mark  # Only now: what was not told is asked for again.
        self._begun.set()

    def _remember(self, run_id: str, run: Run | None) -> None:
        self._erased.discard(run_id)
        if run is None:
            self._known.pop(run_id, None)
            return
        self._known[run_id] = run.revision
        if run.step == "erase":
            self._erased.add(run_id)

    def _load(self, run_id: str) -> Run | None:
        try:
            return self._runs.load(run_id)
        except RunNotFound:
            return None

    def _end(self) -> None:
        self._begun.set()
        for listener in self._listeners:
            listener.end()


class _Listener:
    """Who hears of one run, or of all (`run_id` None)."""

    def __init__(self, run_id: str | None) -> None:
        self.run_id = run_id
        self._news: dict[str, Run | None] = {}
        self._something = asyncio.Event()
        self._over = False

    def tell(self, run_id: str, run: Run | None) -> None:
        self._news[run_id] = run
        self._something.set()

    def end(self) -> None:
        self._over = True
        self._something.set()

    async def changes(self) -> list[Change] | None:
        """What came since the last call, as soon as there is something; None when it is over."""
        await self._something.wait()
        if self._over:
            return None
        self._something.clear()
        news, self._news = list(self._news.items()), {}
        return news


def run_event(run: Run) -> dict[str, Any]:
    """What is told of one run, to who looks at its page."""
    brief = brief_of(run)
    return {
        "status": run.status,
        "step": run.step,
        "percent": brief.percent,
        "progress": progress(run),
        "losses": shown(run),
        "decision": brief.decision.model_dump() if brief.decision else None,
        "error": run.error,
        "cancel_requested": run.cancel_requested,
    }


def list_event(run: Run) -> dict[str, Any]:
    """What is told of one run to who looks at the list: its entry there."""
    return summary(brief_of(run))
