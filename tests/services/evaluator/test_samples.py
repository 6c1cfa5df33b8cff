"""The file of samples: grows only, survives torn lines and full disks."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import StorageFull
from flywheel.services.evaluator.samples import Samples


def sample(index: int, **fields: Any) -> dict[str, Any]:
    return {"task": "t", "key": f"k{index}", "index": index, **fields}


def test_a_later_line_about_a_sample_replaces_the_earlier(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "job" / "samples.jsonl")
    assert samples.records() == []
    for record in (sample(1, score=0), sample(0), sample(1, score=1)):
        samples.append(record)
    samples.sync()
    assert Samples(samples.path).records() == [sample(0), sample(1, score=1)]


def test_a_torn_line_is_ignored_and_cut_off_by_the_next(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    samples.append(sample(0))
    with samples.path.open("ab") as file:
        file.write(b'{"task": "t", "key": "k1", "ind')
    assert samples.records() == [sample(0)]
    samples.append(sample(2))
    assert samples.records() == [sample(0), sample(2)]
    assert len(samples.path.read_bytes().splitlines()) == 2


def test_what_is_not_wanted_any_more_is_left_out(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    assert samples.retain({("t", "k0")}) == 0
    for record in (sample(0), sample(1, score=0), sample(1, score=1), sample(2)):
        samples.append(record)
    before = samples.path.stat().st_ino
    assert samples.retain({("t", "k0"), ("t", "k1"), ("t", "k2"), ("t", "k3")}) == 0
    assert samples.path.stat().st_ino == before
    assert samples.retain({("t", "k0"), ("t", "k2"), ("other", "k1")}) == 1
    samples.append(sample(3))
    assert Samples(samples.path).records() == [sample(0), sample(2), sample(3)]


def test_a_file_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"task"')
    Samples(path).append(sample(0))
    assert Samples(path).records() == [sample(0)]


def test_what_models_say_is_stored_whatever_it_is(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    strange = sample(0, text="\ud83d half", number=float("nan"), more=[{"x": float("inf")}], big=10**400)
    samples.append(strange)
    (record,) = samples.records()
    assert record == strange | {"number": "nan", "more": [{"x": "inf"}]}
    json.dumps(record, allow_nan=False)


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "eval-1" / "samples.jsonl"
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="no space left on the disk: a sample of eval-1"):
        Samples(path).append(sample(0))


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")

    def write(start: int) -> None:
        for index in range(start, start + 50):
            samples.append(sample(index, text="x" * 500))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record["index"] for record in samples.records()] == list(range(150))
