"""What a runtime is asked for and what it answers; the same words for processes and for a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, StringConstraints

from flywheel.errors import Conflict, FlywheelError, Unavailable

State = Literal["pending", "running", "succeeded", "failed", "absent"]
LaunchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class LaunchSpec(BaseModel, frozen=True):
    """One program to run. `name` is its identity: launching the same name twice starts it once.

    `env` is added to this process's environment. `gpus` is a number of whole devices; a machine without any
    runs the program on its CPU. `port` is where a server will listen on the loopback address.
    """

    name: LaunchName
    kind: Literal["job", "server"]
    command: tuple[str, ...]
    env: Mapping[str, str] = {}
    workdir: Path
    gpus: int = 0
    port: int | None = None
    labels: Mapping[str, str] = {}


class Status(BaseModel, frozen=True):
    """Where a program stands. `cause` says why it failed, or what it waits for, in words for people."""

    state: State
    exit_code: int | None = None
    cause: str | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "absent")


class Handle(BaseModel, frozen=True):
    """What `launch` returns. `started` is false where the program ran already or had succeeded before."""

    name: str
    started: bool


class Runtime(Protocol):
    """Starts, watches and ends programs by name. Methods are safe to call from several threads."""

    def launch(self, spec: LaunchSpec) -> Handle:
        """Start `spec` unless it runs, or is a job that has succeeded; one that failed is started again.

        Raises LaunchConflict when the name runs with another spec, NotEnoughGpus, LaunchFailed.
        """

    def status(self, name: str) -> Status: ...

    def wait(self, name: str, timeout_s: float) -> Status:
        """The status as soon as the program has ended, at the latest after `timeout_s` seconds."""

    def logs(self, name: str, tail: int = 200) -> str:
        """The last `tail` lines that the program wrote, also after it was stopped; empty when unknown."""

    def stop(self, name: str, grace_s: float = 5.0) -> None:
        """Ask the program to end, end it after `grace_s` seconds, and forget it; its logs remain."""

    def names(self, labels: Mapping[str, str]) -> list[str]:
        """Names of the known programs, running or ended, that carry all of `labels`."""

    def reap(self) -> list[str]:
        """End what an earlier life of this data folder left running; returns the names. Call it at start."""

    def close(self) -> None:
        """Stop everything that runs. What has ended stays known to the next life."""


class LaunchConflict(Conflict):
    """`name` is running, and what was asked for under that name now is something else."""

    code = "launch_conflict"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is already running with another command; stop it first")


class NotEnoughGpus(Unavailable):
    """The GPU budget does not allow the launch now, or, when `wanted` exceeds `total`, ever."""

    code = "not_enough_gpus"

    def __init__(self, name: str, wanted: int, free: int, total: int) -> None:
        self.name, self.wanted, self.free, self.total = name, wanted, free, total
        super().__init__(f"{name!r} needs {wanted} GPUs, {free} of {total} are free")

    @property
    def ever(self) -> bool:
        """Whether waiting can help."""
        return self.wanted <= self.total


class LaunchFailed(FlywheelError):
    """The operating system or the cluster refused to start `name`."""

    code = "launch_failed"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"could not start {name!r}: {reason}")


class RuntimeInUse(Conflict):
    """Another Flywheel process works on the same data folder, and owns the programs recorded there."""

    code = "runtime_in_use"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"another flywheel process is using {folder}; stop it, or use another --data")
