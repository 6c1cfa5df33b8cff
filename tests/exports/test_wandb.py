"""Runs as offline runs of Weights & Biases, read back from the files that it would sync; nothing leaves."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.exports.tracked import tracked
from reports.documents import run_document

LOSSES = [
    {
        "model_name": "test/student",
        "train": [{"step": 1, "value": 2.5}, {"step": 2, "value": 1.5}, {"step": 4, "value": 1.25}],
        "val": [{"step": 2, "value": 1.75}, {"step": 4, "value": 1.5}],
    }
]
WRITING = """
import json, sys
from pathlib import Path
from flywheel.exports.wandb import written
told = json.load(sys.stdin)
artefacts = {"report.html": b"<html>", "decision.json": b"{}"}
found = written(told["job"], told["losses"], artefacts, Path(told["folder"]))
print(json.dumps({name: str(path) for name, path in found.items()}))
"""
"""In a process of its own, as the client leaves threads and hooks behind."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = run_document(tmp_path_factory.mktemp("run"))
    found: dict[str, Any] = json.loads(json.dumps(made, default=str))
    return found


@pytest.fixture(scope="module")
def outside() -> Iterator[socket.socket]:
    """What would hear a client that calls home."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def write(job: dict[str, Any], folder: Path, outside: socket.socket) -> dict[str, Path]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    proxy = f"http://127.0.0.1:{outside.getsockname()[1]}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "WANDB_BASE_URL")
    told = {"job": job, "losses": LOSSES, "folder": str(folder / "out")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WRITING],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **dict.fromkeys(names, proxy), "HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Path(path) for name, path in json.loads(done.stdout).items()}


def records(folder: Path) -> Iterator[Any]:
    """The records of an offline run: protocol buffers in a log of LevelDB's format, after seven bytes."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("*.wandb")
    content = file.read_bytes()
    assert content[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # No record begins in the rest of a block.
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # Whole, or the last part.
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def items(found: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in found}


@pytest.fixture(scope="module")
def runs(
    job: dict[str, Any], outside: socket.socket, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wandb")
    write(job, folder, outside)
    return write(job, folder, outside)  # The second one takes the place of the first.


def test_scores_with_their_intervals_are_read_back(runs: dict[str, Path], job: dict[str, Any]) -> None:
    (told,) = tracked(job, LOSSES)
    summary: dict[str, Any] = {}
    for record in records(runs["test/student"]):
        summary |= items(record.summary.update)
    expected = {point.name: point.value for point in told.points if not point.name.endswith("_loss")}
    assert {name: summary[name] for name in expected} == expected
    assert {"customized-eval/function_name.low", "customized-eval/function_name.n"} <= expected.keys()


def test_losses_are_read_back_by_step(runs: dict[str, Path]) -> None:
    rows = [record.history for record in records(runs["test/student"]) if record.HasField("history")]
    found = {row.step.num: items(row.item) for row in rows}
    assert {step: values.get("train_loss") for step, values in found.items()} == {1: 2.5, 2: 1.5, 4: 1.25}
    assert {step: values.get("val_loss") for step, values in found.items()} == {1: None, 2: 1.75, 4: 1.5}


def test_the_run_says_what_it_is_of(runs: dict[str, Path], job: dict[str, Any]) -> None:
    (run, *_) = [record.run for record in records(runs["test/student"]) if record.HasField("run")]
    assert run.project == "support-app-tool_router"
    assert run.run_group == job["id"]
    assert "test/student" in run.tags
    config = items(run.config.update)
    assert config["base_model"] == "test/student"
    assert config["flywheel.run_id"] == job["id"]
    assert config["flywheel.verdict"] == job["decision"]["verdict"]
    hashes = {f"dataset.{each['kind']}.sha256": each["sha256"] for each in job["datasets"]}
    assert {name: config[name] for name in hashes} == hashes


def test_the_page_goes_along_and_this_machine_does_not(runs: dict[str, Path]) -> None:
    files = sorted(path.name for path in (runs["test/student"] / "files").iterdir())
    assert files == ["decision.json", "report.html"]
    kept = {each.path for record in records(runs["test/student"]) for each in record.files.files}
    assert {"decision.json", "report.html"} <= kept
    (log,) = runs["test/student"].glob("*.wandb")
    assert socket.gethostname().encode() not in log.read_bytes()


def test_a_second_export_takes_the_place_of_the_first(runs: dict[str, Path]) -> None:
    (home,) = runs.values()
    assert [path.name for path in home.parent.glob("offline-run-*")] == [home.name]


def test_nothing_has_called_home(runs: dict[str, Path], outside: socket.socket) -> None:
    assert runs
    with pytest.raises(BlockingIOError):
        outside.accept()
