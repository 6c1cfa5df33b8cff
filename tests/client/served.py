"""The API over a world of runs, for clients of both kinds: a pause of the client is a step of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import APIRouter

from flywheel.client import AsyncClient, Client
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.workflow import advance
from flywheel.web import make_app
from run_world import World
from serving_apps import serve_app


@contextmanager
def served(
    world: World, wake: Callable[[str], object] | None = None, also: Sequence[APIRouter] = ()
) -> Iterator[Served]:
    """The orchestrator's routes over `world`, at an address; who is woken goes on at the next pause.

    `also` are routes beside these.
    """
    here = Served(world)
    app = make_app("test", "problem", [*routers(world.context, wake or here.woken.append), *also])
    with serve_app(app) as url:
        here.url = url
        yield here


@dataclass
class Served:
    world: World
    url: str = ""
    woken: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        """Instead of sleeping: every run that was woken goes on."""
        self.pauses.append(seconds)
        self.world.clock.now += seconds
        for run_id in dict.fromkeys(self.woken):
            advance(run_id, self.world.context)

    async def pause_async(self, seconds: float) -> None:
        self.pause(seconds)

    def clock(self) -> float:
        return self.world.clock.now


class Blocking:
    """A blocking client, as the tests use both kinds."""

    def __init__(self, **options: Any) -> None:
        self.client: Any = Client(**options)

    def do(self, result: Any) -> Any:
        return result

    def all(self, items: Any) -> list[Any]:
        return list(items)

    def close(self) -> None:
        self.client.close()


class Awaited:
    """An awaited client, run to each result."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self.client: Any = AsyncClient(**options)

    def do(self, result: Any) -> Any:
        return self._loop.run_until_complete(result)

    def all(self, items: Any) -> list[Any]:
        async def gather() -> list[Any]:
            return [item async for item in items]

        return self.do(gather())

    def close(self) -> None:
        self.do(self.client.aclose())
        self.do(self._loop.shutdown_asyncgens())
        self._loop.close()


KINDS: dict[str, Callable[..., Any]] = {"blocking": Blocking, "awaited": Awaited}


def mocked(kind: str, answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
    """A client whose server is a function; it pauses in no time."""
    pauses: list[float] = []

    async def pause_async(seconds: float) -> None:
        pauses.append(seconds)

    sleep = pause_async if kind == "awaited" else pauses.append
    made = KINDS[kind](
        **{"url": "http://wheel.test", "transport": httpx.MockTransport(answer), "sleep": sleep} | options
    )
    made.pauses = pauses
    return made
