"""Whether a document is what a NeMo list query's `filter` or `search` asks for.

A leaf of a query is the list of its alternatives, as text; a group is a dict of fields, or a range when its
keys are `gte`, `lte` and the like. This file knows documents, not entities: what a field means is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_RANGE = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "start", "end"})


def matches(value: Any, wanted: Any) -> bool:
    """Whether `value` is what a filter `wanted`: a group of fields, a range, or one of some alternatives."""
    if not isinstance(wanted, Mapping):
        return any(_equals(value, text) for text in _texts(wanted))
    if _is_range(wanted) and not isinstance(value, dict):
        return _within(value, wanted)
    if isinstance(value, list):
        return any(matches(item, wanted) for item in value)
    if isinstance(value, str):  # A reference may be the text "ns/name" or an object with a name.
        return wanted.keys() <= {"name"} and all(matches(value, w) for w in wanted.values())
    return all(matches((value or {}).get(k), w) for k, w in wanted.items())


def contains(value: Any, wanted: Any) -> bool:
    """Whether `value` has one of the texts that a search `wanted` in it, without regard to case."""
    if not isinstance(wanted, Mapping):
        text = "" if value is None else str(value).casefold()
        return any(part.casefold() in text for part in _texts(wanted))
    if _is_range(wanted) and not isinstance(value, dict):
        return _within(value, wanted)
    fields = value if isinstance(value, dict) else {}
    return all(contains(fields.get(k), w) for k, w in wanted.items())


def _is_range(wanted: Mapping[str, Any]) -> bool:
    return bool(wanted) and wanted.keys() <= _RANGE


def _texts(leaf: Any) -> list[str]:
    """The alternatives of a leaf, as a query string would spell them."""
    values = leaf if isinstance(leaf, list) else [leaf]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, list):
        return any(_equals(item, text) for item in value) or (text == "false" and not value)
    if isinstance(value, str):
        return value == text
    if text in ("true", "false"):  # `filter[peft]=true` asks whether there is any.
        return (value not in (None, False, {})) is (text == "true")
    if isinstance(value, dict):
        name = value.get("name")
        return name is not None and text in (name, f"{value.get('namespace', 'default')}/{name}")
    return value is not None and (str(value) == text or _number(text) == value)


def _within(value: Any, bounds: Mapping[str, Any]) -> bool:
    return all(_compares(value, operator, _texts(bound)[0]) for operator, bound in bounds.items())


def _compares(value: Any, operator: str, bound: str) -> bool:
    if value is None:
        return operator == "neq"
    order = _order(value, bound)
    match operator:
        case "eq":
            return order == 0
        case "neq":
            return order != 0
        case "gt":
            return order > 0
        case "gte" | "start":
            return order >= 0
        case "lt":
            return order < 0
        case _:
            return order <= 0


def _order(value: Any, bound: str) -> int:
    """Negative, zero or positive as `value` comes before, with or after `bound`."""
    limit = _number(bound)
    if isinstance(value, int | float) and limit is not None:
        return (value > limit) - (value < limit)
    left, right = _instant(str(value)), _instant(bound)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    return (str(value) > bound) - (str(value) < bound)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    """A moment as naive UTC, as NeMo's timestamps are."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
