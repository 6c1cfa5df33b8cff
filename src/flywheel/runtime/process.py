"""Programs as child processes of this one, on this machine.

Each name has a folder with `process.json` (pid, start time, what was asked for), `log`, and once it has ended
`exit.json`. The folder is the truth, so a later life of the same data folder knows what finished and finds
what did not. Every program runs behind a warden (`warden.py`) in a session of its own; a mark in its
environment lets `reap` find even grandchildren that left the session. Values of `env` may be secrets and are
never written.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
from pydantic import BaseModel

from flywheel.errors import StorageFull
from flywheel.log import get_logger
from flywheel.runtime.protocol import (
    Handle,
    LaunchConflict,
    LaunchFailed,
    LaunchSpec,
    NotEnoughGpus,
    RuntimeInUse,
    Site,
    Status,
)
from flywheel.telemetry.health import Finding

log = get_logger(__name__)

MARK = "FLYWHEEL_RUNTIME"
_WARDEN = Path(__file__).with_name("warden.py")
_KILL_WAIT_S = 5.0


class _Record(BaseModel, frozen=True):
    """What `process.json` holds. `created` guards against a pid that now belongs to somebody else."""

    name: str
    fingerprint: str
    kind: str
    labels: dict[str, str]
    pid: int
    created: float


@dataclass
class _Child:
    """A warden of this life. `pipe` is the lifeline's other end; closing it ends the program."""

    record: _Record
    process: subprocess.Popen[bytes]
    gpus: tuple[str, ...]
    ended: threading.Event = field(default_factory=threading.Event)


class ProcessRuntime:
    """Runs programs under `folder`. `gpus` are the CUDA device ids it may hand out; none means CPU only.

    Raises RuntimeInUse when another process works on the same folder.
    """

    def __init__(self, folder: Path, *, gpus: Sequence[str] = (), max_log_bytes: int = 4_000_000) -> None:
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._gpus = tuple(gpus)
        self._max_log_bytes = max_log_bytes
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._guard = _exclusive(self._folder)

    @property
    def site(self) -> Site:
        return Site(
            python=sys.executable,
            host="127.0.0.1",
            holds_stdin=True,
            containers=False,
            gpus=len(self._gpus),
        )

    def launch(self, spec: LaunchSpec) -> Handle:
        with self._lock:
            fingerprint = spec.fingerprint
            state, record = self.status(spec.name).state, self._read(spec.name)
            if state == "running" and record is not None:
                if record.fingerprint != fingerprint:
                    raise LaunchConflict(spec.name)
                return _handle(spec, started=False)
            if (
                state == "succeeded"
                and spec.kind == "job"
                and record is not None
                and record.fingerprint == fingerprint
            ):
                return _handle(spec, started=False)
            self._start(spec, fingerprint)
        log.info("launched", extra={"launch": spec.name, "command": " ".join(spec.command)})
        return _handle(spec, started=True)

    def status(self, name: str) -> Status:
        record = self._read(name)
        if record is None:
            return Status(state="absent")
        exit_file = self._of(name) / "exit.json"
        if exit_file.exists():
            end = json.loads(exit_file.read_text())
            return _ended(end["exit_code"], end["cause"])
        if _alive(record):
            return Status(state="running")
        if exit_file.exists():  # It ended between the two looks.
            return self.status(name)
        return Status(state="failed", cause="it was killed from outside")

    def wait(self, name: str, timeout_s: float) -> Status:
        child = self._children.get(name)
        if child is not None:
            child.ended.wait(timeout_s)
        return self.status(name)

    def logs(self, name: str, tail: int = 200) -> str:
        lines: deque[str] = deque(maxlen=tail)
        for file in ("log.1", "log"):
            path = self._of(name) / file
            if path.exists():
                lines.extend(path.read_text(errors="replace").splitlines())
        return "\n".join(lines)

    def stop(self, name: str, grace_s: float = 5.0) -> None:
        record = self._read(name)
        if record is None:
            return
        if _alive(record):
            _signal_group(record.pid, signal.SIGTERM)
            child = self._children.get(name)
            if child is None or not child.ended.wait(grace_s):
                _signal_group(record.pid, signal.SIGKILL)
                if child is not None:
                    child.ended.wait(_KILL_WAIT_S)
            log.info("stopped", extra={"launch": name})
        with self._lock:
            self._children.pop(name, None)
            for file in ("process.json", "exit.json"):
                (self._of(name) / file).unlink(missing_ok=True)

    def names(self, labels: Mapping[str, str]) -> list[str]:
        found = (self._read(path.parent.name) for path in sorted(self._folder.glob("*/process.json")))
        return [r.name for r in found if r is not None and labels.items() <= r.labels.items()]

    def reap(self) -> list[str]:
        mine = {child.process.pid for child in self._children.values()}
        left = [p for p in _marked(str(self._folder)) if _session(p.pid) not in mine]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(left, timeout=_KILL_WAIT_S)
        for process in alive:
            log.error("a process of an earlier life does not end", extra={"pid": process.pid})
        interrupted = [
            name for name in self.names({}) if name not in self._children and not self._finished(name)
        ]
        for name in interrupted:
            (self._of(name) / "process.json").unlink(missing_ok=True)
        if left:
            log.info("ended what an earlier life left running", extra={"launches": interrupted})
        return interrupted

    def check(self) -> list[Finding]:
        return [Finding("runtime", True, f"child processes, {len(self._gpus)} GPUs")]

    def close(self) -> None:
        running = [name for name, child in list(self._children.items()) if not child.ended.is_set()]
        for name in running:
            _signal_group(self._children[name].process.pid, signal.SIGTERM)
        for name in running:
            self.stop(name)
        self._guard.close()

    def _start(self, spec: LaunchSpec, fingerprint: str) -> None:
        gpus = self._take_gpus(spec)
        folder = self._of(spec.name)
        env = {**os.environ, **spec.env, MARK: str(self._folder), "PYTHONUNBUFFERED": "1"}
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        command = [sys.executable, "-I", "-S", str(_WARDEN), str(folder), str(self._max_log_bytes)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            spec.workdir.mkdir(parents=True, exist_ok=True)
            for file in ("process.json", "exit.json"):
                (folder / file).unlink(missing_ok=True)
            process = subprocess.Popen(
                [*command, *spec.command],
                env=env,
                cwd=spec.workdir,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchFailed(spec.name, str(error)) from error
        try:
            created = psutil.Process(process.pid).create_time()
            record = _Record(
                name=spec.name,
                fingerprint=fingerprint,
                kind=spec.kind,
                labels=dict(spec.labels),
                pid=process.pid,
                created=created,
            )
            _write(folder / "process.json", record.model_dump_json())
        except OSError as error:
            process.kill()
            process.wait()
            raise StorageFull(f"the record of {spec.name!r}") from error
        child = _Child(record, process, gpus)
        self._children[spec.name] = child
        threading.Thread(target=_await_end, args=(child,), name=f"wait-{spec.name}", daemon=True).start()

    def _take_gpus(self, spec: LaunchSpec) -> tuple[str, ...]:
        """Free devices first; then those that only the other kind of program uses.

        A job and a server may share a device: on a machine with one GPU a run's training would otherwise wait
        for its own server to end, which waits for the training.
        """
        if not self._gpus:
            return ()
        live = [child for child in self._children.values() if not child.ended.is_set()]
        taken = {gpu for child in live for gpu in child.gpus}
        barred = {gpu for child in live if child.record.kind == spec.kind for gpu in child.gpus}
        able = sorted((gpu for gpu in self._gpus if gpu not in barred), key=lambda gpu: gpu in taken)
        if spec.gpus > len(able):
            raise NotEnoughGpus(spec.name, spec.gpus, len(able), len(self._gpus))
        return tuple(able[: spec.gpus])

    def _of(self, name: str) -> Path:
        return self._folder / name

    def _read(self, name: str) -> _Record | None:
        try:
            return _Record.model_validate_json((self._of(name) / "process.json").read_text())
        except FileNotFoundError:
            return None

    def _finished(self, name: str) -> bool:
        return (self._of(name) / "exit.json").exists()


def _handle(spec: LaunchSpec, *, started: bool) -> Handle:
    address = f"http://127.0.0.1:{spec.port}" if spec.port is not None else None
    return Handle(name=spec.name, started=started, address=address)


def _exclusive(folder: Path) -> IO[str]:
    guard = (folder / "lock").open("w")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        guard.close()
        raise RuntimeInUse(folder) from error
    return guard


def _await_end(child: _Child) -> None:
    child.process.wait()
    if child.process.stdin is not None:
        child.process.stdin.close()
    # The warden ends its group as its last act; this is for the case that it was killed itself.
    _signal_group(child.process.pid, signal.SIGKILL)
    child.ended.set()


def _ended(code: int, cause: str | None) -> Status:
    if code == 0:
        return Status(state="succeeded", exit_code=0)
    if cause is None:
        cause = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Status(state="failed", exit_code=code, cause=cause)


def _alive(record: _Record) -> bool:
    try:
        process = psutil.Process(record.pid)
        return process.create_time() == record.created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_group(pid: int, signum: int) -> None:
    """Signal the process group that the warden `pid` leads; its id cannot be reused while a member lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


def _marked(folder: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == folder and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue  # Gone, or another user's: not ours.
    return found


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _write(path: Path, text: str) -> None:
    """Put `text` at `path` so that a crash leaves either nothing or all of it."""
    part = path.with_suffix(f".{time.monotonic_ns()}.tmp")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
