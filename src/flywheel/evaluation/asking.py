"""Asking a model with patience: what is tried again, and after how long. How many at once is `throttle`'s
part.

Repeated are answers that say "later" (429 and 5xx) and connections that failed; a time-out is not, since
whoever was too slow once keeps a place in the queue busy for as long again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flywheel.chat import ChatResult
from flywheel.errors import ChatBusy, ChatError, ChatRejected, ChatTimeout, ChatUnreachable
from flywheel.evaluation.failures import Failure
from flywheel.evaluation.sample import Sample

Send = Callable[[Mapping[str, Any]], Awaitable[ChatResult]]
Sleep = Callable[[float], Awaitable[None]]

LONGEST_WAIT_S = 60.0
"""Cap of one pause, whatever Retry-After says."""

_FAULTS_OF_THE_MACHINERY = frozenset({401, 403, 404, 407, 408})


async def ask(
    send: Send,
    body: Mapping[str, Any],
    *,
    retries: int = 3,
    sleep: Sleep = asyncio.sleep,
    pushed_back: Callable[[], None] = lambda: None,
) -> ChatResult:
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


def failed_sample(error: ChatError) -> Sample:
    """An answer that never came, with its class and whether the machinery is to blame."""
    failure = Failure.TIMEOUT if isinstance(error, ChatTimeout) else Failure.ERROR
    fault = not isinstance(error, ChatRejected) or error.http_status in _FAULTS_OF_THE_MACHINERY
    return Sample(failure=failure, error=str(error), infrastructure=fault)


def _pause(tried: int) -> float:
    """Seconds: 0.5, 1, 2, 4."""
    return 0.5 * float(2**tried)
