"""Which GPUs are ours: a stand-in for the driver's tool lists four."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.runtime.gpus import usable_gpus, visible

LISTED = [(str(n), f"GPU-{n}{n}{n}{n}-aaaa") for n in range(4)]


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    tool = tmp_path / "nvidia-smi"
    lines = "\\n".join(f"{index}, {uuid}" for index, uuid in LISTED)
    tool.write_text(f"#!/bin/sh\nprintf '{lines}\\n'\n")
    tool.chmod(0o755)
    return {"PATH": str(tmp_path)}


def test_all_that_the_driver_lists_or_the_first_few(machine: dict[str, str]) -> None:
    assert usable_gpus(None, machine) == ("0", "1", "2", "3")
    assert usable_gpus(2, machine) == ("0", "1")
    assert usable_gpus(0, machine) == ()
    assert usable_gpus(None, {"PATH": "/nowhere"}) == ()


def test_only_what_the_environment_gave_us(machine: dict[str, str]) -> None:
    assert usable_gpus(None, {**machine, "CUDA_VISIBLE_DEVICES": "2,3"}) == ("2", "3")
    assert usable_gpus(1, {**machine, "CUDA_VISIBLE_DEVICES": "3,0"}) == ("3",)
    assert usable_gpus(None, {**machine, "CUDA_VISIBLE_DEVICES": ""}) == ()


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        (None, ("0", "1", "2", "3")),
        ("1", ("1",)),
        (" 1 , 0 ", ("1", "0")),
        ("GPU-2222", ("GPU-2222",)),
        ("GPU-2222-aaaa,1", ("GPU-2222-aaaa", "1")),
        ("MIG-0f0f", ("MIG-0f0f",)),
        ("1,1", ("1",)),
        ("-1", ()),
        ("0,-1,1", ("0",)),
        ("7,0", ()),
        ("none", ()),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(variable: str | None, found: tuple[str, ...]) -> None:
    assert visible(LISTED, variable) == found


def test_a_driver_that_fails_means_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    assert usable_gpus(None, {"PATH": str(tmp_path)}) == ()
    assert "the GPU driver does not answer" in caplog.text
