"""The evaluator's behaviour: what may be asked of it, and what of its state is shown."""

from __future__ import annotations

import asyncio
import io
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from flywheel.errors import FlywheelError, UserError
from flywheel.evaluation.results import results_text
from flywheel.hub import Hub
from flywheel.log import get_logger
from flywheel.nemo.conventions import Deleted, ListQuery, Page, check_name, new_id, timestamp
from flywheel.patience import Sleep
from flywheel.services.evaluator.datasets import HubAt
from flywheel.services.evaluator.jobs import JobRun, Surroundings
from flywheel.services.evaluator.judge_cache import StoredJudgeCache
from flywheel.services.evaluator.lifecycle import JOBS, RESULTS, Jobs, result_of, status_details
from flywheel.services.evaluator.plan import check_plan
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
from flywheel.telemetry import tracing

CONFIGS: Final = "evaluation configs"
TARGETS: Final = "evaluation targets"

_PIECE: Final = 65_536
"""Bytes that are passed on at once."""
_FIXED: Final = frozenset({"id", "created_at", "updated_at", "schema_version"})

log = get_logger(__name__)


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
        self._jobs = Jobs(self._entities, self._folder, self._around, max_jobs)

    def start(self) -> None:
        """Begin, and take up what an earlier life left unfinished."""
        self._jobs.start()

    def stop(self) -> None:
        """End quickly and for good; the next service on `data_dir` goes on with what runs."""
        self._jobs.stop()
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
        shown = self._shown if collection == JOBS else _masked
        return page.model_copy(update={"data": [shown(document) for document in page.data]})

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
        check_plan(config, target, self._around.nim_url)
        identity, now = new_id("eval"), timestamp()
        job = {
            **body.model_dump(exclude={"config", "target"}),
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
            "_trace": tracing.traceparent(),
        }
        self._entities.create(JOBS, job)
        log.info("evaluation created", extra={"evaluation": identity, "target": _target_name(target)})
        self._jobs.launch(identity)
        return self.job(identity)

    def job(self, job_id: str) -> Document:
        return self._shown(self._entities.get_by_id(JOBS, job_id))

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
        self._jobs.cancel(job_id)
        return self.job(job_id)

    def delete_job(self, job_id: str) -> Deleted:
        """Remove the job with its samples and its result, ending it first if it runs."""
        self._jobs.remove(job_id)
        return Deleted(id=job_id)

    def samples(self, job_id: str, query: ListQuery) -> Page[Document]:
        """The samples so far, filtered as any list is (`filter[failure]=wrong_value`)."""
        self._entities.get_by_id(JOBS, job_id)
        return query.select(self._jobs.samples(job_id).records())

    def download(self, job_id: str) -> Iterator[bytes]:
        """A ZIP with `results.json`, as NVIDIA's has it, piece by piece: who waits sees that it goes on."""
        self._entities.get_by_id(JOBS, job_id)
        return _zipped("results.json", results_text(self._jobs.samples(job_id).lines()))

    def logs(self, job_id: str) -> Document:
        """What happened to the job, and every answer that failed, with its error."""
        job = self.job(job_id)
        lines = [{"timestamp": job["created_at"], "message": "created"}]
        for record in self._jobs.samples(job_id).records():
            if record["error"] is not None:
                message = f"{record['task']} sample {record['index']}: {record['error']}"
                lines.append({"timestamp": job["updated_at"], "message": message})
        reason = job["status_details"]["message"]
        message = f"{job['status']}: {reason}" if reason else job["status"]
        lines.append({"timestamp": job["updated_at"], "message": message})
        return {"object": "list", "data": lines, "next_page": None}

    async def live(self, body: JobBody) -> Document:
        """Evaluate while the caller waits; nothing but the judges' answers is kept."""
        config, target = self._expand(body)
        check_plan(config, target, self._around.nim_url)
        job = {"id": new_id("eval"), "namespace": check_name("namespace", body.namespace)}
        folder = self._folder / f"live-{job['id']}"
        run = JobRun(config, target, folder, self._around)
        status, message, result = "completed", None, None
        try:
            result = result_of(await run.run(), job)
        except UserError:
            raise
        except FlywheelError as error:
            status, message = "failed", str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        details = status_details(run.progress, status, message)
        return {"status": status, "status_details": details, "result": result, "logs": {}}

    # Inside

    def _expand(self, body: JobBody) -> tuple[Document, Document]:
        """Configuration and target, as given or as stored under "namespace/name"."""
        config, target = body.config, body.target
        return (
            config.entity() if isinstance(config, ConfigBody) else self._named(CONFIGS, config),
            target.entity() if isinstance(target, TargetBody) else self._named(TARGETS, target),
        )

    def _named(self, collection: str, reference: str) -> Document:
        namespace, slash, name = reference.partition("/")
        return self._entities.get(collection, *((namespace, name) if slash else ("default", reference)))

    def _changed(self, collection: str, identity: str, change: Mapping[str, Any]) -> Document:
        fields = {key: value for key, value in change.items() if key not in _FIXED}

        def changed(old: Document) -> Document:
            return {**old, **{key: unmasked(value, old.get(key)) for key, value in fields.items()}}

        return _masked(self._entities.update(collection, identity, changed))

    def _shown(self, job: Document) -> Document:
        """A job as clients see it, with how far it is now."""
        public = {key: value for key, value in job.items() if not key.startswith("_")}
        return {**_masked(public), "status_details": self._jobs.details(job)}


def _zipped(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A ZIP with one file, as it is made."""
    made = _Pipe()
    packed = zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed as archive, archive.open(name, "w", force_zip64=True) as file:
        for piece in pieces:
            file.write(piece)
            if made.ready:
                yield made.take()
    yield made.take()


class _Pipe(io.RawIOBase):
    """What is written comes out at the other end. Not seekable, which a ZIP need not be."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._held += piece
        return len(piece)

    @property
    def ready(self) -> bool:
        """Whether there is enough to be passed on."""
        return len(self._held) >= _PIECE

    def take(self) -> bytes:
        taken, self._held = bytes(self._held), bytearray()
        return taken


def _masked(document: Document) -> Document:
    hidden: Document = masked(document)
    return hidden


def _target_name(target: Mapping[str, Any]) -> str:
    model = target.get("model")
    if isinstance(model, Mapping):
        endpoint = model.get("api_endpoint")
        return str(endpoint.get("model_id") if isinstance(endpoint, Mapping) else model.get("name"))
    return str(model or target.get("type"))
