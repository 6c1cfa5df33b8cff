"""The embedded waker: threads of this process that advance runs when they are due.

Nothing polls: workers sleep until the first due time, and `wake` ends that sleep. A sweep at start, whenever
a run ends and every half minute finds runs that nobody is advancing: left by a process that died, or made
where nobody called `wake`. Schedules are looked at by a thread of their own, which sleeps until the next one
is due: a slow step of a run must not make it late.
"""

from __future__ import annotations

import heapq
import threading
import time

from flywheel.log import get_logger
from flywheel.orchestrator.context import Context, Next, after
from flywheel.orchestrator.scheduling.tick import Scheduler
from flywheel.orchestrator.workflow import advance
from flywheel.telemetry import metrics

log = get_logger(__name__)

SWEEP_S = 30.0
BROKEN_S = 5.0
"""Pause after something that is not the run's fault, such as a full disk under the store of runs."""


class Loop:
    """Advances the runs of `context` with `workers` threads, between `start` and `stop`."""

    def __init__(self, context: Context, *, workers: int = 2) -> None:
        self._context = context
        self._workers = workers
        self._changed = threading.Condition()
        self._due: list[tuple[float, str]] = []
        self._when: dict[str, float] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._sweep_at = 0.0
        self._stopping = False
        self._over = threading.Event()
        self._scheduler = Scheduler(context, self.wake)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; runs that an earlier process left go on at once."""
        self._stopping = False
        self._over.clear()
        self._sweep_at = time.monotonic()
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"loop-{number}", daemon=True)
            self._threads.append(thread)
        self._threads.append(threading.Thread(target=self._tick, name="loop-schedules", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float | None = 30.0) -> None:
        """End after the steps in flight, waiting at most `timeout` seconds for each worker."""
        self._over.set()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        self._threads.clear()

    def wake(self, run_id: str) -> None:
        """Look at the run now: it is new, or somebody changed it."""
        with self._changed:
            self._schedule(run_id, time.monotonic())

    @property
    def idle(self) -> bool:
        """Nothing is being advanced, and nothing is due."""
        with self._changed:
            return not self._busy and not self._when and self._sweep_at > time.monotonic()

    def _tick(self) -> None:
        while not self._over.wait(self._scheduler.tick()):
            pass

    def _work(self) -> None:
        while (run_id := self._next()) is not None:
            if run_id == _SWEEP:
                self._sweep()
                continue
            following = self._advance(run_id)
            with self._changed:
                self._busy.discard(run_id)
                if run_id in self._again:
                    self._again.discard(run_id)
                    self._schedule(run_id, time.monotonic())
                elif following.seconds is not None:
                    self._schedule(run_id, time.monotonic() + following.seconds)
                else:
                    self._sweep_at = time.monotonic()  # Its slots are free: others may be waiting for them.
                    self._changed.notify()

    def _advance(self, run_id: str) -> Next:
        try:
            return advance(run_id, self._context)
        except Exception:  # One run's trouble must not end the loop for the others.
            log.exception("run could not be advanced", extra={"run_id": run_id})
            return after(BROKEN_S)

    def _sweep(self) -> None:
        try:
            unfinished = self._context.runs.unfinished(self._context.slots)
        except Exception:  # The next sweep may find the store well again.
            log.exception("runs could not be listed")
            return
        with self._changed:
            now = time.monotonic()
            for run_id in unfinished:
                if run_id not in self._busy:
                    self._schedule(run_id, min(now, self._when.get(run_id, now)))

    def _next(self) -> str | None:
        """The run that is due, or the word for a sweep; None when the loop ends."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if now >= self._sweep_at:
                    self._sweep_at = now + SWEEP_S
                    return _SWEEP
                while self._due and self._when.get(self._due[0][1]) != self._due[0][0]:
                    heapq.heappop(self._due)  # It was scheduled anew since.
                if self._due and self._due[0][0] <= now:
                    at, run_id = heapq.heappop(self._due)
                    metrics.WAKEUP_SECONDS.observe(now - at)
                    del self._when[run_id]
                    self._busy.add(run_id)
                    return run_id
                until = min(self._sweep_at, self._due[0][0]) if self._due else self._sweep_at
                self._changed.wait(until - now)
            return None

    def _schedule(self, run_id: str, at: float) -> None:
        if run_id in self._busy:
            self._again.add(run_id)
            return
        self._when[run_id] = at
        heapq.heappush(self._due, (at, run_id))
        self._changed.notify()


_SWEEP = ""
