"""What a runtime is asked for and what it answers; the same words for processes and for a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, Field, StringConstraints

from flywheel.errors import Conflict, FlywheelError, Unavailable
from flywheel.telemetry.health import Finding

State = Literal["pending", "running", "succeeded", "failed", "absent"]
LaunchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class Cache(BaseModel, frozen=True):
    """A folder at `path` that outlives the program: whoever asks for the same `name` finds what was left.

    `size` is an amount of storage in Kubernetes' words, such as 25Gi. Processes have no use for it.
    """

    name: str
    path: str
    size: str


class LaunchSpec(BaseModel, frozen=True):
    """One program to run. `name` is its identity: launching the same name twice starts it once.

    `env` is added to this process's environment, and may hold secrets. `gpus` is a number of whole devices; a
    site without any runs the program on its CPU. `port` is where a server listens; it answers GET `health`
    with 200 when requests may come, and GET `alive` as long as it is worth keeping.

    Where programs run in containers, `image` is the program's own (None: ours), an empty `command` is what
    the image starts by itself, and `files` says whether the program needs the data folder.
    """

    name: LaunchName
    kind: Literal["job", "server"]
    command: tuple[str, ...]
    env: Mapping[str, str] = Field({}, repr=False)
    workdir: Path
    gpus: int = 0
    port: int | None = None
    health: str | None = None
    alive: str | None = None
    image: str | None = None
    files: bool = True
    cache: Cache | None = None
    labels: Mapping[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """The same for specs that ask for the same; labels do not count."""
        parts = self.model_dump(mode="json", exclude={"labels"})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Site(BaseModel, frozen=True):
    """Where a runtime's programs run, as far as whoever writes their command lines must know.

    `python` has this package; servers listen on `host`, and on `port` where that is fixed (None: on any free
    one). `holds_stdin`: a program's standard input ends when the runtime does. `containers`: each program has
    an image. `gpus` is how many may be in use at once; None: as many as there are.
    """

    python: str
    host: str
    port: int | None = None
    holds_stdin: bool
    containers: bool
    gpus: int | None

    def granted(self, gpus: int) -> int:
        """What remains of a wish for `gpus` where there are fewer."""
        return gpus if self.gpus is None else min(gpus, self.gpus)


class Status(BaseModel, frozen=True):
    """Where a program stands. `cause` says why it failed, or what it waits for, in words for people.

    `life` changes whenever the runtime itself had to start the program again, on another machine say.
    `taken`: it did not fail by itself, its place was taken away; starting it again is worth a try.
    """

    state: State
    exit_code: int | None = None
    cause: str | None = None
    life: str | None = None
    taken: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "absent")


class Handle(BaseModel, frozen=True):
    """What `launch` returns. `started` is false where the program ran already or had succeeded before;
    `address` is the URL of a server."""

    name: str
    started: bool
    address: str | None = None


class Runtime(Protocol):
    """Starts, watches and ends programs by name. Methods are safe to call from several threads."""

    @property
    def site(self) -> Site: ...

    def launch(self, spec: LaunchSpec) -> Handle:
        """Start `spec` unless it runs, or is a job that has succeeded; one that failed is started again.

        Raises LaunchConflict when the name runs with another spec, LaunchFailed when it cannot start as it
        is, and Unavailable (NotEnoughGpus is one) when a later try may do; trying starts nothing twice.
        """

    def status(self, name: str) -> Status:
        """Where the program stands: at a cluster that does not answer, as far as is known."""

    def wait(self, name: str, timeout_s: float) -> Status:
        """The status as soon as the program has ended, at the latest after `timeout_s` seconds."""

    def logs(self, name: str, tail: int = 200) -> str:
        """The last `tail` lines that the program wrote, also after it was stopped; empty when unknown."""

    def stop(self, name: str, grace_s: float = 5.0) -> None:
        """Ask the program to end, end it after `grace_s` seconds, and forget it; its logs remain."""

    def names(self, labels: Mapping[str, str]) -> list[str]:
        """Names of the known programs, running or ended, that carry all of `labels`."""

    def reap(self) -> list[str]:
        """End what an earlier life left running and this one cannot take over; returns the names. Call it at
        start. Processes end with their parent; what runs in a cluster goes on, and `launch` takes it over."""

    def check(self) -> list[Finding]:
        """Whether programs can be started now; quick, since it is asked every few seconds."""

    def close(self) -> None:
        """Leave. Child processes are stopped first; what runs in a cluster belongs to the next life."""


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
