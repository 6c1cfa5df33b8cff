"""Flywheel from Python: `Client`, and `AsyncClient` whose methods are awaited.

    from flywheel.client import Client

    with Client() as client:
        run = client.runs.start("tool_router", "support-app")
        run = run.wait(progress=True)
        print(run.decision.verdict)

One definition of every method serves both (`flywheel.client.routes`). Errors are exceptions, drawn in
`flywheel.client.errors`. Everything goes over the public API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Generic, Self

import httpx

from flywheel.client.catalogue import DatasetEntry, Datasets, ModelEntry, Models
from flywheel.client.errors import (
    ClientError,
    Conflict,
    Invalid,
    NotFound,
    NotSent,
    Refused,
    RunFailed,
    ServerAway,
    ServerFailed,
    StillRunning,
    Unauthorised,
    Unreadable,
)
from flywheel.client.evaluations import Evaluations
from flywheel.client.finding import find
from flywheel.client.records import Records
from flywheel.client.routes import S
from flywheel.client.runs import Run, Runs, RunSummary
from flywheel.client.schedules import Schedules
from flywheel.client.service import Configuration, HealthChecks
from flywheel.client.session import Async, AsyncSession, Performs, Session, Sync
from flywheel.client.workloads import Workloads

__all__ = [
    "Async",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "DatasetEntry",
    "Invalid",
    "ModelEntry",
    "NotFound",
    "NotSent",
    "Refused",
    "Run",
    "RunFailed",
    "RunSummary",
    "ServerAway",
    "ServerFailed",
    "StillRunning",
    "Sync",
    "Unauthorised",
    "Unreadable",
]

TIMEOUT_S = 30.0
RETRIES = 3


class _Nouns(Generic[S]):
    """The nouns of the API."""

    def __init__(self, session: Performs) -> None:
        self.url = session.url
        self.runs: Runs[S] = Runs(session)
        self.workloads: Workloads[S] = Workloads(session)
        self.records: Records[S] = Records(session)
        self.evaluations: Evaluations[S] = Evaluations(session)
        self.models: Models[S] = Models(session)
        self.datasets: Datasets[S] = Datasets(session)
        self.schedules: Schedules[S] = Schedules(session)
        self.health: HealthChecks[S] = HealthChecks(session)
        self.config: Configuration[S] = Configuration(session)


class Client(_Nouns[Sync]):
    """The server at `url`; else at FLYWHEEL_URL, else the one that works in folder `data`, else port 8000.

    Every call ends: `timeout` is in seconds without a byte. What is safe to repeat is tried `retries` more
    times on passing trouble. `headers` go with every request (a proxy's credentials, say). Usable from
    several threads; close it, or use it as a context manager.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        data: Path | str | None = None,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = Session(
            find(url, data),
            timeout=timeout,
            retries=retries,
            headers=headers or {},
            transport=transport,
            sleep=sleep,
            clock=clock,
        )
        super().__init__(self._session)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncClient(_Nouns[Async]):
    """As `Client`, awaited; what it lists is iterated with `async for`. Use it from one event loop."""

    def __init__(
        self,
        url: str | None = None,
        *,
        data: Path | str | None = None,
        timeout: float = TIMEOUT_S,
        retries: int = RETRIES,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = AsyncSession(
            find(url, data),
            timeout=timeout,
            retries=retries,
            headers=headers or {},
            transport=transport,
            sleep=sleep,
            clock=clock,
        )
        super().__init__(self._session)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
