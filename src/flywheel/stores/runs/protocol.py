"""What every store of runs can do; SQLite on one machine, MongoDB for a team, one test file for both.

Two guards keep workers apart. The *revision* makes each write a compare-and-set, so that a stale worker
changes nothing. The *lease* (owner, expiry, renewed while a step works) keeps a second worker from starting
the same work in the first place; one that expired is taken over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from flywheel.models import Workload
from flywheel.stores.runs.brief import Brief, EvaluationEntry
from flywheel.stores.runs.document import EvalType, Run, RunStatus, Value
from flywheel.stores.runs.standing import Standing
from flywheel.telemetry.health import Finding


class RunQuery(Value):
    """Which runs to list, newest first. `limit=None` is all of them."""

    workload_id: str | None = None
    client_id: str | None = None
    status: RunStatus | None = None
    offset: int = 0
    limit: int | None = None


class RunPage(Value):
    """A part of a list, and how many there are in all."""

    runs: tuple[Run, ...]
    total: int


class RunHead(Value):
    """What tells at a glance whether a run has changed; the whole document is much larger."""

    id: str
    revision: int
    status: RunStatus
    finished: bool


class BriefPage(Value):
    """A part of a list of briefs, and how many there are in all."""

    runs: tuple[Brief, ...]
    total: int


class EvaluationQuery(Value):
    """Which evaluations to list, newest first. `limit=None` is all of them."""

    client_id: str | None = None
    workload_id: str | None = None
    model_name: str | None = None
    eval_type: EvalType | None = None
    offset: int = 0
    limit: int | None = None


class EvaluationPage(Value):
    """A part of a list of evaluations, and how many there are in all."""

    evaluations: tuple[EvaluationEntry, ...]
    total: int


class Changes(Value):
    """Runs that were created or changed, as (id, revision), and the `mark` to ask from the next time."""

    runs: tuple[tuple[str, int], ...]
    mark: str


class RunStore(Protocol):
    """Runs by id; every method may be called from any thread."""

    def create(self, run: Run, *, key: str | None = None, fingerprint: str = "") -> Run:
        """Store a new run and return it, or the run that `key` has already created.

        Raises:
            IdempotencyKeyReused: `key` was used with another `fingerprint` (a digest of the request).
        """

    def load(self, run_id: str) -> Run:
        """Raises RunNotFound."""

    def apply(self, run: Run, change: Run, *, owner: str | None = None) -> Run:
        """Replace `run` by `change`, if the stored one is still at `run.revision`; returns it as stored.

        With `owner`, only if that owner still holds the lease.

        Raises:
            StaleRun: it is not; nothing was written.
            RunNotFound: the run was deleted meanwhile.
        """

    def delete(self, run_id: str) -> None:
        """Forget the run and the idempotency key that made it; one that is not there is fine."""

    def list(self, query: RunQuery = ...) -> RunPage:
        """Runs that match, newest first, each read in full."""

    def briefs(self, query: RunQuery = ...) -> BriefPage:
        """As `list`, without reading the documents: what a page of a list costs does not grow with them."""

    def evaluations(self, query: EvaluationQuery = ...) -> EvaluationPage:
        """Evaluations of all runs that have begun, the one that finished (else began) last first."""

    def changed(self, since: str | None) -> Changes:
        """What changed since the `mark` of an earlier answer: of None nothing, and the mark to begin with.

        Cheap, since it is asked about twice a second. A run may be told again with a revision that was told
        before; none is left out, except one that was deleted. A mark that is none counts as None.
        """

    def standings(self, workloads: Collection[Workload] | None = None) -> Mapping[Workload, Standing]:
        """The last run and the best student of these workloads (None: of all), of those that have had a run.

        Whole documents are not read, so that a page of workloads costs little however long its runs are.
        """

    def heads(self, workload: Workload, limit: int) -> tuple[RunHead, ...]:
        """The newest runs of a workload, newest first; no document is read for them."""

    def unfinished(self, slots: int) -> tuple[str, ...]:
        """Ids of the runs that can be advanced, oldest first; those being deleted are among them.

        A pending run is not, while those before it want all of the `slots` for candidates.
        """

    def neglected(self, slots: int, grace: float) -> tuple[str, ...]:
        """Those of the `unfinished` that nobody looks after, and that therefore need a wake-up.

        Their lease has run out; or nobody has them, and they are pending, or the time at which somebody was
        to look at them again passed `grace` seconds ago.
        """

    def ahead(self, run_id: str) -> int:
        """Slots for candidates that unfinished runs created before this one still want.

        It can only shrink, so whoever works with an old answer works with a careful one.
        """

    def lease(self, run_id: str, owner: str, seconds: float) -> float:
        """Take the run for `seconds`: 0.0, or the seconds for which somebody else still has it.

        Raises RunNotFound.
        """

    def renew(self, run_id: str, owner: str, seconds: float) -> bool:
        """Hold on to a lease for `seconds` from now; False if it is lost."""

    def release(self, run_id: str, owner: str, again: float | None = None) -> None:
        """Give the lease back; one that is lost is left alone.

        `again`: the seconds after which somebody is going to look at the run again, if that is known.
        """

    def rest(self, run_id: str) -> float:
        """Seconds for which the run is looked after: until its lease ends, or somebody comes back to it.

        0.0 when it is due, as a pending one always is, since it waits for others; infinite when it is
        finished or deleted.
        """

    def check(self, *, thorough: bool = False) -> Sequence[Finding]:
        """What is to be said about the store: whether it answers and takes changes, in a few quick calls.

        It is asked every few seconds; `thorough` is for an operator. Raises, as any call, where the store
        does not answer.
        """

    def close(self) -> None: ...
