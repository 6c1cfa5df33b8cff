"""Rows as JSON lines: one object a line, nested values as they are, in ASCII.

ASCII, since models can emit half a surrogate pair, which UTF-8 does not have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flywheel.exports.tables import Column, Row


def encoded(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    """A piece for each row."""
    names = [column.name for column in columns]
    for row in rows:
        yield text_of({name: row.get(name) for name in names}).encode("ascii") + b"\n"


def text_of(value: Any) -> str:
    """`value` as JSON; numbers that JSON does not have become null."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
