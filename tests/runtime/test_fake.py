"""The scripted runtime keeps the protocol that the process runtime keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.runtime import LaunchConflict, LaunchSpec
from flywheel.runtime.fake import FakeProgram, FakeRuntime


def spec(name: str = "one", command: tuple[str, ...] = ("x",), kind: str = "job") -> LaunchSpec:
    return LaunchSpec(name=name, kind=kind, command=command, workdir=Path(), labels={"a": "b"})  # type: ignore[arg-type]


def test_a_job_succeeds_once() -> None:
    runtime = FakeRuntime()

    assert runtime.launch(spec()).started
    assert runtime.wait("one", 0).state == "succeeded"
    assert not runtime.launch(spec()).started
    assert len(runtime.launched) == 1


def test_a_script_decides_how_it_ends() -> None:
    def script(program: FakeProgram) -> None:
        program.print("out of memory")
        program.exit(1)

    runtime = FakeRuntime(script)
    runtime.launch(spec())

    assert runtime.status("one").cause == "exit code 1"
    assert runtime.logs("one") == "out of memory"
    assert runtime.launch(spec()).started


def test_a_script_that_does_not_exit_runs_until_it_is_stopped() -> None:
    runtime = FakeRuntime(lambda program: None)
    runtime.launch(spec(kind="server"))
    with pytest.raises(LaunchConflict):
        runtime.launch(spec(command=("y",), kind="server"))
    assert runtime.names({"a": "b"}) == ["one"]

    runtime.close()

    assert runtime.status("one").state == "absent"
