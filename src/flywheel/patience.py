"""Asking a model's server with patience: what is tried again, and after how long.

Repeated are answers that say "later" (429 and 5xx) and connections that failed; a time-out is not, since
whoever was too slow once keeps a place in the queue busy for as long again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from flywheel.errors import ChatBusy, ChatUnreachable

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

LONGEST_WAIT_S = 60.0
"""Cap of one pause, whatever Retry-After says."""


async def ask(
    send: Callable[[Mapping[str, Any]], Awaitable[T]],
    body: Mapping[str, Any],
    *,
    retries: int = 3,
    sleep: Sleep = asyncio.sleep,
    pushed_back: Callable[[], None] = lambda: None,
) -> T:
    """Send `body`, up to `retries` more times. `pushed_back` hears of every 429 and 503. Raises ChatError."""
    for tried in range(retries + 1):
        try:
            return await send(body)
        except ChatBusy as error:
            if error.http_status in (429, 503):
                pushed_back()
            if tried == retries:
                raise
            wait = _pause(tried) if error.retry_after is None else error.retry_after
        except ChatUnreachable:
            if tried == retries:
                raise
            wait = _pause(tried)
        await sleep(min(wait, LONGEST_WAIT_S))
    raise AssertionError("unreachable: the last try returns or raises")


def _pause(tried: int) -> float:
    """Seconds: 0.5, 1, 2, 4."""
    return 0.5 * float(2**tried)
