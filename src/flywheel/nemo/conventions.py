"""What every NeMo v1 API has in common: ids, timestamps, list queries, pages and deletes.

The wire contract is fixed by NVIDIA's clients: timestamps are naive UTC with microseconds, a list answers a
page past its end with no data and status 200 (the SDK's iterators ask until they see that), and filters come
as nested brackets with comma-separated alternatives.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, Field

from flywheel.errors import UserError
from flywheel.nemo import filters

T = TypeVar("T")

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NAME = re.compile(r"\w(?:[\w.@+-]|/(?=\w))*", re.ASCII)
_KEY = re.compile(r"\[([^\]]*)\]")


class BadQuery(UserError):
    """A list was asked for with a parameter that makes no sense."""

    def __init__(self, parameter: str, value: str, wanted: str) -> None:
        self.parameter, self.value = parameter, value
        super().__init__(f"query parameter {parameter}={value!r}: {wanted}")


class BadName(UserError):
    """A namespace or an entity was given a name that cannot be one."""

    def __init__(self, what: str, value: str) -> None:
        self.what, self.value = what, value
        super().__init__(
            f"{what} {value!r}: a name starts with a letter, a digit or _ and goes on with letters, digits "
            "and any of . _ - @ + (at most 255 characters)"
        )


def new_id(prefix: str) -> str:
    """A fresh id as NeMo forms them: `cust-` and the base58 of a random uuid."""
    number, digits = uuid.uuid4().int, ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return f"{prefix}-{digits}"


def timestamp() -> str:
    """Now, as NeMo writes it: UTC without a zone, always with microseconds."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def check_name(what: str, value: str, *, slashes: bool = False) -> str:
    """`value`, if it may name something (and so become part of a path); raises BadName.

    `slashes` allows parts as in `meta/llama-3.2-1b`; a part never starts with a dot, so `..` is no name.
    """
    if len(value) > 255 or not _NAME.fullmatch(value) or ("/" in value and not slashes):
        raise BadName(what, value)
    return value


class Deleted(BaseModel):
    """The answer to a delete."""

    message: str = "Resource deleted successfully."
    id: str
    deleted_at: str = Field(default_factory=timestamp)


class Pagination(BaseModel):
    page: int
    page_size: int
    current_page_size: int
    total_pages: int
    total_results: int


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    object: str = "list"
    data: list[T]
    pagination: Pagination
    sort: str
    filter: dict[str, Any] = Field(default_factory=dict)


class QueryParams(Protocol):
    """Starlette's query parameters: keys may repeat."""

    def multi_items(self) -> list[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which entities a list call wants, in which order, and which page of them.

    A leaf of `filter` or `search` is the list of its alternatives, as text: `filter[status]=created,running`
    is `{"status": ["created", "running"]}`.
    """

    page: int = 1
    page_size: int = 10
    sort: str = "-created_at"
    filter: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: QueryParams) -> ListQuery:
        """Read a query string; parameters that are not a list's are ignored. Raises BadQuery."""
        page, size, sort = 1, 10, "-created_at"
        trees: dict[str, dict[str, Any]] = {"filter": {}, "search": {}}
        for key, value in params.multi_items():
            root, _, rest = key.partition("[")
            if key == "page":
                page = _positive(key, value)
            elif key == "page_size":
                size = _positive(key, value)
            elif key == "sort" and value:
                sort = value
            elif root in trees and rest:
                _plant(trees[root], _KEY.findall("[" + rest), value)
        return cls(page, size, sort, trees["filter"], trees["search"])

    def select(self, docs: Iterable[dict[str, Any]]) -> Page[dict[str, Any]]:
        """The wanted page of `docs`, which come oldest first. A page past the end has no data."""
        found = [d for d in docs if filters.matches(d, self.filter) and filters.contains(d, self.search)]
        name = self.sort.removeprefix("-")
        known = [d for d in found if isinstance(d.get(name), str | int | float)]
        unknown = [d for d in found if not isinstance(d.get(name), str | int | float)]
        known.sort(key=lambda d: (isinstance(d[name], str), d[name]))
        if self.sort.startswith("-"):
            known.reverse()
        start = (self.page - 1) * self.page_size
        data = (known + unknown)[start : start + self.page_size]
        pagination = Pagination(
            page=self.page,
            page_size=self.page_size,
            current_page_size=len(data),
            total_pages=-(-len(found) // self.page_size),
            total_results=len(found),
        )
        return Page(data=data, pagination=pagination, sort=self.sort, filter=_echo(self.filter))


def _positive(key: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise BadQuery(key, value, "give a whole number from 1 up")
    return int(value)


def _plant(tree: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise BadQuery(key, value, "is given both as a value and as a group of values")
        tree = below
    leaf = tree.setdefault(keys[-1], [])
    if not isinstance(leaf, list):
        raise BadQuery(keys[-1], value, "is given both as a value and as a group of values")
    leaf.extend(value.split(","))


def _echo(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        k: _echo(v) if isinstance(v, dict) else v[0] if isinstance(v, list) and len(v) == 1 else v
        for k, v in tree.items()
    }
