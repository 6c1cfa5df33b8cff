"""`flywheel runs export`, `runs send` and `datasets export`, against a server that has one run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.client import NotFound, NotSent, Refused, ServerAway
from flywheel.errors import UserError
from flywheel.orchestrator.routers import routers
from flywheel.stores.runs.protocol import RunQuery
from flywheel.web import make_app
from run_world import World, make_records, make_world
from serving_apps import serve_app


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    here = make_world(folder, make_records(folder))
    here.finish(here.start())
    yield here
    here.close()


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with serve_app(make_app("test", "problem", routers(world.context, lambda _: None))) as address:
        yield address


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_the_newest_runs_scores_go_to_stdout_as_csv(url: str) -> None:
    found = run("runs", "export", "--url", url)
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert {row["eval_type"] for row in rows} == {"base-eval", "icl-eval", "customized-eval"}


def test_the_ending_of_the_file_says_the_format(url: str, tmp_path: Path) -> None:
    for name in ("s.parquet", "s.jsonl", "s.csv", "s.txt"):
        assert (
            run("runs", "export", "--what", "samples", "--out", tmp_path / name, "--url", url).exit_code == 0
        )
    assert pq.read_table(tmp_path / "s.parquet").num_rows == 30
    assert len([json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]) == 30
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "s.txt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.jsonl", "s.parquet", "s.txt"]


def test_a_data_set_by_its_name_or_its_address(url: str, world: World, tmp_path: Path) -> None:
    (found,) = world.context.runs.list(RunQuery()).runs
    (train,) = [each for each in found.datasets if each.kind == "train"]
    for name in (train.name, train.uri):
        out = tmp_path / "train.jsonl"
        done = run("datasets", "export", name, "--file", "training/train_data.jsonl", "-o", out, "--url", url)
        assert done.exit_code == 0, done.output
        assert len(out.read_text().splitlines()) == train.files["training/train_data.jsonl"]


def test_what_is_refused_leaves_no_file(url: str, tmp_path: Path) -> None:
    done = run("datasets", "export", "nothing", "--out", tmp_path / "x.csv", "--url", url)
    assert isinstance(done.exception, NotFound)
    assert "there is no data set 'nothing'" in str(done.exception)
    done = run("runs", "export", "--out", tmp_path / "no" / "x.csv", "--url", url)
    assert isinstance(done.exception, NotSent)
    assert "cannot be written" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_breaks_off_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    api = FastAPI()

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("gone")

    @api.get("/api/jobs/{job}/export")
    def export(job: str) -> StreamingResponse:
        return StreamingResponse(pieces())

    (tmp_path / "x.csv").write_text("old")
    with serve_app(api) as url:
        done = run("runs", "export", "0" * 24, "--out", tmp_path / "x.csv", "--url", url)
    assert isinstance(done.exception, ServerAway)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "old"


def test_sending_where_there_is_no_tracker_says_what_to_set(url: str) -> None:
    done = run("runs", "send", "--url", url)
    assert isinstance(done.exception, Refused)
    assert "mlflow_config.enabled" in str(done.exception)


def test_a_run_as_offline_runs_of_weights_and_biases(url: str, world: World, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "flywheel",
        "runs",
        "send",
        "--to",
        "wandb",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(  # In a process of its own, as the client leaves threads behind.
        [*command, "--url", url, "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = json.loads(done.stdout)["pages"].values()
    kept = sorted(path.name for path in (Path(folder) / "files").iterdir())
    assert kept == ["curation.json", "decision.json", "report.html"]
    (log,) = Path(folder).glob("*.wandb")
    assert b"train_loss" in log.read_bytes()


def test_weights_and_biases_without_its_client_says_what_to_install(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flywheel.exports.wandb", None)
    done = run("runs", "send", "--to", "wandb", "--url", url)
    assert isinstance(done.exception, UserError)
    assert "pip install 'flywheel[wandb]'" in str(done.exception)


def test_parquet_without_pyarrow_says_what_to_install(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flywheel.exports.parquet", raising=False)
    monkeypatch.delattr("flywheel.exports.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("runs", "export", "--format", "parquet", "--url", url)
    assert isinstance(done.exception, Refused)
    assert "pip install 'flywheel[export]'" in str(done.exception)
