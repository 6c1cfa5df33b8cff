"""The life of jobs: begun, gone on with after a crash, ended once.

A job's document tells its state. How far it is while it runs is counted from its samples, so that
progress never goes back, not even over a `kill -9`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from flywheel.errors import Conflict, FlywheelError
from flywheel.log import get_logger, log_context
from flywheel.services.evaluator.background import Background
from flywheel.services.evaluator.jobs import JobRun, Outcome, Progress, Surroundings
from flywheel.services.evaluator.samples import Samples
from flywheel.services.evaluator.wire import Document, ResultBody
from flywheel.stores.entities import Entities, EntityNotFound
from flywheel.telemetry import metrics, tracing

JOBS: Final = "evaluation jobs"
RESULTS: Final = "evaluation results"

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_BY_THE_USER: Final = "cancelled by the user"

log = get_logger(__name__)


class JobFinished(Conflict):
    def __init__(self, job_id: str, status: str) -> None:
        self.job_id, self.job_status = job_id, status
        super().__init__(f"evaluation job {job_id} is {status} already; only a running one can be cancelled")


class Jobs:
    """Runs the jobs among `entities`, at most `max_at_once`, each in a folder of its own below `folder`."""

    def __init__(self, entities: Entities, folder: Path, around: Surroundings, max_at_once: int) -> None:
        self._entities = entities
        self._folder = folder
        self._around = around
        self._slots = asyncio.Semaphore(max_at_once)
        self._background: Background | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, JobRun] = {}

    def start(self) -> None:
        """Begin, and take up what an earlier life left unfinished."""
        self._background = Background("evaluator")
        for job in self._entities.all(JOBS):
            if job["status"] == "cancelling":
                self._end(job["id"], "cancelled", _BY_THE_USER, self._so_far(job["id"]))
            elif job["status"] not in _ENDED:
                self._background.call(self._begin(job["id"], again=True))

    def stop(self) -> None:
        """End quickly; running jobs stay as they are for the next life."""
        background, self._background = self._background, None
        if background is not None:
            background.close()

    def launch(self, job_id: str) -> None:
        """Begin a job that was just stored; before `start` it waits for that."""
        if self._background is not None:
            self._background.call(self._begin(job_id, again=False))

    def cancel(self, job_id: str) -> None:
        """End the job; its samples stay. Raises JobFinished."""

        def cancelling(job: Document) -> Document:
            if job["status"] in _ENDED:
                raise JobFinished(job_id, job["status"])
            return {**job, "status": "cancelling"}

        self._entities.update(JOBS, job_id, cancelling)
        self._halt(job_id)
        self._end(job_id, "cancelled", _BY_THE_USER, self._so_far(job_id))

    def remove(self, job_id: str) -> None:
        """Remove the job with everything of it, ending it first if it runs."""
        self._halt(job_id)
        self._entities.delete(JOBS, job_id)
        for result in self._results(job_id):
            self._entities.delete(RESULTS, result["id"])
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def samples(self, job_id: str) -> Samples:
        return Samples(self._folder / job_id / "samples.jsonl")

    def details(self, job: Mapping[str, Any]) -> Document:
        """The job's `status_details`, up to this moment."""
        run = self._runs.get(job["id"])
        stored: Document = job["status_details"]
        return (
            stored if run is None or job["status"] != "running" else status_details(run.progress, "running")
        )

    def _halt(self, job_id: str) -> None:
        if self._background is not None:
            self._background.call(self._cancelled(job_id))

    async def _cancelled(self, job_id: str) -> None:
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _begin(self, job_id: str, *, again: bool) -> None:
        task = asyncio.create_task(self._execute(job_id, again), name=job_id)
        self._tasks[job_id] = task
        task.add_done_callback(lambda done: self._ended(job_id, done))

    async def _execute(self, job_id: str, again: bool) -> None:
        job = self._entities.get_by_id(JOBS, job_id)
        total = job["status_details"].get("samples_total", 0) if again else None
        folder = self._folder / job_id
        run = JobRun(job["config"], job["target"], folder, self._around, self._planned(job_id), total)
        self._runs[job_id] = run
        async with self._slots:
            about = {"flywheel.evaluation": job_id}
            with (
                log_context(evaluation=job_id),
                tracing.span("evaluation", about, parent=job.get("_trace")) as span,
                metrics.EVALUATIONS_RUNNING.track_inprogress(),
            ):
                began = perf_counter()
                log.info("evaluation resumed" if again else "evaluation started")
                self._entities.update(JOBS, job_id, _running)
                try:
                    outcome = await run.run()
                except FlywheelError as error:
                    span.fail(str(error))
                    self._end(job_id, "failed", str(error), run.progress)
                else:
                    self._complete(job_id, outcome, run.progress)
                status = self._entities.get_by_id(JOBS, job_id)["status"]
                metrics.EVALUATION_SECONDS.labels(status).observe(perf_counter() - began)

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        self._runs.pop(job_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EntityNotFound):
            log.error("evaluation broke", extra={"evaluation": job_id}, exc_info=error)
            reason = f"unforeseen {type(error).__name__}; the server's log has the details"
            try:
                self._end(job_id, "failed", reason, self._so_far(job_id))
            except FlywheelError as trouble:  # The next start takes the job up again.
                log.error("the end of an evaluation was not stored", extra={"reason": str(trouble)})  # noqa: TRY400

    def _complete(self, job_id: str, outcome: Outcome, progress: Progress) -> None:
        job = self._entities.get_by_id(JOBS, job_id)
        earlier = self._results(job_id)  # Of a life that was killed between result and job.
        result = earlier[0] if earlier else self._entities.create(RESULTS, result_of(outcome, job))
        self._end(job_id, "completed", None, progress, result["id"])
        shutil.rmtree(self._folder / job_id / "data", ignore_errors=True)

    def _end(
        self, job_id: str, status: str, message: str | None, progress: Progress, result: str | None = None
    ) -> None:
        """The job's last change. What the user has cancelled does not complete or fail any more."""
        ended = False

        def end(job: Document) -> Document:
            nonlocal ended
            if job["status"] in _ENDED or (job["status"] == "cancelling" and status != "cancelled"):
                return job
            ended = True
            details = status_details(progress, status, message)
            return {**job, "status": status, "status_details": details, "result": result}

        self._entities.update(JOBS, job_id, end)
        if ended:
            metrics.EVALUATIONS.labels(status).inc()
            level = log.warning if status == "failed" else log.info
            level("evaluation %s", status, extra={"reason": message} if message else {})

    def _planned(self, job_id: str) -> Any:
        """Keeps how many samples there are, so that a next life can tell at once how far this one came."""

        def planned(progress: Progress) -> None:
            def with_total(job: Document) -> Document:
                details = {**job["status_details"], "samples_total": progress.total}
                return {**job, "status_details": details}

            self._entities.update(JOBS, job_id, with_total)

        return planned

    def _so_far(self, job_id: str) -> Progress:
        """How far a job came that runs no more."""
        job = self._entities.get_by_id(JOBS, job_id)
        tasks = dict.fromkeys(job["config"]["tasks"], "pending")
        total = job["status_details"].get("samples_total", 0)
        return Progress(total, len(self.samples(job_id).records()), tasks)

    def _results(self, job_id: str) -> list[Document]:
        return [result for result in self._entities.all(RESULTS) if result["job"] == job_id]


def status_details(progress: Progress, status: str, message: str | None = None) -> Document:
    """NeMo's `status_details`, with our `samples_total`."""
    tasks = dict(progress.tasks)
    if status == "failed":
        tasks = {name: state if state == "completed" else "failed" for name, state in tasks.items()}
    return {
        "message": message,
        "task_status": tasks,
        "progress": 100.0 if status == "completed" else progress.percent,
        "samples_processed": progress.done,
        "samples_total": progress.total,
    }


def result_of(outcome: Outcome, job: Mapping[str, Any]) -> Document:
    """NeMo's result of `job`."""
    fields = {"tasks": outcome.tasks, "custom_fields": outcome.custom_fields, "groups": {}}
    return ResultBody(job=job["id"], namespace=job["namespace"], **fields).entity()


def _running(job: Document) -> Document:
    return {**job, "status": "running"} if job["status"] == "created" else job
