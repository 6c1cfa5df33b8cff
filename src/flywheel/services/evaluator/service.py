"""The evaluator's behaviour: entities, and jobs that run in the background and go on after a crash.

A job's document tells its state; how far it is while it runs is counted from its samples, so that
progress never goes back, not even over a `kill -9`.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from flywheel.errors import Conflict, FlywheelError, Unavailable, UserError
from flywheel.evaluation.asking import Sleep
from flywheel.evaluation.judge import Judge
from flywheel.evaluation.results import results_document
from flywheel.hub import Hub
from flywheel.log import get_logger, log_context
from flywheel.nemo.conventions import Deleted, ListQuery, Page, check_name, new_id, timestamp
from flywheel.services.evaluator.background import Background
from flywheel.services.evaluator.datasets import HubAt
from flywheel.services.evaluator.jobs import JobRun, Outcome, Progress, Surroundings
from flywheel.services.evaluator.judge_cache import StoredJudgeCache
from flywheel.services.evaluator.plan import Endpoint, make_plan
from flywheel.services.evaluator.samples import Samples
from flywheel.services.evaluator.wire import (
    ConfigBody,
    Document,
    JobBody,
    ResultBody,
    TargetBody,
    masked,
    unmasked,
)
from flywheel.stores.entities import Entities, EntityNotFound

CONFIGS: Final = "evaluation configs"
TARGETS: Final = "evaluation targets"
JOBS: Final = "evaluation jobs"
RESULTS: Final = "evaluation results"

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_FIXED: Final = frozenset({"id", "created_at", "updated_at", "schema_version"})

log = get_logger(__name__)


class JobFinished(Conflict):
    def __init__(self, job_id: str, status: str) -> None:
        self.job_id, self.job_status = job_id, status
        super().__init__(f"evaluation job {job_id} is {status} already; only a running one can be cancelled")


class NotStarted(Unavailable):
    def __init__(self) -> None:
        super().__init__("the evaluator is starting or stopping; try again in a moment")


class EvaluatorService:
    """Everything under `/v1/evaluation`, kept in `data_dir`.

    Data sets come from the hub at `datastore_url`, models given by name answer behind `nim_url`. At most
    `max_jobs` run at once; a job in which more than `max_infrastructure_failures` (a share) of the
    samples fail because the machinery does has failed. Call `start` to begin and resume, `stop` to end.
    """

    def __init__(
        self,
        data_dir: Path,
        datastore_url: str,
        nim_url: str,
        *,
        max_jobs: int = 4,
        max_infrastructure_failures: float = 0.10,
        hub_at: HubAt = Hub,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)  # Keys of judges are kept in it.
        self._folder = data_dir / "jobs"
        self._entities = Entities(data_dir / "evaluator.sqlite")
        self._cache = StoredJudgeCache(data_dir / "judge-answers.sqlite")
        self._around = Surroundings(
            datastore_url, nim_url, hub_at, self._cache, max_infrastructure_failures, transport, sleep
        )
        self._max_jobs = max_jobs
        self._background: Background | None = None
        self._slots = asyncio.Semaphore(max_jobs)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, JobRun] = {}

    # Life

    def start(self) -> None:
        """Begin, and take up what an earlier life left unfinished."""
        if self._background is not None:
            return
        self._slots = asyncio.Semaphore(self._max_jobs)
        self._background = Background("evaluator")
        for job in self._entities.all(JOBS):
            if job["status"] == "cancelling":
                self._end(job["id"], "cancelled", "cancelled by the user")
            elif job["status"] not in _ENDED:
                self._launch(job["id"], again=True)

    def stop(self) -> None:
        """End quickly and for good; running jobs stay as they are, and the next service on `data_dir` goes on."""
        background, self._background = self._background, None
        if background is not None:
            background.close()
        self._entities.close()
        self._cache.close()

    # Configurations and targets

    def create_config(self, body: ConfigBody) -> Document:
        return _masked(self._entities.create(CONFIGS, body.entity()))

    def create_target(self, body: TargetBody) -> Document:
        return _masked(self._entities.create(TARGETS, body.entity()))

    def get(self, collection: str, namespace: str, name: str) -> Document:
        return _masked(self._entities.get(collection, namespace, name))

    def list(self, collection: str, query: ListQuery) -> Page[Document]:
        page = self._entities.list(collection, query)
        return page.model_copy(update={"data": [self._shown(collection, doc) for doc in page.data]})

    def change(self, collection: str, namespace: str, name: str, change: Mapping[str, Any]) -> Document:
        """Replace the fields that `change` gives."""
        for field in ("name", "namespace"):
            if field in change:
                check_name(field, str(change[field]))
        found = self._entities.get(collection, namespace, name)
        return self._changed(collection, found["id"], change)

    def delete(self, collection: str, namespace: str, name: str) -> Deleted:
        found = self._entities.get(collection, namespace, name)
        self._entities.delete(collection, found["id"])
        return Deleted(id=found["id"])

    # Results

    def create_result(self, body: ResultBody) -> Document:
        return self._entities.create(RESULTS, body.entity())

    def result(self, result_id: str) -> Document:
        return self._entities.get_by_id(RESULTS, result_id)

    def change_result(self, result_id: str, change: Mapping[str, Any]) -> Document:
        return self._changed(RESULTS, result_id, change)

    def delete_result(self, result_id: str) -> Deleted:
        self._entities.delete(RESULTS, result_id)
        return Deleted(id=result_id)

    # Jobs

    def create_job(self, body: JobBody) -> Document:
        """Check everything that can be checked now, store the job, and begin. Raises BadPlan and its kin."""
        config, target = self._expand(body)
        make_plan(config, target, self._around.nim_url, _unasked_judge)
        fields = JobBody.model_dump(body, exclude={"config", "target"})
        identity, now = new_id("eval"), timestamp()
        job = {
            **fields,
            "id": identity,
            "name": identity,
            "namespace": check_name("namespace", body.namespace),
            "created_at": now,
            "updated_at": now,
            "status": "created",
            "status_details": {"message": None, "task_status": {}, "progress": 0.0, "samples_processed": 0},
            "result": None,
            "config": config,
            "target": target,
        }
        self._entities.create(JOBS, job)
        with log_context(evaluation=identity):
            log.info("evaluation created", extra={"target": _target_name(target)})
        self._launch(identity)
        return self.job(identity)

    def job(self, job_id: str) -> Document:
        return self._shown(JOBS, self._entities.get_by_id(JOBS, job_id))

    def job_status(self, job_id: str) -> Document:
        details: Document = self.job(job_id)["status_details"]
        return details

    def job_result(self, job_id: str) -> Document:
        job = self._entities.get_by_id(JOBS, job_id)
        if job["result"] is None:
            raise EntityNotFound(RESULTS, f"of {job_id}, which is {job['status']}")
        return self.result(job["result"])

    def cancel_job(self, job_id: str) -> Document:
        """End the job; the samples so far stay. Raises JobFinished."""

        def cancelling(job: Document) -> Document:
            if job["status"] in _ENDED:
                raise JobFinished(job_id, job["status"])
            return {**job, "status": "cancelling"}

        self._entities.update(JOBS, job_id, cancelling)
        if self._background is not None:
            self._background.call(self._cancel(job_id))
        self._end(job_id, "cancelled", "cancelled by the user")
        return self.job(job_id)

    def delete_job(self, job_id: str) -> Deleted:
        """Remove the job with its samples and its result, ending it first if it runs."""
        job = self._entities.get_by_id(JOBS, job_id)
        if job["status"] not in _ENDED and self._background is not None:
            self._background.call(self._cancel(job_id))
        self._entities.delete(JOBS, job_id)
        for result in self._entities.all(RESULTS):
            if result["job"] == job_id:
                self._entities.delete(RESULTS, result["id"])
        shutil.rmtree(self._folder / job_id, ignore_errors=True)
        return Deleted(id=job_id)

    def samples(self, job_id: str, page: ListQuery) -> Page[Document]:
        """The samples so far, in the data's order, filtered as any list is
        (`filter[failure]=wrong_value`).
        """
        self._entities.get_by_id(JOBS, job_id)
        return page.select(self._samples(job_id).records())

    def download(self, job_id: str) -> bytes:
        """A ZIP with `results.json`, as NVIDIA's has it."""
        self._entities.get_by_id(JOBS, job_id)
        text = json.dumps(results_document(self._samples(job_id).records()), indent=1)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("results.json", text)
        return buffer.getvalue()

    def logs(self, job_id: str) -> Document:
        """What happened to the job, and every answer that failed, with its error."""
        job = self.job(job_id)
        details = job["status_details"]
        lines = [{"timestamp": job["created_at"], "message": "created"}]
        for record in self._samples(job_id).records():
            if record["error"] is not None:
                message = f"{record['task']} sample {record['index']}: {record['error']}"
                lines.append({"timestamp": job["updated_at"], "message": message})
        message = f"{job['status']}: {details['message']}" if details["message"] else job["status"]
        lines.append({"timestamp": job["updated_at"], "message": message})
        return {"object": "list", "data": lines, "next_page": None}

    async def live(self, body: JobBody) -> Document:
        """Evaluate while the caller waits; nothing but the judges' answers is kept."""
        config, target = self._expand(body)
        make_plan(config, target, self._around.nim_url, _unasked_judge)
        identity, now = new_id("eval"), timestamp()
        folder = self._folder / f"live-{identity}"
        try:
            run = JobRun(config, target, folder, self._around)
            outcome = await run.run()
        except UserError:
            raise
        except FlywheelError as error:
            details = _details(run.progress, "failed", str(error))
            return {"status": "failed", "status_details": details, "result": None, "logs": {}}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        result = ResultBody(job=identity, namespace=body.namespace, **_result_fields(outcome)).entity()
        details = _details(run.progress, "completed", None)
        stamped = {**result, "created_at": now, "updated_at": timestamp()}
        return {"status": "completed", "status_details": details, "result": stamped, "logs": {}}

    # Inside

    def _expand(self, body: JobBody) -> tuple[Document, Document]:
        """Configuration and target, as given or as stored under "namespace/name"."""
        config = body.config if isinstance(body.config, ConfigBody) else self._named(CONFIGS, body.config)
        target = body.target if isinstance(body.target, TargetBody) else self._named(TARGETS, body.target)
        return (
            _with_parts(config.entity()) if isinstance(config, ConfigBody) else config,
            target.entity() if isinstance(target, TargetBody) else target,
        )

    def _named(self, collection: str, reference: str) -> Document:
        namespace, slash, name = reference.partition("/")
        return self._entities.get(collection, *((namespace, name) if slash else ("default", reference)))

    def _changed(self, collection: str, identity: str, change: Mapping[str, Any]) -> Document:
        fields = {key: value for key, value in change.items() if key not in _FIXED}

        def changed(old: Document) -> Document:
            return {**old, **{key: unmasked(value, old.get(key)) for key, value in fields.items()}}

        return _masked(self._entities.update(collection, identity, changed))

    def _shown(self, collection: str, document: Document) -> Document:
        """A document as clients see it, a running job with how far it is."""
        shown = _masked(document)
        run = self._runs.get(document["id"]) if collection == JOBS else None
        if run is None or document["status"] != "running":
            return shown
        return {**shown, "status_details": _details(run.progress, "running", None)}

    def _samples(self, job_id: str) -> Samples:
        return Samples(self._folder / job_id / "samples.jsonl")

    def _launch(self, job_id: str, *, again: bool = False) -> None:
        if self._background is not None:
            self._background.call(self._begin(job_id, again))

    async def _begin(self, job_id: str, again: bool) -> None:
        task = asyncio.create_task(self._execute(job_id, again), name=job_id)
        self._tasks[job_id] = task
        task.add_done_callback(lambda done: self._ended(job_id, done))

    async def _execute(self, job_id: str, again: bool) -> None:
        job = self._entities.get_by_id(JOBS, job_id)
        run = JobRun(
            job["config"],
            job["target"],
            self._folder / job_id,
            self._around,
            planned=lambda progress: self._planned(job_id, progress),
            earlier=job["status_details"].get("samples_total", 0) if again else None,
        )
        self._runs[job_id] = run
        async with self._slots:
            with log_context(evaluation=job_id):
                log.info("evaluation resumed" if again else "evaluation started")
                self._entities.update(JOBS, job_id, _only_if(job["status"], {"status": "running"}))
                try:
                    outcome = await run.run()
                except FlywheelError as error:
                    self._end(job_id, "failed", str(error), run.progress)
                    return
                self._complete(job_id, outcome, run.progress)

    def _planned(self, job_id: str, progress: Progress) -> None:
        """Keep how many samples there are, so that a next life can tell at once how far this one came."""

        def planned(job: Document) -> Document:
            return {**job, "status_details": {**job["status_details"], "samples_total": progress.total}}

        self._entities.update(JOBS, job_id, planned)

    def _complete(self, job_id: str, outcome: Outcome, progress: Progress) -> None:
        job = self._entities.get_by_id(JOBS, job_id)
        earlier = [r for r in self._entities.all(RESULTS) if r["job"] == job_id]
        if earlier:  # A crash came between result and job.
            result = earlier[0]
        else:
            body = ResultBody(job=job_id, namespace=job["namespace"], **_result_fields(outcome))
            result = self._entities.create(RESULTS, body.entity())
        self._end(job_id, "completed", None, progress, result["id"])
        shutil.rmtree(self._folder / job_id / "data", ignore_errors=True)

    def _end(
        self,
        job_id: str,
        status: str,
        message: str | None,
        progress: Progress | None = None,
        result: str | None = None,
    ) -> None:
        """The job's last change. What the user has cancelled does not complete or fail any more."""
        ended = False

        def end(job: Document) -> Document:
            nonlocal ended
            cancelled = job["status"] == "cancelling" and status != "cancelled"
            if cancelled or job["status"] in _ENDED:
                return job
            ended = True
            run = self._runs.get(job_id)
            counted = progress or (run.progress if run is not None else None)
            before = job["status_details"]
            details = _details(counted, status, message) if counted else {**before, "message": message}
            return {**job, "status": status, "status_details": details, "result": result}

        self._entities.update(JOBS, job_id, end)
        if ended:
            level = log.warning if status == "failed" else log.info
            level("evaluation %s", status, extra={"reason": message} if message else {})

    async def _cancel(self, job_id: str) -> None:
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EntityNotFound):
            log.error("evaluation broke", extra={"evaluation": job_id}, exc_info=error)
            self._end(
                job_id, "failed", f"unforeseen {type(error).__name__}; the server's log has the details"
            )
        self._runs.pop(job_id, None)


def _masked(document: Document) -> Document:
    hidden: Document = masked(document)
    return hidden


def _unasked_judge(endpoint: Endpoint) -> Judge:
    """For checking a plan, which asks nobody."""

    async def nobody(body: Mapping[str, Any]) -> Any:
        raise NotStarted

    class Forgetful:
        def get(self, key: str) -> str | None:
            return None

        def put(self, key: str, answer: str) -> None:
            return None

    return Judge(endpoint.model, nobody, Forgetful())


def _details(progress: Progress, status: str, message: str | None) -> Document:
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


def _only_if(status: str, change: Mapping[str, Any]) -> Callable[[Document], Document]:
    return lambda job: {**job, **change} if job["status"] == status else job


def _result_fields(outcome: Outcome) -> Document:
    return {"tasks": outcome.tasks, "custom_fields": outcome.custom_fields, "groups": {}}


def _with_parts(config: Document) -> Document:
    """The configuration with what NeMo adds to the data sets inside it."""
    tasks = config.get("tasks")
    if tasks is None:
        return config
    return {**config, "tasks": {name: _with_dataset(task) for name, task in tasks.items()}}


def _with_dataset(task: Document) -> Document:
    dataset = task.get("dataset")
    if not isinstance(dataset, dict):
        return task
    identity, now = new_id("dataset"), timestamp()
    made = {
        "schema_version": "1.0",
        "id": identity,
        "name": identity,
        "namespace": "default",
        "version_id": "main",
        "version_tags": [],
        "created_at": now,
        "updated_at": now,
        "custom_fields": {},
    }
    return {**task, "dataset": {**made, **dataset}}


def _target_name(target: Mapping[str, Any]) -> str:
    model = target.get("model")
    if isinstance(model, Mapping):
        endpoint = model.get("api_endpoint")
        return str(endpoint.get("model_id") if isinstance(endpoint, Mapping) else model.get("name"))
    return str(model or target.get("type"))
