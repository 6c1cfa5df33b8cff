"""`flywheel records import` and `export` with --url: the server's store, over its API."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from client.served import Served, served
from flywheel.cli import app
from flywheel.client import Client, ServerAway
from flywheel.curation.envelope import log_line
from flywheel.stores.logs import EmbeddedLogStore
from run_world import chat_record, make_world, tool_record


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    """A server without any record."""
    world = make_world(tmp_path, EmbeddedLogStore(tmp_path / "records.sqlite"))
    with served(world) as found:
        yield found
    world.close()


def records(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["records", *map(str, arguments)])


def test_records_travel_to_a_server_and_back(here: Served, tmp_path: Path) -> None:
    log, rejects = tmp_path / "log.jsonl.gz", tmp_path / "rejects.jsonl"
    lines = [log_line(tool_record(n)) for n in range(30)]
    log.write_bytes(gzip.compress(b"".join([*lines, b"no record\n"])))
    sent = records("import", log, "--url", here.url, "--rejects", rejects, "--json")
    assert sent.exit_code == 0, (sent.output, sent.exception)
    told = json.loads(sent.stdout)
    assert (told["new"], told["duplicates"], sum(told["rejected"].values())) == (30, 0, 1)
    assert rejects.read_bytes() == b"no record\n"
    assert json.loads(records("import", log, "--url", here.url, "--json").stdout)["duplicates"] == 30

    back = tmp_path / "back.jsonl"
    assert records("export", "--url", here.url, "--output", back).exit_code == 0
    assert sorted(back.read_bytes().splitlines()) == sorted(line.rstrip() for line in lines)
    assert "30 records written" in records("export", "--url", here.url).stderr


def test_records_without_a_name_get_theirs(here: Served, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    bare = {key: value for key, value in json.loads(log_line(chat_record(1))).items() if "_id" not in key}
    log.write_text(json.dumps(bare) + "\n", "utf-8")
    assert records("import", log, "--url", here.url, "-w", "talk", "-c", "app").exit_code == 0
    with Client(here.url) as client:
        assert [(w.client_id, w.workload_id) for w in client.workloads.list()] == [("app", "talk")]
        (found,) = client.records.list(workload_id="talk", order="newest")
        assert found["request"] == bare["request"]
        added = client.records.add([bare, {"nothing": 1}], workload_id="talk", client_id="app")
    assert (added.new, added.duplicates, added.invalid_total) == (0, 1, 1)
    assert added.invalid[0].line == 2


def test_a_server_that_is_away_takes_nothing(tmp_path: Path) -> None:
    log, back = tmp_path / "log.jsonl", tmp_path / "back.jsonl"
    log.write_bytes(log_line(tool_record(1)))
    nowhere = ("--url", "http://127.0.0.1:9")
    assert isinstance(records("import", log, *nowhere).exception, ServerAway)
    assert isinstance(records("export", *nowhere, "--output", back).exception, ServerAway)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
