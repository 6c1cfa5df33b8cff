"""What comes and goes in pieces: events, files, records."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.served import Blocking
from flywheel.client import NotFound, NotSent, ServerAway, Unreadable

Facing = Callable[..., Any]
RECORD = {"timestamp": 1, "workload_id": "w", "client_id": "c", "request": {}, "response": {}}


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces; an exception among them breaks the connection there."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece


class Server:
    """Answers in turn with bodies in pieces; keeps what was sent."""

    def __init__(self, *bodies: Any) -> None:
        self.bodies = list(bodies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if isinstance(body, httpx.Response):
            return body
        return httpx.Response(200, stream=Broken(*body))


def event(number: int, percent: float, name: str = "run") -> bytes:
    data = json.dumps({"status": "running", "percent": percent})
    return f"event: {name}\nid: {number}\ndata: {data}\n\n".encode()


END = b'event: end\nid: 9\ndata: {"status": "completed"}\n\n'


def test_a_run_is_watched_to_its_end(facing: Facing) -> None:
    whole = b"retry: 2000\n\n" + event(1, 0) + b": still here\n\n" + event(2, 50) + END + event(3, 99)
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    user = facing(Server(pieces))
    assert [each.percent for each in user.all(user.client.runs.watch("x"))] == [0, 50]


def test_a_stream_that_breaks_is_taken_up_where_it_was(facing: Facing) -> None:
    server = Server([event(1, 10), httpx.ReadError("cut")], [event(2, 20)], [END])
    user = facing(server)
    assert [each.percent for each in user.all(user.client.runs.watch("x"))] == [10, 20]
    assert [r.headers.get("last-event-id") for r in server.requests] == [None, "1", "2"]
    assert user.pauses == [1.0, 1.0]


def test_a_server_that_stays_away_ends_the_watching(facing: Facing) -> None:
    server = Server([event(1, 10)], [])
    user = facing(server, retries=2)
    with pytest.raises(ServerAway, match="the stream ended"):
        user.all(user.client.runs.watch("x"))
    assert len(server.requests) == 3


def test_watching_what_is_not_there(facing: Facing) -> None:
    user = facing(Server(httpx.Response(404, json={"detail": "Job not found"})))
    with pytest.raises(NotFound):
        user.all(user.client.runs.watch("x"))


def test_an_event_that_is_not_json(facing: Facing) -> None:
    user = facing(Server([b"event: run\ndata: {\n\n"]))
    with pytest.raises(Unreadable, match="an event that is not JSON"):
        user.all(user.client.runs.watch("x"))


def test_an_event_of_several_lines_in_dos_ends(facing: Facing) -> None:
    user = facing(Server([b'event: run\r\ndata: {"status":\r\ndata: "running"}\r', b"\n\r\n", END]))
    assert [each.status for each in user.all(user.client.runs.watch("x"))] == ["running"]


def test_changes_of_the_list_have_no_end() -> None:
    gone = b'event: gone\ndata: {"id": "b"}\n\n'
    run = b'event: run\ndata: {"id": "a", "status": "pending"}\n\n'
    user = Blocking(url="http://wheel.test", transport=httpx.MockTransport(Server([run + gone, run])))
    changes = user.client.runs.changes()
    assert [(each.id, each.gone) for each in (next(changes), next(changes))] == [("a", False), ("b", True)]
    changes.close()
    user.close()


def test_an_export_is_a_file_when_it_is_whole(facing: Facing, tmp_path: Path) -> None:
    server = Server([b"a,b\n", b"1,2\n"])
    user = facing(server)
    target = tmp_path / "scores.parquet"
    assert user.do(user.client.runs.export("x", target, what="samples")) == 8
    assert target.read_bytes() == b"a,b\n1,2\n"
    assert dict(server.requests[0].url.params) == {"what": "samples", "format": "parquet"}
    sink = io.BytesIO()
    user.do(user.client.runs.export("x", sink))
    assert sink.getvalue() == b"a,b\n1,2\n"
    assert server.requests[1].url.params["format"] == "csv"


def test_an_export_that_breaks_leaves_the_old_file(facing: Facing, tmp_path: Path) -> None:
    target = tmp_path / "scores.csv"
    target.write_text("old", "utf-8")
    user = facing(Server([b"a,b\n", httpx.ReadError("cut")]))
    with pytest.raises(ServerAway, match="the stream broke"):
        user.do(user.client.runs.export("x", target))
    assert [each.name for each in tmp_path.iterdir()] == ["scores.csv"]
    assert target.read_text("utf-8") == "old"
    with pytest.raises(NotSent, match="cannot be written"):
        user.do(user.client.runs.export("x", tmp_path / "none" / "scores.csv"))


def dataset(*paths: str) -> httpx.Response:
    return httpx.Response(200, json={"name": "d", "files": [{"path": path} for path in paths]})


def test_every_file_of_a_data_set_is_fetched(facing: Facing, tmp_path: Path) -> None:
    server = Server(dataset("training/a.jsonl", "b.jsonl"), [b"1"], [b"2"])
    user = facing(server)
    made = user.do(user.client.datasets.download("d", tmp_path))
    assert [str(each.relative_to(tmp_path)) for each in made] == ["training/a.jsonl", "b.jsonl"]
    assert (tmp_path / "training" / "a.jsonl").read_bytes() == b"1"
    assert server.requests[1].url.path == "/api/datasets/d/files/training/a.jsonl"


def test_a_file_never_leaves_its_folder(facing: Facing, tmp_path: Path) -> None:
    user = facing(Server(dataset("../outside"), [b"1"]))
    with pytest.raises(NotSent, match="outside"):
        user.do(user.client.datasets.download("d", tmp_path / "here"))
    assert not (tmp_path / "outside").exists()


def test_an_adapter_is_fetched_by_its_name(facing: Facing, tmp_path: Path) -> None:
    model = httpx.Response(200, json={"name": "ns/m@job", "files": [{"path": "adapter.bin"}]})
    server = Server(model, [b"weights"])
    user = facing(server)
    user.do(user.client.models.download("ns/m@job", tmp_path))
    assert (tmp_path / "adapter.bin").read_bytes() == b"weights"
    assert server.requests[0].url.raw_path == b"/api/models/ns/m%40job"
    assert dict(server.requests[1].url.params) == {"name": "ns/m@job", "path": "adapter.bin"}


class Importer:
    """Counts the lines that it is sent."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.tries = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.tries += 1
        if self.tries == 1:
            raise httpx.ReadError("cut")
        self.lines = [json.loads(line) for line in request.content.splitlines()]
        return httpx.Response(200, json={"new": len(self.lines), "duplicates": 0})


@pytest.mark.parametrize("form", ["file", "packed", "list", "lines"])
def test_records_are_sent_again_from_the_beginning(facing: Facing, tmp_path: Path, form: str) -> None:
    lines = b"".join(json.dumps(RECORD | {"timestamp": n}).encode() + b"\n" for n in range(3))
    plain, packed = tmp_path / "log.jsonl", tmp_path / "log.jsonl.gz"
    plain.write_bytes(lines)
    packed.write_bytes(gzip.compress(lines))
    sources: dict[str, Any] = {
        "file": str(plain),
        "packed": packed,
        "list": [RECORD | {"timestamp": n} for n in range(3)],
        "lines": lines.splitlines(),
    }
    server = Importer()
    user = facing(server)
    assert user.do(user.client.records.add(sources[form])).new == 3
    assert [each["timestamp"] for each in server.lines] == [0, 1, 2]


def test_what_can_be_read_once_is_sent_once(facing: Facing) -> None:
    user = facing(Importer())
    with pytest.raises(ServerAway, match="ReadError"):
        user.do(user.client.records.add(RECORD for _ in range(3)))


def test_a_file_that_is_not_there_is_named(facing: Facing, tmp_path: Path) -> None:
    user = facing(Server([b""]))
    with pytest.raises(NotSent, match=r"none\.jsonl: cannot be read"):
        user.do(user.client.records.add(tmp_path / "none.jsonl"))


def test_records_are_read_one_by_one(facing: Facing) -> None:
    server = Server([b'{"timestamp": 1}\n{"time', b'stamp": 2}\n'])
    user = facing(server)
    found = user.all(user.client.records.list(workload_id="w", since=5.0))
    assert [each["timestamp"] for each in found] == [1, 2]
    assert dict(server.requests[0].url.params) == {"workload_id": "w", "since": "5.0", "order": "oldest"}
