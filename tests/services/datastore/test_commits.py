"""Commits as clients of hubs send them, read piece by piece however they are cut."""

import base64
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.services.datastore.commits import Commit, Put, Remove, read_commit
from flywheel.services.datastore.errors import BadUpload
from flywheel.services.datastore.git import blob_oid, lfs_pointer
from flywheel.stores.files import Blobs

HEADER = b'{"key":"header","value":{"summary":"s","description":"d","parentCommit":"p"}}\n'
MB = 1_000_000


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def added(commit: Commit, blobs: Blobs) -> dict[str, bytes]:
    return {o.path: blobs.path(o.file.sha256).read_bytes() for o in commit.operations if isinstance(o, Put)}


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_commit_is_read_however_it_is_cut(blobs: Blobs, size: int) -> None:
    lines = [
        {"key": "file", "value": {"content": "aGk=", "path": "a/b", "encoding": "base64"}},
        {"key": "file", "value": {"path": "text", "encoding": "utf-8", "content": "hü"}},
        {"key": "file", "value": {"content": "", "path": "empty", "encoding": "base64"}},
        {"key": "deletedFile", "value": {"path": "old"}},
        {"key": "deletedFolder", "value": {"path": "dir/"}},
    ]
    body = HEADER + b"\n" + "\n".join(json.dumps(line) for line in lines).encode()
    commit = read_commit(pieces(body, size), blobs)
    assert (commit.summary, commit.message, commit.parent) == ("s", "s\n\nd", "p")
    assert added(commit, blobs) == {"a/b": b"hi", "text": "hü".encode(), "empty": b""}
    assert commit.operations[3:] == (Remove("old", folder=False), Remove("dir", folder=True))


@pytest.mark.parametrize("size", [1009, 65_536, 5 * MB])
@pytest.mark.parametrize("content_first", [True, False])
def test_a_long_line_is_decoded_as_it_comes(blobs: Blobs, size: int, content_first: bool) -> None:
    data = bytes(range(256)) * 8000 + b"tail"
    value = {"path": "big", "encoding": "base64"}
    content = {"content": base64.b64encode(data).decode()}
    value = content | value if content_first else value | content
    after = json.dumps({"key": "file", "value": {"content": "aGk=", "path": "next"}})
    body = HEADER + f"{json.dumps({'key': 'file', 'value': value})}\n{after}\n".encode()
    commit = read_commit(pieces(body, size), blobs)
    assert added(commit, blobs) == {"big": data, "next": b"hi"}
    put = commit.operations[0]
    assert isinstance(put, Put)
    assert put.file.oid == blob_oid(len(data), [data])


def test_base64_with_escapes_and_line_ends_is_understood(blobs: Blobs) -> None:
    data = b"\xff\xfe\xfd" * 500_000
    text = base64.encodebytes(data).decode()
    body = json.dumps({"key": "file", "value": {"content": text, "path": "f"}}).replace("/", "\\/")
    commit = read_commit(pieces(HEADER + body.encode(), 4099), blobs)
    assert added(commit, blobs) == {"f": data}


def test_a_file_larger_than_the_memory_it_may_take(blobs: Blobs) -> None:
    block = base64.b64encode(b"0123456789ab" * 5461)

    def body() -> Iterator[bytes]:
        yield HEADER + b'{"key": "file", "value": {"content": "'
        for _ in range(600):
            yield block
        yield b'", "path": "huge", "encoding": "base64"}}\n'

    tracemalloc.start()
    try:
        commit = read_commit(body(), blobs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    put = commit.operations[0]
    assert isinstance(put, Put)
    assert put.file.size == 600 * 12 * 5461
    assert peak < 8 * MB


def test_a_pointer_to_a_stored_file_is_that_file(blobs: Blobs) -> None:
    """As when a repository is pushed by git: the text stands for the content."""
    sha256 = blobs.put(b"weights", "w")
    for stored, pointer in ((True, lfs_pointer(sha256, 7)), (False, lfs_pointer("a" * 64, 7))):
        line = {"key": "file", "value": {"content": base64.b64encode(pointer).decode(), "path": "w"}}
        put = read_commit([HEADER + json.dumps(line).encode()], blobs).operations[0]
        assert isinstance(put, Put)
        assert (put.file.lfs, put.file.oid) == (stored, blob_oid(len(pointer), [pointer]))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"key":"file","value":{"content":"' + b"A" * 2 * MB, "ends within"),
        (b'{"key":"file","value":{"content":"' + b"%" * 2 * MB + b'","path":"f"}}', "not base64"),
        (b'{"key":"file","value":{"path":"' + b"A" * 2 * MB + b'"}}', "a line this long"),
        (b'{"key":"file","value":{"content":"' + b"A" * 2 * MB + b'","path":"' + b"x" * 2 * MB, "too long"),
        (b'{"key":"file","value":{"content":"' + b"A" * 2 * MB + b'","path":"f"', "no line of a commit"),
        (
            b'{"key":"file","value":{"content":"' + b"A" * 2 * MB + b'","path":"f","encoding":"utf-8"}}',
            "encoded as base64",
        ),
    ],
    ids=["cut off", "not base64", "long path", "long tail", "not closed", "other encoding"],
)
def test_a_long_line_that_is_wrong_is_refused(blobs: Blobs, line: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadUpload, match=why):
        read_commit(pieces(HEADER + line, 65_536), blobs)
    assert list((tmp_path / "incoming").iterdir()) == []
