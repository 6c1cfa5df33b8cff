"""Reading a training's progress while it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywheel.services.customizer.progress import Progress


def step(number: int, **more: object) -> str:
    event = {"event": "step", "step": number, "steps_total": 100, "train_loss": 1 / number, **more}
    return json.dumps(event) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.jsonl"


def test_before_there_is_a_file_nothing_is_known(path: Path) -> None:
    progress = Progress(path, 10)

    assert not progress.read()
    assert progress.details() == {"metrics": {"keys": [], "metrics": {}}}


def test_a_half_written_line_is_read_when_it_is_complete(path: Path) -> None:
    progress, line = Progress(path, 1), step(2)
    path.write_text(step(1) + line[:20])

    assert progress.read()
    assert progress.details()["steps_completed"] == 1
    assert not progress.read()

    with path.open("a") as file:
        file.write(line[20:])
    assert progress.read()
    assert progress.details()["steps_completed"] == 2


def test_losses_are_kept_as_seldom_as_the_job_says(path: Path) -> None:
    progress = Progress(path, 25)
    path.write_text("".join(step(n) for n in range(1, 101)))
    progress.read()

    points = progress.details()["metrics"]["metrics"]["train_loss"]

    assert [point["step"] for point in points] == [1, 25, 50, 75, 100]
    assert progress.details()["percentage_done"] == 100.0


def test_a_resumed_training_replaces_the_steps_that_it_repeats(path: Path) -> None:
    progress = Progress(path, 1)
    path.write_text(step(1) + step(2) + step(3, train_loss=9.0) + step(3) + step(4))
    progress.read()

    points = progress.details()["metrics"]["metrics"]["train_loss"]

    assert [(point["step"], point["value"]) for point in points] == [
        (1, 1.0),
        (2, 0.5),
        (3, 1 / 3),
        (4, 0.25),
    ]


def test_a_line_that_a_crash_cut_short_is_left_out(path: Path) -> None:
    progress = Progress(path, 1)
    path.write_text(step(1) + '{"event": "st\n' + "[]\n" + step(2))
    progress.read()

    assert progress.details()["steps_completed"] == 2


def test_a_loss_that_is_no_number_is_no_point(path: Path) -> None:
    progress = Progress(path, 1)
    path.write_text('{"event": "step", "step": 1, "train_loss": NaN}\n')
    progress.read()

    assert progress.details()["metrics"]["keys"] == []


def test_a_failure_is_forgotten_when_training_goes_on(path: Path) -> None:
    progress = Progress(path, 1)
    path.write_text('{"event": "failed", "message": "out of memory"}\n')
    progress.read()
    assert progress.failure == "out of memory"

    with path.open("a") as file:
        file.write(step(1))
    progress.read()
    assert progress.failure is None
