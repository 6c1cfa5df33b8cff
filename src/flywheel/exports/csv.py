"""Rows as CSV (RFC 4180, UTF-8, a line of names first), safe to open in a spreadsheet.

Records and answers hold whatever strangers and models wrote. A spreadsheet takes a cell that begins with
`=`, `+`, `-` or `@` for a formula and runs it, so such a text gets an apostrophe in front, which
spreadsheets do not show; the same after blanks, and for the wide forms of these signs. Numbers are numbers
and stay as they are.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flywheel.exports.jsonl import text_of
from flywheel.exports.tables import Column, Row

_PIECE = 64 * 1024
_FORMULA = frozenset("=+-@")
_STARTS_CELL = frozenset("\t\r\n")
"""Signs that some spreadsheets take for the begin of another cell."""


def encoded(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    """Pieces of about 64 KiB; the first line names the columns."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_cell(column, row.get(column.name)) for column in columns])
        if buffer.tell() >= _PIECE:
            yield _bytes(buffer)
    yield _bytes(buffer)


def guarded(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula."""
    if text and text[0] in _STARTS_CELL:
        return f"'{text}"
    first = text.lstrip()[:1]
    return f"'{text}" if first and unicodedata.normalize("NFKC", first) in _FORMULA else text


def _cell(column: Column, value: Any) -> Any:
    if value is None:
        return ""
    match column.type:
        case "truth":
            return "true" if value else "false"
        case "json":
            return guarded(text_of(value))
        case "text":
            return guarded(str(value).replace("\0", "\N{REPLACEMENT CHARACTER}"))
        case "integer" | "number":
            return value if isinstance(value, int | float) else guarded(str(value))


def _bytes(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode("utf-8", errors="backslashreplace")
    buffer.seek(0)
    buffer.truncate()
    return content
