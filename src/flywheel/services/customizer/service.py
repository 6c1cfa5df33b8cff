"""What the customizer's routes do, and the threads that perform its jobs.

A job is written down before anything happens to it; `start` takes up all that have not ended. As many jobs
run at once as there are workers, the others wait in the order they came.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from flywheel.errors import FlywheelError, NotFound, Unavailable
from flywheel.hub import Hub, parse_hf_url, resolve_model
from flywheel.log import get_logger
from flywheel.nemo.conventions import ListQuery, Page, check_name
from flywheel.nemo.customization import FINISHED, DatasetRef, JobBody
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.runtime import Runtime
from flywheel.services.customizer import jobs
from flywheel.services.customizer.catalog import Catalog, Target
from flywheel.services.customizer.work import (
    JOBS,
    LABELS,
    ResolveModel,
    TrainCommand,
    Worker,
    training_command,
)
from flywheel.stores.entities import Document, Entities, EntityNotFound
from flywheel.telemetry import metrics

log = get_logger(__name__)

AGAIN_S = 10.0
"""Before a job is taken up again whose end met a cluster that was away."""


class JobNotFound(NotFound):
    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is no customization job {job_id!r}")


class DatasetNotFound(NotFound):
    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(
            f"dataset {reference!r} is neither in the entity store nor in the data store; upload "
            "training/*.jsonl to it first"
        )


class CustomizerService:
    """The customizer on `data_dir`.

    `store` is the entity store, where models are registered, `hub` the data store, where data sets come from
    and adapters go. `targets` are the base models of the settings. `max_trainings` run at once.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        runtime: Runtime,
        store: EntityStoreClient,
        hub: Hub,
        targets: Sequence[Target] = (),
        max_trainings: int = 1,
        model_cache: Path | None = None,
        resolve: ResolveModel | None = None,
        train_command: TrainCommand | None = None,
        retry_pauses_s: Sequence[float] = (0.5, 1, 2, 4, 8),
    ) -> None:
        cache = model_cache or data_dir / "models"
        data_dir.mkdir(parents=True, exist_ok=True)
        self._entities = Entities(data_dir / "customizer.sqlite")
        self._catalog = Catalog(self._entities)
        self._runtime, self._store, self._hub = runtime, store, hub
        self._targets, self._max_trainings = tuple(targets), max_trainings
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._worker = Worker(
            folder=data_dir / "jobs",
            entities=self._entities,
            runtime=runtime,
            hub=hub,
            store=store,
            resolve=resolve or (lambda name: resolve_model(name, cache_dir=cache)),
            train_command=train_command or partial(training_command, runtime.site.python),
            stopping=self._stopping,
            pauses_s=retry_pauses_s,
        )

    def start(self) -> None:
        """Write the settings' targets, take up what an earlier life did not finish, begin to work."""
        self._catalog.seed(self._targets)
        unfinished = [job for job in self._entities.all(JOBS) if job["status"] not in FINISHED]
        for name in set(self._runtime.names(LABELS)) - {job["id"] for job in unfinished}:
            self._runtime.stop(name)
        for job in unfinished:
            self._entities.update(JOBS, job["id"], lambda doc: jobs.logged(doc, "resumed after a restart"))
            self._enqueue(job["id"])
        for number in range(self._max_trainings):
            thread = threading.Thread(target=self._work, name=f"customizer-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop working; jobs stay as they are, for the next start. Trainings are the runtime's to end."""
        self._stopping.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=5)
        self._entities.close()

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def create_job(self, body: JobBody) -> Document:
        """Accept a job. What cannot work is refused here: unknown references, other ways of training."""
        config = self._catalog.find_config(body.config)
        if isinstance(config["target"], str):
            self._catalog.find_target(config["target"])
        job = jobs.new_job(body, config, self._dataset(body.dataset, body.namespace))
        job = self._entities.create(JOBS, job)
        try:
            self._worker.register(job)
        except FlywheelError:
            self._entities.delete(JOBS, job["id"])
            raise
        job = self._waiting(job)
        self._enqueue(job["id"])
        log.info("customization job created", extra={"job": job["id"], "output_model": job["output_model"]})
        return jobs.public(job)

    def job(self, job_id: str) -> Document:
        return jobs.public(self._job(job_id))

    def jobs(self, query: ListQuery) -> Page[Document]:
        found = {job["id"]: job for job in self._entities.all(JOBS)}
        page = query.select(jobs.searchable(job) for job in found.values())
        return page.model_copy(update={"data": [jobs.public(found[job["id"]]) for job in page.data]})

    def job_status(self, job_id: str) -> Document:
        details: Document = self._job(job_id)["status_details"]
        return details

    def cancel_job(self, job_id: str) -> Document:
        """Cancel; a job that runs is `cancelling` until its training has ended. Raises jobs.JobFinished."""
        self._job(job_id)
        job = self._entities.update(JOBS, job_id, jobs.cancelled)
        log.info("customization job cancelled", extra={"job": job_id})
        return jobs.public(job)

    def container_logs(self, job_id: str, tail: int = 200) -> Document:
        """The last `tail` lines that the training program printed."""
        status = self._job(job_id)["status"]
        entry = {
            "object": "Process",
            "events": [],
            "logs": {"training": self._runtime.logs(job_id, tail)},
            "status": {"phase": status},
        }
        return {"entries": {job_id: entry}, "error": None}

    def _job(self, job_id: str) -> Document:
        try:
            return self._entities.get_by_id(JOBS, job_id)
        except EntityNotFound as error:
            raise JobNotFound(job_id) from error

    def _enqueue(self, job_id: str) -> None:
        self._queue.put(job_id)
        metrics.TRAININGS_WAITING.inc()

    def _work(self) -> None:
        while (job_id := self._queue.get()) is not None and not self._stopping.is_set():
            metrics.TRAININGS_WAITING.dec()
            try:
                with metrics.TRAININGS_RUNNING.track_inprogress():
                    self._worker.perform(job_id)
            except Unavailable as error:
                # A cluster that is away has a training of this job, which must be ended.
                log.warning("trying again later", extra={"job": job_id, "error": str(error)})
                if not self._stopping.wait(AGAIN_S):
                    metrics.TRAININGS_WAITING.inc()
                    self._queue.put(job_id)
            except (
                Exception
            ):  # A full disk, say: the job stays as it is, and the others are not lost with it.
                log.exception("a job could not be brought to its end", extra={"job": job_id})

    def _waiting(self, job: Document) -> Document:
        """The job, `pending` with the reason where it cannot start at once."""
        ahead = sum(
            other["status"] not in FINISHED and other["id"] != job["id"] for other in self._entities.all(JOBS)
        )
        if ahead < self._max_trainings:
            return job
        jobs_are = "job is" if ahead == 1 else "jobs are"
        reason = f"{ahead} {jobs_are} ahead of this one; {self._max_trainings} may train at a time"
        return self._entities.update(
            JOBS, job["id"], lambda doc: jobs.moved(doc, "pending", "pending", reason)
        )

    def _dataset(self, reference: str | DatasetRef, namespace: str) -> Mapping[str, str]:
        """Where the rows of a data set are: `{name, repo, revision, folder}`. Raises DatasetNotFound."""
        if isinstance(reference, str):
            reference = _reference(reference, namespace)
        name = f"{reference.namespace}/{reference.name}" if reference.name else str(reference.files_url)
        url = reference.files_url
        if url is None:
            if reference.name is None:
                raise DatasetNotFound("(no name and no files_url)")
            check_name("dataset", reference.name)
            known = self._store.dataset(check_name("namespace", reference.namespace), reference.name)
            url = known.files_url if known is not None else None
            url = url or f"hf://datasets/{name}"
        _, repo, path, revision = parse_hf_url(url)
        if not self._hub.exists(repo, repo_type="dataset"):
            raise DatasetNotFound(name)
        return {"name": name, "repo": repo, "revision": revision or "main", "folder": (path or "").strip("/")}


def _reference(text: str, namespace: str) -> DatasetRef:
    if text.startswith("hf://"):
        return DatasetRef(files_url=text, namespace=namespace)
    first, slash, rest = text.partition("/")
    return DatasetRef(name=rest, namespace=first) if slash else DatasetRef(name=text, namespace=namespace)
