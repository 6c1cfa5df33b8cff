"""Lists that come in pages, as one iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from flywheel.client.routes import Route
from flywheel.client.steps import Every, Give, Steps

T = TypeVar("T")
PAGE: Final = 200


def listed(
    to: Route,
    plural: str,
    read: Callable[[Any], T],
    *,
    limit: int | None = None,
    offset: int = 0,
    query: Mapping[str, Any] | None = None,
) -> Steps[Every[T]]:
    """Gives every entry from `offset` on, at most `limit`; a page is asked for when it is needed."""
    given = 0
    while limit is None or given < limit:
        wanted = PAGE if limit is None else min(PAGE, limit - given)
        asked = {**(query or {}), "limit": wanted, "offset": offset + given}
        entries, total = yield from to.ask(page(plural, read), query=asked)
        for entry in entries[: None if limit is None else limit - given]:
            given += 1
            yield Give(entry)
        if not entries or offset + given >= total:
            break
    return Every()


def page(plural: str, read: Callable[[Any], T]) -> Callable[[Any], tuple[list[T], int]]:
    """Reads the entries under `plural`, and how many there are in all; without a total, these are all."""

    def entries(answer: Any) -> tuple[list[T], int]:
        found = answer[plural]
        if not isinstance(found, list):
            raise TypeError(f"{plural} is no list")
        return [read(entry) for entry in found], int(answer.get("total", 0))

    return entries
