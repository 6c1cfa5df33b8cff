"""The two ways to perform steps: blocking, and awaited. Everything else of the client is shared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, closing
from typing import Any, Protocol, TypeVar

import httpx

from flywheel import __version__
from flywheel.client.errors import ServerAway
from flywheel.client.steps import Clock, Give, Pause, Read, Send, Step, Steps, resume
from flywheel.hidden import hide

T = TypeVar("T")
_CONNECT_S = 5.0


class Performs(Protocol):
    """What a noun of the client needs; `perform` and `iterate` may be of either kind."""

    url: str
    retries: int

    def perform(self, steps: Steps[Any]) -> Any: ...

    def iterate(self, steps: Steps[Any]) -> Any: ...


class Sync:
    """Marks nouns whose methods block."""


class Async:
    """Marks nouns whose methods are awaited."""


class Session:
    """Performs steps with blocking calls. Usable from several threads."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        headers: Mapping[str, str],
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url, self.retries = url, retries
        self._sleep, self._clock = sleep, clock
        self._http = httpx.Client(transport=transport, **_options(url, timeout, headers))

    def perform(self, steps: Steps[T]) -> T:
        """The result of `steps`."""
        with closing(_Exchange(self._http, self._sleep, self._clock)) as exchange, closing(steps):
            outcome: Any = None
            while True:
                try:
                    step = resume(steps, outcome)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                outcome = exchange.do(step)

    def iterate(self, steps: Steps[Any]) -> Iterator[Any]:
        """What `steps` give, as they give it."""
        with closing(_Exchange(self._http, self._sleep, self._clock)) as exchange, closing(steps):
            outcome: Any = None
            while True:
                try:
                    step = resume(steps, outcome)
                except StopIteration:
                    return
                if isinstance(step, Give):
                    outcome = yield step.value
                else:
                    outcome = exchange.do(step)

    def close(self) -> None:
        self._http.close()


class AsyncSession:
    """Performs steps with awaited calls; use it from one event loop."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url, self.retries = url, retries
        self._sleep, self._clock = sleep, clock
        self._http = httpx.AsyncClient(transport=transport, **_options(url, timeout, headers))

    async def perform(self, steps: Steps[T]) -> T:
        """The result of `steps`."""
        async with aclosing(_AsyncExchange(self._http, self._sleep, self._clock)) as exchange:
            with closing(steps):
                outcome: Any = None
                while True:
                    try:
                        step = resume(steps, outcome)
                    except StopIteration as end:
                        return end.value  # type: ignore[no-any-return]
                    outcome = await exchange.do(step)

    async def iterate(self, steps: Steps[Any]) -> AsyncIterator[Any]:
        """What `steps` give, as they give it."""
        async with aclosing(_AsyncExchange(self._http, self._sleep, self._clock)) as exchange:
            with closing(steps):
                outcome: Any = None
                while True:
                    try:
                        step = resume(steps, outcome)
                    except StopIteration:
                        return
                    if isinstance(step, Give):
                        yield step.value
                        outcome = None
                    else:
                        outcome = await exchange.do(step)

    async def aclose(self) -> None:
        await self._http.aclose()


class _Exchange:
    """The steps of one call, and the response that is open."""

    def __init__(
        self, http: httpx.Client, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._http, self._sleep, self._clock = http, sleep, clock
        self._open: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def do(self, step: Step) -> Any:
        """What came of it; a failure of the transport is an outcome too."""
        try:
            match step:
                case Send():
                    return self._send(step)
                case Read():
                    return next(self._pieces, b"")
                case Pause(seconds):
                    self._sleep(seconds)
                case Clock():
                    return self._clock()
        except httpx.RequestError as error:
            return error
        return None

    def _send(self, step: Send) -> httpx.Response:
        self.close()
        request = self._http.build_request(**_request(step), content=step.body and step.body())
        self._open = self._http.send(request, stream=True)
        self._pieces = self._open.iter_bytes()
        if not step.stream or self._open.is_error:
            self._open.read()
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


class _AsyncExchange:
    """As `_Exchange`, awaited."""

    def __init__(
        self, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        self._http, self._sleep, self._clock = http, sleep, clock
        self._open: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def do(self, step: Step) -> Any:
        try:
            match step:
                case Send():
                    return await self._send(step)
                case Read():
                    return await anext(self._pieces, b"") if self._pieces else b""
                case Pause(seconds):
                    await self._sleep(seconds)
                case Clock():
                    return self._clock()
        except httpx.RequestError as error:
            return error
        return None

    async def _send(self, step: Send) -> httpx.Response:
        await self.aclose()
        content = _awaited(step.body()) if step.body else None
        request = self._http.build_request(**_request(step), content=content)
        self._open = await self._http.send(request, stream=True)
        self._pieces = self._open.aiter_bytes()
        if not step.stream or self._open.is_error:
            await self._open.aread()
        return self._open

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.aclose()


def _options(url: str, timeout: float, headers: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ServerAway(url, "GET", "/", f"this is no address: {error}") from error
    if found.scheme not in ("http", "https") or not found.host:
        raise ServerAway(url, "GET", "/", "this is no address; write http://HOST:PORT")
    hide(found.password)
    for value in headers.values():
        hide(value.rpartition(" ")[2])
    return {
        "base_url": url,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_S)),
        "headers": {"User-Agent": f"flywheel/{__version__}", **headers},
    }


def _request(step: Send) -> dict[str, Any]:
    options: dict[str, Any] = {"method": step.method, "url": step.path, "json": step.json}
    if step.query:
        options["params"] = step.query
    if step.timeout_s is not None:
        options["timeout"] = httpx.Timeout(step.timeout_s, connect=_CONNECT_S)
    return options | {"headers": dict(step.headers)}


async def _awaited(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
