"""A runtime whose programs are Python functions: for tests, and for trying a service without its engines.

It keeps the whole protocol (idempotent names, failures, logs, stop), in memory and without processes.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping

from flywheel.runtime.protocol import Handle, LaunchConflict, LaunchSpec, Site, Status
from flywheel.telemetry.health import Finding


class FakeProgram:
    """One scripted program. The script calls `print` and `exit`; `stopping` is set on request to end."""

    def __init__(self, spec: LaunchSpec) -> None:
        self.spec = spec
        self.stopping = threading.Event()
        self.lines: list[str] = []
        self._ended = threading.Event()
        self._code: int | None = None
        self._cause: str | None = None
        self._taken = False

    def print(self, line: str) -> None:
        """Write a line to the program's log."""
        self.lines.append(line)

    def exit(self, code: int = 0, cause: str | None = None, *, taken: bool = False) -> None:
        """End the program, as its place is `taken` where that is said; ending it twice changes nothing."""
        if not self._ended.is_set():
            self._code, self._cause, self._taken = code, cause, taken
            self._ended.set()

    def wait(self, timeout_s: float) -> None:
        self._ended.wait(timeout_s)

    @property
    def status(self) -> Status:
        if not self._ended.is_set():
            return Status(state="running")
        if self._code == 0:
            return Status(state="succeeded", exit_code=0)
        cause = self._cause or f"exit code {self._code}"
        return Status(state="failed", exit_code=self._code, cause=cause, taken=self._taken)


Script = Callable[[FakeProgram], None]


def succeed(program: FakeProgram) -> None:
    """A script: end at once, well."""
    program.exit(0)


class FakeRuntime:
    """Plays `script` for each launch, in the caller's thread; a script that does not exit leaves it running.

    `launched` is every spec that was really started, in order.
    """

    def __init__(self, script: Script = succeed) -> None:
        self._script = script
        self._programs: dict[str, FakeProgram] = {}
        self._logs: dict[str, list[str]] = {}
        self._lock = threading.RLock()
        self.launched: list[LaunchSpec] = []

    @property
    def site(self) -> Site:
        return Site(python=sys.executable, host="127.0.0.1", holds_stdin=False, containers=False, gpus=0)

    def launch(self, spec: LaunchSpec) -> Handle:
        with self._lock:
            known = self._programs.get(spec.name)
            if known is not None:
                state = known.status.state
                if state == "running" and known.spec != spec:
                    raise LaunchConflict(spec.name)
                if state == "running" or (state == "succeeded" and spec.kind == "job" and known.spec == spec):
                    return Handle(name=spec.name, started=False)
            program = self._programs[spec.name] = FakeProgram(spec)
            self._logs[spec.name] = program.lines
            self.launched.append(spec)
        self._script(program)
        return Handle(name=spec.name, started=True)

    def program(self, name: str) -> FakeProgram:
        """The program behind `name`, to steer it from a test."""
        return self._programs[name]

    def status(self, name: str) -> Status:
        program = self._programs.get(name)
        return program.status if program is not None else Status(state="absent")

    def wait(self, name: str, timeout_s: float) -> Status:
        program = self._programs.get(name)
        if program is not None:
            program.wait(timeout_s)
        return self.status(name)

    def logs(self, name: str, tail: int = 200) -> str:
        return "\n".join(self._logs.get(name, [])[-tail:])

    def stop(self, name: str, grace_s: float = 5.0) -> None:
        with self._lock:
            program = self._programs.pop(name, None)
        if program is not None:
            program.stopping.set()
            program.exit(-15, "stopped")

    def names(self, labels: Mapping[str, str]) -> list[str]:
        with self._lock:
            return sorted(
                n for n, p in self._programs.items() if labels.items() <= dict(p.spec.labels).items()
            )

    def reap(self) -> list[str]:
        return []

    def check(self) -> list[Finding]:
        return [Finding("runtime", True, "functions of this process")]

    def close(self) -> None:
        for name in self.names({}):
            self.stop(name)
