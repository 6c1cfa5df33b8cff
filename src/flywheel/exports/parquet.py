"""Rows as Parquet: the one door to pyarrow. A row group each thousand rows; what is nested is JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flywheel.exports.jsonl import text_of
from flywheel.exports.tables import Column, Row, Type

_GROUP = 1000
_TYPES: dict[Type, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "truth": pa.bool_(),
}


class _Sink:
    """What pyarrow writes to; what was written is taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, piece: Any) -> int:
        content = bytes(piece)
        self._pieces.append(content)
        self._written += len(content)
        return len(content)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def encoded(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    """A piece for each row group, the footer last."""
    fields = [
        pa.field(column.name, _TYPES[column.type], metadata={"meaning": column.meaning}) for column in columns
    ]
    schema, sink, remaining = pa.schema(fields), _Sink(), iter(rows)
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        while group := list(islice(remaining, _GROUP)):
            arrays = [
                pa.array([_cell(column, row.get(column.name)) for row in group], type=field.type)
                for column, field in zip(columns, fields, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _cell(column: Column, value: Any) -> Any:
    """The value, of the column's type; one that is of another type becomes nothing, a text always a text."""
    if value is None:
        return None
    match column.type:
        case "json":
            return text_of(value)
        case "text":
            return str(value).encode("utf-8", errors="backslashreplace").decode()
        case "truth":
            return bool(value)
        case "integer":
            return int(value) if isinstance(value, int | float) else None
        case "number":
            return float(value) if isinstance(value, int | float) else None
