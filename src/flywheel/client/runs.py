"""`client.runs`: turns of the wheel."""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, Self, TypeVar, overload

from pydantic import PrivateAttr

from flywheel.client.documents import (
    Candidate,
    Change,
    Decision,
    Message,
    Model,
    Moment,
    RunDataset,
    RunProgress,
    Sent,
    Started,
)
from flywheel.client.errors import RunFailed, ServerAway, ServerFailed, StillRunning
from flywheel.client.events import followed
from flywheel.client.insights import Insights
from flywheel.client.paging import listed
from flywheel.client.progress import Show, shown_by
from flywheel.client.routes import Call, Route, S, Stream, call, stream
from flywheel.client.session import Async, Sync
from flywheel.client.steps import Clock, Every, Pause, Steps

P = ParamSpec("P")
T = TypeVar("T")
ENDED: Final = ("completed", "failed", "cancelled")
_SEND_S: Final = 300.0
_FIRST_LOOK_S: Final = 0.5
_LONGEST_LOOK_S: Final = 2.0
_AWAY_S: Final = 600.0
"""Seconds for which a server may be away while a run is waited for."""


class Runs(Insights[S]):
    """Start, list, wait for, look into, cancel and delete runs. A run is named by its id."""

    @call("POST", "/api/jobs")
    def start(
        self,
        to: Route,
        /,
        workload_id: str,
        client_id: str,
        *,
        idempotency_key: str | None = None,
        **overrides: Any,
    ) -> Steps[Run[S]]:
        """Start a run and return it.

        `overrides` are blocks as in the configuration, each with only what differs:
        `training_config={"epochs": 3}`, `nims=["flywheel/student"]`. Started again with the same
        `idempotency_key`, it is the same run. Raises Invalid, Conflict.
        """
        made = yield from to.ask(
            Started.read,
            json={"workload_id": workload_id, "client_id": client_id, **overrides},
            headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
            repeatable=True,  # By its key.
        )
        return (yield from Runs.get.steps(self, made.id))

    @call("GET", "/api/jobs/{job_id}")
    def get(self, to: Route, /, run_id: str) -> Steps[Run[S]]:
        """Everything about one run. Raises NotFound."""
        return to.at(job_id=run_id).ask(self._run)

    @call("GET", "/api/jobs/{job_id}")
    def wait(
        self,
        to: Route,
        /,
        run_id: str,
        *,
        timeout: float | None = None,
        progress: bool | Show = False,
        check: bool = True,
    ) -> Steps[Run[S]]:
        """Wait until the run has ended, and return it.

        `timeout` is in seconds. `progress` is called with the run at every look; True shows a bar. A server
        that was there may be away for ten minutes: it is restarted, or has too much to do. Raises
        StillRunning; RunFailed for a run that did not complete, unless `check` is False.
        """
        began: float = yield Clock()
        seen, look = began, _FIRST_LOOK_S
        run: Run[S] | None = None
        with shown_by(progress) as show:
            while True:
                try:
                    run = yield from to.at(job_id=run_id).ask(self._run)
                    seen = yield Clock()
                    show(run)
                    if run.ended:
                        break
                except (ServerAway, ServerFailed):
                    if run is None or (yield Clock()) - seen >= _AWAY_S:
                        raise
                spent: float = (yield Clock()) - began
                if timeout is not None and spent >= timeout:
                    raise StillRunning(run, timeout)
                yield Pause(look if timeout is None else min(look, timeout - spent))
                look = min(look * 1.2, _LONGEST_LOOK_S)
        if check and run.status != "completed":
            raise RunFailed(run)
        return run

    @call("POST", "/api/jobs/{job_id}/cancel")
    def cancel(self, to: Route, /, run_id: str) -> Steps[Message]:
        """Ask for the run's end; what it started is stopped and released. Raises NotFound, Conflict."""
        return to.at(job_id=run_id).ask(Message.read)

    @call("DELETE", "/api/jobs/{job_id}")
    def delete(self, to: Route, /, run_id: str) -> Steps[Message]:
        """Delete a finished run with its data sets and adapters. Raises NotFound, Conflict."""
        return to.at(job_id=run_id).ask(Message.read)

    @stream("GET", "/api/events")
    def changes(self, to: Route, /) -> Steps[Every[Change]]:
        """Every run that is created, changed or deleted from now on, without end."""
        return followed(to, Change.of)

    @call("POST", "/api/jobs/{job_id}/export")
    def send(self, to: Route, /, run_id: str, service: Literal["mlflow"] = "mlflow") -> Steps[Sent]:
        """Log a finished run at the server's tracker; what was logged before is brought up to date."""
        return to.at(job_id=run_id).ask(Sent.read, json={"to": service}, repeatable=True, timeout_s=_SEND_S)

    @stream("GET", "/api/jobs")
    def list(
        self,
        to: Route,
        /,
        *,
        workload_id: str | None = None,
        client_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[RunSummary[S]]]:
        """Every run, newest first, page by page as they are used; at most `limit` of them."""
        query = {"workload_id": workload_id, "client_id": client_id, "status": status}
        return listed(to, "jobs", self._summary, limit=limit, offset=offset, query=query)

    def _run(self, document: Any) -> Run[S]:
        run: Run[S] = Run.read(document)
        return run.of(self)

    def _summary(self, document: Any) -> RunSummary[S]:
        run: RunSummary[S] = RunSummary.read(document)
        return run.of(self)


class _OfRun(Generic[P, T]):
    """A method of `Runs` on the run itself: without the id."""

    def __init__(self, method: Call[Concatenate[str, P], T]) -> None:
        self._method = method

    @overload
    def __get__(self, run: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, run: RunCalls[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, run: RunCalls[Async], owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, run: Any, owner: Any) -> Any:
        return self if run is None else run.bound(self._method)


class _ItemsOfRun(Generic[P, T]):
    """The same of one that gives item by item."""

    def __init__(self, method: Stream[Concatenate[str, P], T]) -> None:
        self._method = method

    @overload
    def __get__(self, run: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, run: RunCalls[Sync], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, run: RunCalls[Async], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, run: Any, owner: Any) -> Any:
        return self if run is None else run.bound(self._method)


class RunCalls(Generic[S]):
    """The methods of `Runs` that are about one run, on the run: `run.wait(progress=True)`."""

    refresh = _OfRun(Runs[S].get)
    wait = _OfRun(Runs[S].wait)
    cancel = _OfRun(Runs.cancel)
    delete = _OfRun(Runs.delete)
    send = _OfRun(Runs.send)
    losses = _OfRun(Runs.losses)
    logs = _OfRun(Runs.logs)
    comparison = _OfRun(Runs.comparison)
    compared_record = _OfRun(Runs.compared_record)
    export = _OfRun(Runs.export)
    watch = _ItemsOfRun(Runs.watch)
    samples = _ItemsOfRun(Runs.samples)
    compared = _ItemsOfRun(Runs.compared)


class RunSummary(Model, RunCalls[S], Generic[S]):
    """A run as lists have it."""

    id: str
    workload_id: str
    client_id: str
    status: str
    step: str | None = None
    error: str | None = None
    percent: float | None = None
    decision: Decision | None = None
    datasets: list[RunDataset] = []
    created_at: Moment | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    cancel_requested: bool = False
    _runs: Any = PrivateAttr(None)

    @property
    def name(self) -> str:
        """Whose run it is: CLIENT/WORKLOAD."""
        return f"{self.client_id}/{self.workload_id}"

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def of(self, runs: Runs[S]) -> Self:
        """This run, with the calls of `runs`."""
        self._runs = runs
        return self

    def bound(self, method: Any) -> Any:
        """A method of the client's `runs`, about this run."""
        if self._runs is None:
            raise RuntimeError(f"run {self.id} was not read by a client; use client.runs")
        return functools.partial(method.__get__(self._runs, type(self._runs)), self.id)


class Run(RunSummary[S], Generic[S]):
    """Everything about one run."""

    num_records: int | None = None
    llm_judge: dict[str, Any] | None = None
    nims: list[Candidate] = []
    workload_type: str | None = None
    progress: RunProgress | None = None
    curation: dict[str, Any] | None = None
    overrides: dict[str, Any] = {}
    trouble: str | None = None
    events: list[dict[str, Any]] = []

    @property
    def candidates(self) -> list[Candidate]:
        """The students under test; `nims` on the wire."""
        return self.nims

    def candidate(self, model_name: str) -> Candidate | None:
        """The candidate of this name; None where the run has none."""
        return next((found for found in self.nims if found.model_name == model_name), None)
