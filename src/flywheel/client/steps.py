"""What a method of the client does, without doing it: a generator of steps.

A method is written once. It yields what is to happen (send this, wait so long, give this to the caller) and
is told what came of it; a `Session` performs the steps with blocking calls, an `AsyncSession` with awaited
ones. Nothing here knows which of them it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

import httpx

T = TypeVar("T")
_PASSING: Final = frozenset({429, 502, 503, 504})
_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 20.0

Body: TypeAlias = Callable[[], Iterable[bytes]]
"""Makes the bytes of a request's body, anew for every try."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; what came of it is a response, read to its end unless it is a `stream`."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    """Seconds without a byte; None: the session's."""
    stream: bool = False
    repeatable: bool | None = None
    """Whether sending it twice does no harm; None: as its method says."""

    last_words: tuple[int, ...] = ()
    """Statuses of 400 and more that are answers, not failures."""

    @property
    def safe(self) -> bool:
        return self.method in _REPEATABLE if self.repeatable is None else self.repeatable


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of the response that was sent for last; none at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Give:
    """One item for the caller, who iterates."""

    value: Any


@dataclass(frozen=True, slots=True)
class Every(Generic[T]):
    """What steps return that have given every T there is; it holds nothing, and tells the type."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Asks for the session's clock, in seconds."""


Step: TypeAlias = Send | Read | Pause | Give | Clock
Steps: TypeAlias = Generator[Step, Any, T]


def resume(steps: Steps[Any], outcome: Any) -> Step:
    """The next step after `outcome` of the last one; an exception is raised where the step was made."""
    return steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)


def answered(send: Send, retries: int) -> Steps[httpx.Response]:
    """Send, and again after a pause where that is safe; the response may be a refusal.

    A connection that was never made is always tried again; an answer that says "later" and a connection that
    broke only where `send` is safe to repeat. Raises httpx.RequestError.
    """
    for tried in range(retries + 1):
        last = tried == retries
        wait = _FIRST_PAUSE_S * 2.0**tried
        try:
            response: httpx.Response = yield send
        except httpx.RequestError as error:
            if last or not (send.safe or isinstance(error, _NEVER_LEFT)):
                raise
        else:
            passing = response.status_code in _PASSING and response.status_code not in send.last_words
            if last or not send.safe or not passing:
                return response
            wait = _asked_to_wait(response) or wait
        yield Pause(min(wait, _LONGEST_PAUSE_S))
    raise AssertionError("unreachable: the last try returns or raises")


def _asked_to_wait(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
