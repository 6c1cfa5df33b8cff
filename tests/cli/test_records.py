"""`flywheel records` as a person uses it, on a data folder of their own."""

from __future__ import annotations

import gzip
import io
import json
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from flywheel.cli.importing import STDIN, import_files
from flywheel.cli.records import app
from flywheel.errors import UserError
from flywheel.stores.logs import EmbeddedLogStore
from traffic import SHOP, record, tracking


def lines(count: int = 3) -> bytes:
    wires = (
        {
            "timestamp": each.timestamp,
            "workload_id": each.workload_id,
            "client_id": each.client_id,
            "request": each.request,
            "response": each.response,
        }
        for each in (tracking(number) for number in range(count))
    )
    return b"".join(json.dumps(wire).encode() + b"\n" for wire in wires)


class Shell:
    """Runs the commands in a folder, where logs lie beside the data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        command = [arguments[0], "--data", str(self.data), *arguments[1:]]
        return CliRunner(env={"COLUMNS": "300"}).invoke(app, command, input=stdin)

    def json(self, *arguments: str, stdin: bytes | None = None) -> Any:
        result = self(*arguments, "--json", stdin=stdin)
        return json.loads(result.stdout)

    def file(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_importing_twice_adds_nothing(shell: Shell) -> None:
    log = shell.file("log.jsonl.gz", gzip.compress(lines()))
    first, second = shell("import", log), shell("import", log)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "3 new records, 0 were there already, 0 rejected" in first.stdout
    assert "0 new records, 3 were there already, 0 rejected" in second.stdout


def test_the_same_log_as_lines_and_as_an_array_is_the_same_log(shell: Shell) -> None:
    array = [json.loads(line) for line in lines().splitlines()]
    shell("import", shell.file("log.jsonl", lines()))
    told = shell.json("import", shell.file("log.json", json.dumps(array, indent=1).encode()))
    assert (told["new"], told["duplicates"]) == (0, 3)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_standard_input(shell: Shell, packed: bool) -> None:
    told = shell.json("import", "-", stdin=gzip.compress(lines()) if packed else lines())
    assert told["new"] == 3
    assert told["workloads"] == [{"client_id": "shop", "workload_id": "support", "records": 3}]


def test_a_folder(shell: Shell) -> None:
    (shell.folder / "logs" / "june").mkdir(parents=True)
    shell.file("logs/a.jsonl", lines(2))
    shell.file("logs/june/b.json.gz", gzip.compress(lines(5)))
    assert shell.json("import", str(shell.folder / "logs"))["new"] == 5


def test_a_bad_line_is_reported_kept_and_the_rest_goes_in(shell: Shell) -> None:
    log = shell.file("log.jsonl", lines(1) + b"oops\n" + lines(2))
    result = shell("import", log, "--rejects", str(shell.folder / "bad.jsonl"))
    assert result.exit_code == 0
    assert f"{log}:2: is not JSON" in result.stderr
    assert "2 new records, 1 were there already, 1 rejected" in result.stdout
    assert (shell.folder / "bad.jsonl").read_bytes() == b"oops\n"


def test_many_bad_lines_are_counted_not_listed(shell: Shell) -> None:
    result = shell("import", shell.file("log.jsonl", lines() + b"oops\n" * 1_000))
    assert result.stderr.count("is not JSON") == 5
    assert "995 more: not_json" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x7fELF\0\0\0" * 100, "is a binary file"),
        (b"timestamp,workload\n1,2\n", "is not JSON"),
        (gzip.compress(b""), "is empty"),
    ],
    ids=["nothing", "binary", "csv", "packed nothing"],
)
def test_a_file_without_any_record_fails_with_one_message(shell: Shell, content: bytes, message: str) -> None:
    result = shell("import", shell.file("log", content))
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_truncated_file_gives_what_it_has(shell: Shell) -> None:
    packed = gzip.compress(lines(300))
    result = shell("import", shell.file("log.gz", packed[: len(packed) * 2 // 3]))
    assert result.exit_code == 0
    assert "the gzip data ends too early" in result.stderr
    assert EmbeddedLogStore(shell.data / "records.sqlite").count() > 50


def test_a_file_that_is_not_there_stops_before_anything_is_read(shell: Shell) -> None:
    result = shell("import", shell.file("log.jsonl", lines()), "nowhere.jsonl")
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == "nowhere.jsonl: there is no such file or folder"
    assert EmbeddedLogStore(shell.data / "records.sqlite").count() == 0


def test_a_file_that_may_not_be_read_fails_and_the_others_go_in(shell: Shell, tmp_path: Path) -> None:
    store = EmbeddedLogStore(tmp_path / "r")
    good = Path(shell.file("log.jsonl", lines()))

    class Unopenable(type(good)):  # type: ignore[misc]
        def open(self, *arguments: Any, **options: Any) -> Any:
            raise PermissionError(13, "Permission denied")

    imported = import_files([Unopenable(good), good], store)
    assert (imported.new, imported.failed) == (3, True)
    assert "cannot be opened: Permission denied" in str(imported.examples[0])


def test_an_empty_folder_says_what_it_looked_for(shell: Shell) -> None:
    (shell.folder / "logs").mkdir()
    assert "holds no .jsonl" in str(shell("import", str(shell.folder / "logs")).exception)


def test_rejects_never_overwrite_what_is_imported(shell: Shell) -> None:
    log = shell.file("log.jsonl", lines())
    assert "choose another" in str(shell("import", log, "--rejects", log).exception)
    assert Path(log).read_bytes() == lines()


def test_no_rejects_no_file(shell: Shell) -> None:
    shell("import", shell.file("log.jsonl", lines()), "--rejects", str(shell.folder / "bad.jsonl"))
    assert not (shell.folder / "bad.jsonl").exists()


def test_lines_that_do_not_name_their_workload(shell: Shell) -> None:
    bare = {key: value for key, value in json.loads(lines(1)).items() if not key.endswith("_id")}
    log = shell.file("log.json", json.dumps([bare]).encode())
    assert shell.json("import", log)["rejected"] == {"missing_field": 1}
    assert shell.json("import", log, "-w", "support", "-c", "shop")["new"] == 1


def test_import_from_a_stream_that_is_handed_in(tmp_path: Path) -> None:
    read: list[int] = []
    imported = import_files(
        [STDIN], EmbeddedLogStore(tmp_path / "r"), stdin=io.BytesIO(lines()), progress=read.append
    )
    assert (imported.new, sum(read)) == (3, len(lines()))


class TestAfterAnImport:
    @pytest.fixture(autouse=True)
    def imported(self, shell: Shell) -> None:
        shell("import", shell.file("log.jsonl", lines(60)))

    def test_list(self, shell: Shell) -> None:
        result = shell("list", "--limit", "2")
        assert "where is order 59" in result.stdout
        assert 'track_order({"order": "59"})' in result.stdout
        assert "where is order 57" not in result.stdout

    def test_list_by_time_and_name(self, shell: Shell) -> None:
        told = shell.json("list", "-w", "support", "--since", "2023-11-14T22:14:00", "--until", "1700000042")
        assert [each["timestamp"] for each in told] == [1_700_000_041, 1_700_000_040]
        assert shell.json("list", "-w", "other") == []

    def test_a_time_that_is_none(self, shell: Shell) -> None:
        result = shell("list", "--since", "yesterday")
        assert result.exit_code == 2
        assert "neither a number nor ISO 8601" in result.stderr

    def test_stats(self, shell: Shell) -> None:
        assert shell.json("stats") == [
            {
                "client_id": "shop",
                "workload_id": "support",
                "records": 60,
                "first": "2023-11-14T22:13:20+00:00",
                "last": "2023-11-14T22:14:19+00:00",
            }
        ]
        assert "support" in shell("stats").stdout

    def test_stats_by_day(self, shell: Shell) -> None:
        EmbeddedLogStore(shell.data / "records.sqlite").add([record(at=86_400.0), record(at=172_799.0)])
        days = [{"day": "1970-01-02", "records": 2}, {"day": "2023-11-14", "records": 60}]
        assert shell.json("stats", "--by-day") == days
        assert "2023-11-14" in shell("stats", "--by-day").stdout

    def test_check(self, shell: Shell) -> None:
        told = shell.json("check", "-w", "support", "-c", "shop")
        assert told["records_in"] == 60
        assert "train" in shell("check", "-w", "support", "-c", "shop").stdout

    @pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
    def test_an_export_can_be_imported(self, shell: Shell, name: str) -> None:
        out = shell.folder / name
        assert "60 records written" in shell("export", "-o", str(out)).stderr
        other = Shell(shell.folder)
        other.data = shell.folder / "other"
        assert other.json("import", str(out))["new"] == 60
        stores = [EmbeddedLogStore(each.data / "records.sqlite") for each in (shell, other)]
        assert list(stores[0].query()) == list(stores[1].query())

    def test_export_to_the_terminal(self, shell: Shell) -> None:
        first = json.loads(shell("export").stdout.splitlines()[0])
        assert first["request"]["messages"][0]["content"] == "where is order 0"
        assert first["timestamp"] == 1_700_000_000

    def test_export_to_where_nothing_can_be_written(self, shell: Shell) -> None:
        result = shell("export", "-o", str(shell.folder / "no" / "out.jsonl"))
        assert "cannot be written" in str(result.exception)

    def test_delete_asks_first(self, shell: Shell) -> None:
        store = EmbeddedLogStore(shell.data / "records.sqlite")
        assert shell("delete", "-w", "support", stdin=b"n\n").exit_code == 1
        assert store.count() == 60
        assert "60 records deleted" in shell("delete", "-w", "support", "--yes").stdout
        assert store.count(SHOP) == 0

    def test_prune_by_age(self, shell: Shell) -> None:
        store = EmbeddedLogStore(shell.data / "records.sqlite")
        store.add([tracking(99, at=time.time() - 3_600)])
        assert shell("prune", "--older-than", "1", stdin=b"n\n").exit_code == 1
        assert store.count() == 61
        assert shell.json("prune", "--older-than", "1", "--yes") == {"deleted": 60}
        assert [each.name for each in store.query()] == ["chat-99"]

    def test_prune_as_the_configuration_says(self, shell: Shell) -> None:
        config = shell.file("config.yaml", b"records: {retention_days: 30}")
        assert "or set records.retention_days" in str(shell("prune", "--yes").exception)
        assert shell.json("prune", "--config", config, "--yes") == {"deleted": 60}

    def test_delete_a_conversation(self, shell: Shell) -> None:
        store = EmbeddedLogStore(shell.data / "records.sqlite")
        store.add([record(conversation="c1", at=1.0), record(conversation="c2", at=2.0)])
        assert shell.json("delete", "--conversation", "c1", "--yes") == {"deleted": 1}
        assert shell.json("delete", "--conversation", "c2", "-w", "other", "--yes") == {"deleted": 0}
        assert store.count() == 61

    def test_delete_wants_to_know_which(self, shell: Shell) -> None:
        assert "or say --all" in str(shell("delete", "--yes").exception)
        assert shell.json("delete", "--all", "--yes") == {"deleted": 60}


def test_the_store_that_the_configuration_names(shell: Shell, elasticsearch_url: str) -> None:
    index = f"test-{uuid.uuid4().hex[:12]}"
    records = {"type": "elasticsearch", "url": elasticsearch_url, "index": index}
    config = ["--config", shell.file("config.yaml", json.dumps({"records": records}).encode())]
    try:
        assert shell.json("stats", *config) == []
        assert shell.json("import", shell.file("log.jsonl", lines(3)), *config)["new"] == 3
        assert [each["records"] for each in shell.json("stats", *config)] == [3]
        assert shell("export", *config).stdout.count("\n") == 3
        assert shell.json("delete", "--all", "--yes", *config) == {"deleted": 3}
        assert not shell.data.exists()
    finally:
        httpx.delete(f"{elasticsearch_url}/{index}", timeout=20)
        httpx.delete(f"{elasticsearch_url}/_index_template/flywheel-{index}", timeout=20)


def test_no_records_yet_says_how_to_get_some(shell: Shell) -> None:
    assert "flywheel records import FILE" in str(shell("list").exception)
    assert not shell.data.exists()


def test_metadata_survives_export(shell: Shell) -> None:
    EmbeddedLogStore(shell.data / "records.sqlite").add([record(conversation="c1", at=1.5)])
    told = json.loads(shell("export").stdout)
    assert (told["metadata"], told["timestamp"]) == ({"conversation_id": "c1"}, 1.5)


def test_what_strangers_wrote_does_not_reach_the_terminal_as_commands(shell: Shell) -> None:
    EmbeddedLogStore(shell.data / "records.sqlite").add([record("\x1b]0;owned\x07 [bold]hi[/bold]")])
    told = shell("list").stdout
    assert "\x1b" not in told
    assert "[bold]hi[/bold]" in told
