"""Log files as they come: every form is read, the rest is reported and kept, nothing stops it."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.curation.envelope import Tags
from flywheel.curation.reading import LONGEST_LINE, Rejected, read, sources
from flywheel.models import Record
from traffic import answer, request, user


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "timestamp": 1_700_000_000 + number,
        "workload_id": "support",
        "client_id": "shop",
        "request": request(user(f'question {number} with "quotes", {{braces}} and \\ backslashes')),
        "response": {"id": f"chat-{number}", **answer("Hello!")},
        **changes,
    }


def text(number: int = 1, **changes: Any) -> bytes:
    return json.dumps(line(number, **changes)).encode()


class Slow(io.RawIOBase):
    """A pipe that hands its bytes over in small pieces."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(self._size, size) if size > 0 else self._size)


def read_all(data: bytes | BinaryIO, **options: Any) -> tuple[list[str], list[tuple[int | None, str]], bytes]:
    """Names of records, places and reasons of what was rejected, and the rejected bytes."""
    rejects = io.BytesIO()
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    items = list(read(stream, "log", rejects=rejects, **options))
    records = [item.name for item in items if isinstance(item, Record)]
    rejected = [(item.line, item.reason.value) for item in items if isinstance(item, Rejected)]
    return records, rejected, rejects.getvalue()


FORMS = {
    "lines": b"\n".join(text(n) for n in range(3)),
    "lines with an end": b"\n".join(text(n) for n in range(3)) + b"\n",
    "windows lines and blanks": b"\r\n\r\n".join(text(n) for n in range(3)) + b"\r\n",
    "byte order mark": b"\xef\xbb\xbf" + b"\n".join(text(n) for n in range(3)),
    "array": json.dumps([line(n) for n in range(3)]).encode(),
    "indented array": b"\n  " + json.dumps([line(n) for n in range(3)], indent=2).encode() + b"\n",
    "indented objects": b"\n".join(json.dumps(line(n), indent=2).encode() for n in range(3)),
    "elasticsearch hits": b"\n".join(
        json.dumps({"_index": "flywheel", "_source": line(n)}).encode() for n in range(3)
    ),
    "elasticsearch answer": json.dumps({"hits": {"hits": [{"_source": line(n)} for n in range(3)]}}).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [7, 2**20], ids=["small pieces", "one piece"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_form_is_read(form: str, size: int, packed: bool) -> None:
    data = gzip.compress(FORMS[form]) if packed else FORMS[form]
    assert read_all(Slow(data, size)) == (["chat-0", "chat-1", "chat-2"], [], b"")


def test_gzip_of_several_members() -> None:
    data = gzip.compress(text(1) + b"\n") + gzip.compress(text(2)) + b"\0" * 100
    assert read_all(data)[0] == ["chat-1", "chat-2"]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.5, 1_700_000_000.5),
        (1_700_000_000_500, 1_700_000_000.5),
        (1_700_000_000_500_000, 1_700_000_000.5),
        (1_700_000_000_500_000_000, 1_700_000_000.5),
        ("1700000000", 1_700_000_000.0),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T22:13:20.500+00:00", 1_700_000_000.5),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("2023-11-14 22:13:20", 1_700_000_000.0),
    ],
)
def test_times_in_any_usual_notation(given: Any, seconds: float) -> None:
    (got,) = read(io.BytesIO(text(timestamp=given)), "log")
    assert isinstance(got, Record)
    assert got.timestamp == seconds


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"hello", "not_json"),
        (b'{"timestamp": 1,', "not_json"),
        (b'{"request": NaN}', "not_json"),
        (b'{"request": "\xff\xfe"}', "not_json"),
        (b'{"a":' * 5_000, "not_json"),
        (b"17", "not_an_object"),
        (b'["a"]', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "missing_field"),
        (text(request=None), "missing_field"),
        (text(response=None), "missing_field"),
        (text(request={"prompt": "hello"}), "missing_field"),
        (text(client_id=None), "missing_field"),
        (text(workload_id=""), "missing_field"),
        (text(timestamp=None), "missing_field"),
        (text(workload_id=7), "wrong_type"),
        (text(request="hello"), "wrong_type"),
        (text(request=[1]), "wrong_type"),
        (text(response=True), "wrong_type"),
        (text(request={"messages": "hello"}), "wrong_type"),
        (text(request={"messages": ["hello"]}), "wrong_type"),
        (text(metadata="x"), "wrong_type"),
        (b'{"_source": 3}', "wrong_type"),
        (text(timestamp="yesterday"), "bad_timestamp"),
        (text(timestamp=True), "bad_timestamp"),
        (text(timestamp=-5), "bad_timestamp"),
        (text(timestamp={}), "bad_timestamp"),
        (text(timestamp="9999-01-01"), "bad_timestamp"),
    ],
)
def test_a_line_that_is_no_record_is_reported_and_the_rest_goes_in(bad: bytes, reason: str) -> None:
    records, rejected, rejects = read_all(text(1) + b"\n" + bad + b"\n" + text(3))
    assert records == ["chat-1", "chat-3"]
    assert rejected == [(2, reason)]
    assert rejects == bad + b"\n"


def test_a_broken_element_does_not_take_its_neighbours_along() -> None:
    data = b"[" + text(1) + b', {"timestamp": oops}, 17, "x", ' + text(2) + b"]"
    records, rejected, rejects = read_all(data)
    assert records == ["chat-1", "chat-2"]
    assert rejected == [(2, "not_json"), (2, "not_an_object")]
    assert rejects == b'{"timestamp": oops}\n17, "x"\n'


def test_what_a_line_does_not_name_comes_from_the_caller() -> None:
    bare = {key: value for key, value in line().items() if key in ("timestamp", "request", "response")}
    (got,) = read(io.BytesIO(json.dumps(bare).encode()), "log", tags=Tags("support", "shop"))
    assert isinstance(got, Record)
    assert str(got.workload) == "shop/support"


def test_bodies_that_were_logged_as_text() -> None:
    logged = line(request=json.dumps(line()["request"]), response=json.dumps(line()["response"]))
    assert read_all(json.dumps(logged).encode())[0] == ["chat-1"]


def test_the_time_of_the_response_stands_in() -> None:
    (got,) = read(io.BytesIO(text(timestamp=None, response={"created": 1_700_000_000, **answer("x")})), "log")
    assert isinstance(got, Record)
    assert got.timestamp == 1_700_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_source"),
        (b" \n\n ", "empty_source"),
        (gzip.compress(b""), "empty_source"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0" * 50, "binary_source"),
        (json.dumps(line()).encode("utf-16"), "binary_source"),
        (b"\x1f\x8b garbage after the magic bytes", "corrupt_gzip"),
    ],
    ids=["nothing", "blank", "packed nothing", "binary", "utf-16", "no gzip"],
)
def test_a_source_that_cannot_be_read_gives_one_message(data: bytes, reason: str) -> None:
    records, rejected, _ = read_all(data)
    assert records == []
    assert rejected == [(None, reason)]


def test_truncated_gzip_the_good_part_goes_in() -> None:
    plain = b"\n".join(text(n) for n in range(200))
    packed = gzip.compress(plain)
    records, rejected, rejects = read_all(packed[: len(packed) // 2])
    assert 20 < len(records) < 200
    assert [reason for _, reason in rejected] == ["not_json", "truncated_source"]
    assert rejected[0][0] == len(records) + 1
    assert plain.split(b"\n")[len(records)].startswith(rejects.rstrip(b"\n"))


def test_damaged_gzip_the_part_before_goes_in() -> None:
    packed = bytearray(gzip.compress(b"\n".join(text(n) for n in range(5_000)), compresslevel=0))
    packed[len(packed) // 2 + 5] ^= 0xFF
    packed[-8] ^= 0xFF
    _, rejected, _ = read_all(bytes(packed))
    assert rejected[-1] == (None, "corrupt_gzip")


def test_a_truncated_array_the_good_part_goes_in() -> None:
    data = json.dumps([line(n) for n in range(3)]).encode()
    records, rejected, _ = read_all(data[:-40])
    assert records == ["chat-0", "chat-1"]
    assert rejected == [(3, "not_json"), (None, "truncated_source")]


@pytest.mark.parametrize("array", [False, True], ids=["line", "element"])
def test_a_line_of_50_megabytes_is_reported_in_bounded_memory(array: bool, tmp_path: Path) -> None:
    piece = b"long text \\\\ " * 2**15
    huge = 50 * 2**20 // len(piece)

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self._pieces = self._made()

        def _made(self) -> Iterator[bytes]:
            yield (b"[" if array else b"") + text(1) + (b"," if array else b"\n") + b'{"request": "'
            for _ in range(huge):
                yield piece
            yield b'"}' + (b"," if array else b"\n") + text(3) + (b"]" if array else b"")

        def read(self, size: int = -1) -> bytes:
            return next(self._pieces, b"")

    tracemalloc.start()
    try:
        with (tmp_path / "rejects").open("wb") as rejects:
            items = list(read(Endless(), "log", rejects=rejects))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [item.name if isinstance(item, Record) else item.reason.value for item in items] == [
        "chat-1",
        "line_too_long",
        "chat-3",
    ]
    assert "50 MiB long" in str(items[1])
    assert peak < 3 * LONGEST_LINE
    assert (tmp_path / "rejects").stat().st_size == huge * len(piece) + len(b'{"request": ""}\n')


def test_a_disk_that_fails_is_one_message() -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    assert read_all(Failing())[1] == [(None, "unreadable_source")]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_crash(data: bytes) -> None:
    read_all(data)
    read_all(b'[{"a": ' + data)
    read_all(text() + b"\n" + data)


def test_a_folder_is_read_by_name_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/x.json.gz", "a/notes.txt", ".hidden/c.jsonl", ".d.jsonl", "UPPER.JSONL"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in sources(tmp_path)] == [
        "UPPER.JSONL",
        "a/x.json.gz",
        "b.jsonl",
    ]
