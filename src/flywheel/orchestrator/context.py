"""What a step is handed: stores, services, settings and a clock. Nothing here reaches for a global."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from flywheel.config import NimConfig, Settings
from flywheel.orchestrator.services import Services, Tracker
from flywheel.orchestrator.tokens import CountTokens, token_counter
from flywheel.stores.logs import LogStore
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.protocol import RunStore
from flywheel.stores.schedules import ScheduleStore


@dataclass(frozen=True, slots=True)
class Next:
    """When to look at a run again: in `seconds`, at once for 0, never for None."""

    seconds: float | None


NOW = Next(0.0)
DONE = Next(None)

Outcome = tuple[Run | None, Next]
"""What a step returns: the run as it should be now (None: forget it), and when to go on."""


def after(seconds: float) -> Next:
    return Next(seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    lease_s: float = 30.0
    """A worker that is silent for so long has lost its run."""
    poll_s: float = 0.5
    """First look at a remote job; later ones come after a tenth of its age."""
    poll_max_s: float = 5.0
    """The longest wait between two looks."""
    queue_s: float = 30.0
    """A run that waits for others looks again after so long; the embedded loop wakes it earlier."""
    retry_for_s: float = 300.0
    """A service that cannot be reached for so long fails what needed it."""
    stall_s: float = 3600.0
    """A remote job without any progress for so long is given up."""
    wait_s: float = 7 * 86400.0
    """One that waits for its turn, for GPUs say, is given up after so long."""

    def poll(self, age_s: float) -> float:
        return min(max(self.poll_s, age_s / 10), max(self.poll_s, self.poll_max_s))

    def retry_delay(self, tries: int) -> float:
        return float(min(self.poll_s * 2 ** min(tries - 1, 10), max(self.poll_s, 30.0)))


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that steps work with."""

    settings: Settings
    runs: RunStore
    logs: LogStore
    services: Services
    schedules: ScheduleStore
    counter: Callable[[NimConfig], CountTokens] = token_counter
    """How the prompts of a candidate are measured."""
    limits: Limits = Limits()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Where the keys of judge, teacher and embedding model are looked up."""
    spool: Path | None = None
    """Folder for files that live as long as this process; None: the system's for temporary ones."""
    judge_transport: httpx.AsyncBaseTransport | None = None
    """Stands in for the network towards the judge."""
    embedding_transport: httpx.AsyncBaseTransport | None = None
    """Stands in for the network towards the embedding model."""
    tracker: Tracker | None = None
    """Where decided runs are logged; None where that is not wanted."""

    @property
    def namespace(self) -> str:
        """NeMo namespace of everything that runs create."""
        return self.settings.nmp_config.nmp_namespace

    @property
    def slots(self) -> int:
        """Candidates that may be deployed at once, over all runs."""
        return self.settings.nmp_config.nim_parallelism
