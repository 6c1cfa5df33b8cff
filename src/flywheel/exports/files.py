"""Rows as a file of one of three formats, piece by piece, so that nothing has to fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from flywheel.errors import Unavailable
from flywheel.exports import csv, jsonl
from flywheel.exports.tables import Column, Row

Format = Literal["csv", "parquet", "jsonl"]

MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class NoParquet(Unavailable):
    """This installation cannot write Parquet."""

    status = 501
    code = "no_parquet"

    def __init__(self) -> None:
        super().__init__("Parquet needs pyarrow where the server runs: pip install 'flywheel[export]'")


def written(columns: Sequence[Column], rows: Iterable[Row], form: Format) -> Iterator[bytes]:
    """The file's content. Raises NoParquet at once where pyarrow is wanted and not installed."""
    match form:
        case "csv":
            return csv.encoded(columns, rows)
        case "jsonl":
            return jsonl.encoded(columns, rows)
        case "parquet":
            try:
                from flywheel.exports import parquet  # noqa: PLC0415 - optional, and slow to import
            except ImportError as error:
                raise NoParquet from error
            return parquet.encoded(columns, rows)
