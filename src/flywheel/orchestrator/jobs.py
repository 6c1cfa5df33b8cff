"""What users can do with runs: start, look, cancel, delete. What follows is the workflow's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flywheel.config import nearest
from flywheel.models import Workload
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import (
    JobNotFound,
    JobStateForbids,
    MalformedRunId,
    NoSuchEvaluation,
    TooFewRecords,
    UnknownWorkload,
)
from flywheel.orchestrator.exporting import sent, with_pages
from flywheel.orchestrator.judge import judge_model
from flywheel.orchestrator.request import configured, read_request
from flywheel.stores.runs.document import Run, RunTrigger, is_run_id, new_run
from flywheel.stores.runs.errors import RunNotFound, StaleRun
from flywheel.telemetry import tracing

_TRIES = 20


class Jobs:
    """Runs as their users meet them; `wake` is called with the id of a run that is new or was changed."""

    def __init__(self, context: Context, wake: Callable[[str], object]) -> None:
        self._context = context
        self._wake = wake

    def start(self, body: object, key: str | None = None, *, trigger: RunTrigger | None = None) -> Run:
        """A new run, or the one that this idempotency `key` has started; `trigger`: the schedule that asks.

        Raises ConfigError, UnknownCandidate, NoCandidates, UnknownWorkload, TooFewRecords and
        IdempotencyKeyReused.
        """
        context = self._context
        request = read_request(body)
        config = configured(request, context.settings)
        judge_model(config.llm_judge_config, context.environment)  # Its key must be there.
        self._enough(request.workload, config.data_split_config.min_total_records)
        run = new_run(request.workload, config, context.clock(), request.overrides)
        run = run.but(trace=tracing.traceparent(), trigger=trigger)
        run = context.runs.create(run, key=key, fingerprint=request.fingerprint)
        self._wake(run.id)
        return run

    def load(self, job_id: str) -> Run:
        """Raises MalformedRunId and JobNotFound."""
        if not is_run_id(job_id):
            raise MalformedRunId
        try:
            return self._context.runs.load(job_id)
        except RunNotFound as error:
            raise JobNotFound from error

    def samples(
        self, job_id: str, candidate: str | None, eval_type: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        """A page of the samples of one evaluation; `query` as the evaluator takes it.

        Raises as `load`, NoSuchEvaluation, and what the evaluator's client raises.
        """
        run = self.load(job_id)
        of = [c for c in run.candidates if candidate in (None, c.model_name)]
        jobs = [e.job_id for c in of for e in c.evaluations if e.eval_type == eval_type and e.job_id]
        if not jobs:
            names = ", ".join(c.model_name for c in run.candidates)
            raise NoSuchEvaluation(eval_type, candidate, names)
        return self._context.services.evaluator.samples(jobs[0], query)

    def send(self, job_id: str) -> dict[str, str]:
        """Log the run at the tracker; the page of each candidate there.

        Raises as `load`, JobStateForbids, NoTracker, and what the tracker raises.
        """
        run = self.load(job_id)
        if not run.finished or run.decision is None:
            raise JobStateForbids("Cannot export a job that has not come to a decision.")
        pages = sent(run, self._context)
        self._change(job_id, lambda current: with_pages(current, pages))
        return pages

    def cancel(self, job_id: str) -> None:
        """Ask for the run's end. Raises as `load`, and JobStateForbids."""

        def cancelled(run: Run) -> Run:
            if run.finished:
                raise JobStateForbids("Cannot cancel a job that has already finished.")
            return run.but(cancel_requested=True)

        self._change(job_id, cancelled)

    def delete(self, job_id: str) -> None:
        """Begin to delete the run and what it left. Raises as `load`, and JobStateForbids."""

        def erased(run: Run) -> Run:
            if not run.finished:
                raise JobStateForbids("Cannot delete a running job. Please cancel the job first.")
            return run.but(step="erase")

        self._change(job_id, erased)

    def _change(self, job_id: str, change: Callable[[Run], Run]) -> None:
        """Compare-and-set, again while a worker is faster."""
        if not is_run_id(job_id):
            raise MalformedRunId
        runs, clock = self._context.runs, self._context.clock
        for tries in range(_TRIES):
            try:
                run = runs.load(job_id)
                changed = change(run)
                if changed != run:
                    runs.apply(run, changed.but(updated_at=clock()))
                break
            except StaleRun:
                if tries == _TRIES - 1:
                    raise
            except RunNotFound as error:
                raise JobNotFound(f"Job with ID {job_id} not found") from error
        self._wake(job_id)

    def _enough(self, workload: Workload, wanted: int) -> None:
        logs = self._context.logs
        found = logs.count(workload)
        if found == 0:
            known = {str(s.workload) for s in logs.workloads()}
            hint = nearest(str(workload), known) if known else ": nothing has been recorded yet"
            raise UnknownWorkload(workload.client_id, workload.workload_id, hint)
        if found < wanted:
            raise TooFewRecords(str(workload), found, wanted)
