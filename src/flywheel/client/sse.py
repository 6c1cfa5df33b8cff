"""Server-sent events out of the bytes of a stream: https://html.spec.whatwg.org/multipage/server-sent-events.html.

Comments are heartbeats and give nothing; an event without data gives nothing either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flywheel.client.documents import Event


class EventReader:
    """Fed with pieces of a stream, wherever they were cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}
        self.last_id: str | None = None

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that `piece` completes. Raises ValueError where the data of one is not JSON."""
        *lines, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line:
                name, _, value = line.decode("utf-8", "replace").partition(":")
                self._fields.setdefault(name, []).append(value.removeprefix(" "))
            elif (event := self._event()) is not None:
                yield event

    def _event(self) -> Event | None:
        fields, self._fields = self._fields, {}
        if "id" in fields:
            self.last_id = fields["id"][-1]
        if "data" not in fields and "event" not in fields:
            return None
        text = "\n".join(fields.get("data", ()))
        data: Any = json.loads(text) if text else None
        return Event(event=fields.get("event", ["message"])[-1], id=self.last_id, data=data)
