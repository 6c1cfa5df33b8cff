"""Trainings as processes that are killed, stopped, started again and lied to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.training.adapter import finished
from flywheel.training.progress import Progress
from flywheel.training.spec import TrainingSpec

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a training of a SPEC written to a folder; none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(spec: dict[str, Any], folder: Path, **options: Any) -> subprocess.Popen[str]:
        path = folder / "spec.json"
        path.write_text(json.dumps(spec), "utf-8")
        command = [sys.executable, "-m", "flywheel.training", str(path)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def told(folder: Path) -> list[dict[str, Any]]:
    path = folder / "out" / "progress.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for(event: str, step: int, folder: Path, process: subprocess.Popen[str]) -> None:
    def there() -> bool:
        return any(line["event"] == event and line.get("step", 0) >= step for line in told(folder))

    until(lambda: there() or process.poll() is not None)
    assert there(), process.communicate()[1]


def until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.filterwarnings("default")
def test_killed_and_stopped_it_goes_on_and_ends_as_if_nothing_had_been(
    start: Start, spec_of: Any, tmp_path: Path
) -> None:
    """One training in three lives: the first ends by kill -9, the second by SIGTERM."""
    from flywheel.training.train import train

    spec = spec_of(hyperparameters={"epochs": 12, "val_check_interval": 0.5})

    first = start(spec, tmp_path)
    wait_for("step", 7, tmp_path, first)
    first.kill()
    first.communicate()
    killed_at = max(line.get("step", 0) for line in told(tmp_path))
    assert finished(tmp_path / "out" / "adapter") is None

    second = start(spec, tmp_path)
    wait_for("step", killed_at + 4, tmp_path, second)
    second.send_signal(signal.SIGTERM)
    second.communicate()
    assert second.returncode == 143
    lives = [line for line in told(tmp_path) if line["event"] == "started"]
    assert "going on from step" in lives[1]["message"]
    stopped_at = told(tmp_path)[-1]
    assert stopped_at["event"] == "saved"  # The very step that was reached.
    assert 0 < stopped_at["step"] < 48

    third = start(spec, tmp_path)
    assert third.communicate()[1] is not None
    assert third.returncode == 0
    lines = told(tmp_path)
    assert lines[-1]["event"] == "completed"
    assert (
        f"going on from step {stopped_at['step']}"
        in [x for x in lines if x["event"] == "started"][2]["message"]
    )

    again = start(spec, tmp_path)
    again.communicate()
    assert again.returncode == 0
    assert told(tmp_path) == lines  # Nothing was trained again.

    whole = TrainingSpec.model_validate(spec | {"output_dir": str(tmp_path / "whole" / "out")})
    assert train(whole, Progress(whole.output_dir / "progress.jsonl"))
    cards = [finished(folder / "out" / "adapter") for folder in (tmp_path, tmp_path / "whole")]
    assert cards[0] is not None
    assert cards[1] is not None
    assert cards[0]["sha256"] == cards[1]["sha256"]


def test_it_ends_when_its_parent_lets_go(start: Start, spec_of: Any, tmp_path: Path) -> None:
    spec = spec_of(stdin_lifeline=True, hyperparameters={"epochs": 10_000})
    process = start(spec, tmp_path, stdin=subprocess.PIPE)
    wait_for("started", 0, tmp_path, process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=20)
    assert process.returncode == 143


def test_a_failure_is_one_sentence_and_an_event(start: Start, spec_of: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages": []}\n{"messages": oops\n', "utf-8")
    process = start(spec_of(train=[str(broken)]), tmp_path)
    said = process.communicate()[1]
    assert process.returncode == 1
    (line,) = told(tmp_path)
    assert line["event"] == "failed"
    assert line["message"].startswith(f"{broken}:2: not JSON")
    assert said.strip() == line["message"]
