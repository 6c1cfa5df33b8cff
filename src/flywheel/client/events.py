"""Server-sent events as they come, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from flywheel.client.documents import Event
from flywheel.client.errors import ServerAway, Unreadable
from flywheel.client.routes import Route
from flywheel.client.sse import EventReader
from flywheel.client.steps import Every, Give, Pause, Steps

T = TypeVar("T")
_AGAIN_S: Final = 1.0


def followed(to: Route, read: Callable[[Event], T | None]) -> Steps[Every[T]]:
    """Gives what `read` makes of each event, but for None, until the server says `end`.

    A connection that breaks is made again, with the id of the last event, so that nothing is missed; after as
    many failures in a row as a call is repeated, ServerAway is raised.
    """
    failed = 0
    last: str | None = None
    while True:
        problem = "the stream ended"
        try:
            seen = {"Last-Event-ID": last} if last else {}
            more = yield from to.pieces(headers={"Accept": "text/event-stream", **seen})
            reader = EventReader()
            while piece := (yield from more()):
                for event in _events(to, reader, piece):
                    failed, last = 0, event.id or last
                    if event.event == "end":
                        return Every()
                    if (found := read(event)) is not None:
                        yield Give(found)
                last = reader.last_id or last
        except ServerAway as error:
            problem = error.reason
        failed += 1
        if failed > to.retries:
            raise ServerAway(to.url, to.method, to.path, problem)
        yield Pause(_AGAIN_S)


def _events(to: Route, reader: EventReader, piece: bytes) -> list[Event]:
    try:
        return list(reader.feed(piece))
    except ValueError as error:
        raise Unreadable(to.url, to.method, to.path, f"an event that is not JSON: {error}") from error
