"""What the model proxy tells of the models that a job asks there: whether they are back, and their content.

A model elsewhere tells its name alone, so a changed one under an old name cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flywheel.chat import ChatClient
from flywheel.errors import ChatError
from flywheel.patience import Sleep
from flywheel.services.evaluator.plan import Endpoint

_TRIES: Final = 3
"""How often, once a second, the proxy is asked for its list."""
_TRIES_AFTER_RESTART: Final = 300
"""How often, once a second, a restarted job looks whether its models are back."""


class Proxied:
    """The models of one job at the proxy; `asked` are their names: candidate, judge, embedding model."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._contents: dict[str, str] = {}

    async def look(self, client: ChatClient, sleep: Sleep, *, again: bool) -> None:
        """Read the proxy's list; where a job goes on `again`, all that it asks must be on it in 5 minutes.

        If one never is, or the proxy does not answer, the first request says so best.
        """
        awaited = self.asked if again else set()
        for tries_left in reversed(range(_TRIES_AFTER_RESTART if again else _TRIES)):
            try:
                listing = await client.listing()
                self._contents = contents_of(listing)
                if awaited <= {str(entry["id"]) for entry in listing}:
                    return
            except ChatError:
                pass  # The proxy is starting as well.
            if tries_left:
                await sleep(1.0)

    def content_of(self, endpoint: Endpoint) -> str | None:
        """The hash of the model, where the proxy serves it and tells one."""
        return self._contents.get(endpoint.model) if endpoint.proxied else None


def contents_of(listing: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The hash of each model on the list that has one: of an adapter that of its base, since an adapter's own
    name never changes its content."""
    told = {str(entry["id"]): entry.get("sha256") for entry in listing}
    of_base = {str(entry["id"]): told.get(str(entry.get("parent") or entry["id"])) for entry in listing}
    return {name: str(sha256) for name, sha256 in of_base.items() if sha256}
