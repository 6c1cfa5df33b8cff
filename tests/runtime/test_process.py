"""Child processes: started once, told apart, ended for good, whatever dies first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flywheel.runtime import LaunchConflict, LaunchFailed, LaunchSpec, NotEnoughGpus, RuntimeInUse
from flywheel.runtime.process import ProcessRuntime

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(tmp_path / "runtime", max_log_bytes=20_000)
    yield runtime
    runtime.close()


def spec(tmp_path: Path, code: str, *args: str, name: str = "one", **more: object) -> LaunchSpec:
    fields = {"kind": "job", "workdir": tmp_path / "work", **more}
    return LaunchSpec(name=name, command=(sys.executable, "-c", code, *args), **fields)


def until(met: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for another process to get somewhere; there is nothing to subscribe to."""
    tick = threading.Event()
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        tick.wait(0.02)


def test_a_job_that_ends_well_has_succeeded_and_is_not_run_again(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    job = spec(tmp_path, "open('ran', 'a').write('x'); print('hello')")

    assert runtime.launch(job).started
    assert runtime.wait("one", 20).state == "succeeded"
    assert not runtime.launch(job).started

    assert runtime.logs("one") == "hello"
    assert (tmp_path / "work/ran").read_text() == "x"


def test_a_job_that_fails_says_how_and_may_be_started_again(runtime: ProcessRuntime, tmp_path: Path) -> None:
    job = spec(tmp_path, "raise SystemExit(3)")
    runtime.launch(job)

    status = runtime.wait("one", 20)

    assert (status.state, status.exit_code, status.cause) == ("failed", 3, "exit code 3")
    assert runtime.launch(job).started


def test_a_command_that_does_not_exist_fails_with_its_name(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.launch(LaunchSpec(name="one", kind="job", command=("no-such-program",), workdir=tmp_path))

    status = runtime.wait("one", 20)

    assert status.state == "failed"
    assert status.cause == "no-such-program: No such file or directory"


def test_a_folder_that_cannot_be_entered_is_refused(runtime: ProcessRuntime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchFailed, match="one"):
        runtime.launch(LaunchSpec(name="one", kind="job", command=("true",), workdir=tmp_path / "file"))


def test_one_name_runs_once(runtime: ProcessRuntime, tmp_path: Path) -> None:
    assert runtime.launch(spec(tmp_path, SLEEP)).started
    assert not runtime.launch(spec(tmp_path, SLEEP)).started
    with pytest.raises(LaunchConflict):
        runtime.launch(spec(tmp_path, "print(2)"))


def test_stop_ends_it_and_forgets_it_but_keeps_its_log(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.launch(spec(tmp_path, SLEEP, kind="server", labels={"service": "x"}))
    until(lambda: runtime.logs("one") == "up")
    assert runtime.names({"service": "x"}) == ["one"]

    runtime.stop("one")

    assert runtime.status("one").state == "absent"
    assert runtime.names({}) == []
    assert runtime.logs("one") == "up"


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
    runtime.launch(spec(tmp_path, deaf))
    until(lambda: runtime.logs("one") == "up")
    pids = family(tmp_path)

    runtime.stop("one", grace_s=0.1)

    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_what_a_job_started_does_not_outlive_it(runtime: ProcessRuntime, tmp_path: Path) -> None:
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}])"
    runtime.launch(spec(tmp_path, parent))

    assert runtime.wait("one", 20).state == "succeeded"
    until(lambda: not family(tmp_path))


def test_logs_are_bounded(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.launch(spec(tmp_path, "for i in range(20000): print(f'line {i}')"))
    runtime.wait("one", 20)

    assert runtime.logs("one", tail=2) == "line 19998\nline 19999"
    folder = tmp_path / "runtime/one"
    assert sum(f.stat().st_size for f in folder.glob("log*")) < 200_000


def test_secrets_of_the_environment_are_not_written(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = "import os; print(os.environ['HF_TOKEN'] == 'hunter2')"
    runtime.launch(spec(tmp_path, code, env={"HF_TOKEN": "hunter2"}))
    runtime.wait("one", 20)

    assert runtime.logs("one") == "True"
    assert not [p for p in (tmp_path / "runtime").rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        LaunchSpec(name=name, kind="job", command=("true",), workdir=tmp_path)


def test_gpus_are_handed_out_once_and_come_back(tmp_path: Path) -> None:
    runtime = ProcessRuntime(tmp_path / "runtime", gpus=("0", "1"))
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True);" + SLEEP
    runtime.launch(spec(tmp_path, show, name="one", gpus=1))
    with pytest.raises(NotEnoughGpus, match="needs 2 GPUs, 1 of 2 are free") as refused:
        runtime.launch(spec(tmp_path, show, name="two", gpus=2))
    assert refused.value.ever

    runtime.stop("one")
    runtime.launch(spec(tmp_path, show, name="two", gpus=2))

    until(lambda: runtime.logs("two").startswith("0,1"))
    runtime.close()


def test_a_job_shares_a_gpu_with_a_server_only_when_none_is_free(tmp_path: Path) -> None:
    runtime = ProcessRuntime(tmp_path / "runtime", gpus=("0", "1"))
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True);" + SLEEP
    for name, kind in (("server-a", "server"), ("job-a", "job"), ("job-b", "job")):
        runtime.launch(spec(tmp_path, show, name=name, kind=kind, gpus=1))
    with pytest.raises(NotEnoughGpus, match="0 of 2 are free"):
        runtime.launch(spec(tmp_path, show, name="job-c", gpus=1))

    for name, gpu in (("server-a", "0"), ("job-a", "1"), ("job-b", "0")):
        until(lambda name=name, gpu=gpu: runtime.logs(name).startswith(gpu))
    runtime.close()


def test_without_a_gpu_budget_programs_see_no_gpu(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.launch(spec(tmp_path, "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))", gpus=1))
    runtime.wait("one", 20)

    assert runtime.logs("one") == "''"


def test_two_owners_of_one_folder_are_refused(runtime: ProcessRuntime, tmp_path: Path) -> None:
    with pytest.raises(RuntimeInUse, match="runtime"):
        ProcessRuntime(tmp_path / "runtime")


# A program in a session of its own, so that only the mark in its environment can find it.
RUNAWAY = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"
)
OWNER = textwrap.dedent(
    """
    import sys, pathlib, time
    from flywheel.runtime import LaunchSpec
    from flywheel.runtime.process import ProcessRuntime
    folder, code, done = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    runtime = ProcessRuntime(folder / "runtime")
    def launch(name, code):
        command = (sys.executable, "-c", code)
        runtime.launch(LaunchSpec(name=name, kind="job", command=command, workdir=folder / "work"))
    launch("done", "pass")
    runtime.wait("done", 20)
    launch("one", code)
    while not runtime.logs("one").startswith("up"):
        time.sleep(0.02)
    print("launched", flush=True)
    time.sleep(600)
    """
)


def owner(tmp_path: Path, code: str) -> subprocess.Popen[bytes]:
    """Another process that owns a runtime and has launched `code` with it."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), code, ""], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"launched\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def family(tmp_path: Path) -> list[int]:
    """Every living process that was launched under this test's folder."""
    mark = str((tmp_path / "runtime").resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLYWHEEL_RUNTIME") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_kill_9_of_the_owner_alone_ends_its_programs_and_keeps_what_was_finished(tmp_path: Path) -> None:
    process = owner(tmp_path, SLEEP)
    assert family(tmp_path)

    os.kill(process.pid, signal.SIGKILL)
    end(process)

    until(lambda: not family(tmp_path))
    runtime = ProcessRuntime(tmp_path / "runtime")
    assert runtime.reap() == ["one"]
    assert runtime.status("done").state == "succeeded"
    assert runtime.status("one").state == "absent"
    runtime.close()


def test_kill_9_of_the_warden_alone_ends_the_program(tmp_path: Path) -> None:
    runtime = ProcessRuntime(tmp_path / "runtime")
    runtime.launch(spec(tmp_path, SLEEP))
    until(lambda: runtime.logs("one") == "up")
    (warden,) = [pid for pid in family(tmp_path) if "warden.py" in " ".join(psutil.Process(pid).cmdline())]

    os.kill(warden, signal.SIGKILL)

    status = runtime.wait("one", 20)
    assert (status.state, status.cause) == ("failed", "it was killed from outside")
    until(lambda: not family(tmp_path))
    runtime.close()


def test_reap_ends_a_grandchild_that_left_the_session(tmp_path: Path) -> None:
    process = owner(tmp_path, RUNAWAY + "; " + SLEEP)
    until(lambda: len(family(tmp_path)) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    end(process)

    runtime = ProcessRuntime(tmp_path / "runtime")
    runtime.reap()

    assert not family(tmp_path)
    runtime.close()


def test_reap_leaves_this_life_alone(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.launch(spec(tmp_path, SLEEP))

    assert runtime.reap() == []
    assert runtime.status("one").state == "running"
