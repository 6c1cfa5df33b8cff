"""How many requests at once: as many as help, up to a cap, and fewer as soon as the server says so.

Starts low and doubles after each round of answers that was clearly faster than the rounds before; stops
growing when more did not help (a server that answers one by one gains nothing from a longer queue), and
halves when pushed back. Latency is seen through throughput, so a slow model is not mistaken for a busy
one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FIRST = 8
GAIN = 1.05
"""A round must be this much faster than the best before to be worth more requests at once."""
PATIENCE = 3
"""Rounds without gain before growth stops for good."""


class Throttle:
    """Slots for requests; use it from one event loop."""

    def __init__(self, cap: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.cap = max(1, cap)
        self.limit = min(FIRST, self.cap)
        self._clock = clock
        self._free = asyncio.Condition()
        self._active = 0
        self._done = 0
        self._round_began = clock()
        self._best = 0.0
        self._idle_rounds = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._free:
            await self._free.wait_for(lambda: self._active < self.limit)
            self._active += 1
        try:
            yield
        finally:
            async with self._free:
                self._active -= 1
                self._count()
                self._free.notify_all()

    def pushed_back(self) -> None:
        """The server is full: halve, and start a new round."""
        self.limit = max(1, self.limit // 2)
        self._idle_rounds = 0
        self._best = 0.0
        self._begin_round()

    def _begin_round(self) -> None:
        self._done, self._round_began = 0, self._clock()

    def _count(self) -> None:
        self._done += 1
        if self._done < self.limit:
            return
        pace = self._done / max(1e-9, self._clock() - self._round_began)
        if pace > self._best * GAIN:
            self._best = pace
            if self._idle_rounds < PATIENCE:
                self.limit = min(self.cap, 2 * self.limit)
        else:
            self._idle_rounds += 1
        self._begin_round()
