"""One customization job from its data set to its uploaded adapter; every step may be done twice without harm.

    register the model → wait for a place → download → train → upload → completed

Between steps the job's document is looked at: a cancelled job stops there. What was trained is not trained
again: the training program finds its own output, and the runtime knows the jobs that have succeeded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Literal, TypeVar

from flywheel.errors import Conflict, FlywheelError, StorageFull, Unavailable, UpstreamError, UserError
from flywheel.hub import Hub
from flywheel.log import get_logger, log_context
from flywheel.nemo.customization import FINISHED, JobState
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.runtime import LaunchSpec, NotEnoughGpus, Runtime, Status
from flywheel.services.customizer import jobs
from flywheel.services.customizer.progress import Progress
from flywheel.stores.entities import Document, Entities
from flywheel.telemetry import metrics, tracing

log = get_logger(__name__)

JOBS: Final = "customization jobs"
LABELS: Final = {"service": "customizer"}
ADAPTER_FILES: Final = ("adapter_config.json", "adapter_model.safetensors")
VALIDATION_SHARE: Final = 0.1
TAIL_S: Final = 0.5
_TAKEN_AT_MOST: Final = 5
"""Starts of a training that its cluster ended; it resumes from its checkpoint each time."""

Result = TypeVar("Result")
TrainCommand = Callable[[Path, int], tuple[str, ...]]
"""How training is started for a SPEC file on so many GPUs."""
ResolveModel = Callable[[str], Path]


def training_command(python: str, spec: Path, gpus: int) -> tuple[str, ...]:
    """Our own training, by the interpreter `python`; on several GPUs, one process each."""
    if gpus > 1:
        torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}")
        return (python, *torchrun, "-m", "flywheel.training", str(spec))
    return (python, "-m", "flywheel.training", str(spec))


class Interrupted(Exception):
    """The job was cancelled, or the service is stopping: do no more."""


class NoTrainingData(UserError):
    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        super().__init__(f"dataset {dataset!r} has no rows in training/*.jsonl")


class OutputModelTaken(Conflict):
    """Models are immutable: a job may not put its adapter in the place of another one's."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"output_model: there is a model {name!r} already; leave its '@version' out")


class TrainingFailed(FlywheelError):
    code = "training_failed"

    def __init__(self, reason: str, output: str) -> None:
        self.reason, self.output = reason, output
        super().__init__(f"training failed: {reason}" + (f"; its last output: {output}" if output else ""))


class BadAdapter(FlywheelError):
    code = "bad_adapter"

    def __init__(self, problem: str) -> None:
        super().__init__(f"training ended well, but {problem}")


@dataclass(frozen=True)
class Worker:
    """Performs jobs of `entities` under `folder`, one folder each."""

    folder: Path
    entities: Entities
    runtime: Runtime
    hub: Hub
    store: EntityStoreClient
    resolve: ResolveModel
    train_command: TrainCommand
    stopping: threading.Event
    pauses_s: Sequence[float] = (0.5, 1, 2, 4, 8)

    def perform(self, job_id: str) -> None:
        """Bring the job to its end. Its own failure is recorded in it, never raised."""
        began = perf_counter()
        job = self.entities.get_by_id(JOBS, job_id)
        about = {"flywheel.customization": job_id, "flywheel.model": job["output_model"]}
        with (
            log_context(job=job_id),
            tracing.span("customization", about, parent=job.get("_trace")) as span,
        ):
            try:
                self._steps(job_id)
            except Interrupted:
                self._end(job_id, "cancelled", None)
            except FlywheelError as error:
                span.fail(str(error))
                self._end(job_id, "failed", str(error))
            except Exception as error:  # One job's bug must not end the worker of the others.
                log.exception("a job failed unforeseen")
                span.fail(type(error).__name__)
                self._end(job_id, "failed", f"unforeseen {type(error).__name__}: {error}")
            else:
                self.tidy(job_id)
        if self.stopping.is_set():
            return
        status = self.entities.get_by_id(JOBS, job_id)["status"]
        if status in FINISHED:
            metrics.TRAININGS.labels(status).inc()
            metrics.TRAINING_SECONDS.labels(status).observe(perf_counter() - began)

    def register(self, job: Document) -> None:
        """Enter the job's model in the entity store, as not there yet. Raises OutputModelTaken."""
        namespace, name = job["output_model"].split("/", 1)
        known = self.store.model(namespace, name)
        if known is not None:
            if known.custom_fields.get("customization_job") != job["id"]:
                raise OutputModelTaken(job["output_model"])
            return
        snapshot = job["config_snapshot"]
        body = {
            "name": name,
            "namespace": namespace,
            "description": job["description"],
            "project": job["project"],
            "base_model": snapshot["base_model"],
            "spec": {
                "num_parameters": job["_num_parameters"],
                "context_size": snapshot["max_seq_length"],
                "num_virtual_tokens": 0,
                "is_chat": True,
            },
            "artifact": self._artifact(job, "created"),
            "peft": {"finetuning_type": "lora"},
            "custom_fields": _made_by(job),
        }
        self.store.create_model(body)

    def tidy(self, job_id: str) -> None:
        """Remove what a finished job no longer needs; its log, its progress and its SPEC stay."""
        self.runtime.stop(job_id)
        folder = self.folder / job_id
        for heavy in ("download", "data", "output/checkpoints", "output/adapter"):
            shutil.rmtree(folder / heavy, ignore_errors=True)

    def _steps(self, job_id: str) -> None:
        job = self.entities.get_by_id(JOBS, job_id)
        self._look(job)
        self._patiently(lambda: self.register(job))
        model = self._patiently(lambda: self.resolve(job["_model_path"]))
        train, validation = self._data(job)
        spec = self._spec(job, model, train, validation)
        self._train(job, spec)
        self._upload(job)
        self._change(job_id, lambda doc: jobs.moved(doc, "completed", "completed"))
        log.info("customization completed", extra={"output_model": job["output_model"]})

    def _look(self, job: Document) -> None:
        if self.stopping.is_set() or job["status"] == "cancelling" or job["status"] in FINISHED:
            raise Interrupted

    def _change(self, job_id: str, change: Callable[[Document], Document]) -> Document:
        """Change the job, unless it was cancelled meanwhile: then Interrupted."""

        def guarded(doc: Document) -> Document:
            self._look(doc)
            return change(doc)

        return self.entities.update(JOBS, job_id, guarded)

    def _patiently(self, act: Callable[[], Result]) -> Result:
        """Do what another server has a part in; its passing trouble must not cost a training."""
        for pause in self.pauses_s:
            try:
                return act()
            except UpstreamError as error:
                log.warning("trying again", extra={"error": str(error), "pause_s": pause})
                if self.stopping.wait(pause):
                    raise Interrupted from error
        return act()

    def _say(self, job_id: str, message: str, detail: str | None = None) -> None:
        self._change(job_id, lambda doc: jobs.moved(doc, "running", message, detail))

    def _data(self, job: Document) -> tuple[list[Path], list[Path]]:
        """The job's training and validation files; where there is no validation, a tenth is set aside."""
        job_id, dataset = job["id"], job["_dataset"]
        folder = self.folder / job_id / "download"
        self._say(job_id, "EntityHandler_0_Running")
        base = f"{dataset['folder']}/" if dataset["folder"] else ""
        patterns = [f"{base}training/*.jsonl", f"{base}validation/*.jsonl"]
        if not folder.exists():  # It appears when it is complete.
            self._patiently(
                lambda: self.hub.download(
                    dataset["repo"],
                    folder,
                    repo_type="dataset",
                    revision=dataset["revision"],
                    patterns=patterns,
                )
            )
        train = _filled_files(folder / base / "training")
        validation = _filled_files(folder / base / "validation")
        if not train:
            raise NoTrainingData(dataset["name"])
        if not validation:
            train, validation = _split(train, self.folder / job_id / "data")
        self._say(job_id, "EntityHandler_0_Completed")
        return train, validation

    def _spec(self, job: Document, model: Path, train: list[Path], validation: list[Path]) -> Path:
        snapshot = job["config_snapshot"]
        spec = {
            "model": str(model),
            "model_name": snapshot["base_model"],
            "train": [str(path) for path in train],
            "validation": [str(path) for path in validation],
            "output_dir": str(self._output(job["id"])),
            "max_seq_length": snapshot["max_seq_length"],
            "precision": snapshot["precision"] if snapshot["precision"] in ("fp16", "fp32") else "auto",
            "hyperparameters": job["hyperparameters"],
            "stdin_lifeline": self.runtime.site.holds_stdin,
        }
        path: Path = self.folder / job["id"] / "spec.json"
        path.write_text(json.dumps(spec, indent=1, sort_keys=True))
        return path

    def _train(self, job: Document, spec: Path) -> None:
        job_id, option = job["id"], job["config_snapshot"]["training_option"]
        gpus = self.runtime.site.granted(option["num_gpus"] * option.get("num_nodes", 1))
        launch = LaunchSpec(
            name=job_id,
            kind="job",
            command=self.train_command(spec, gpus),
            workdir=spec.parent,
            gpus=gpus,
            labels=_labels(job),
        )
        self._say(job_id, "TrainingJobCreated")
        progress = Progress(
            self._output(job_id) / "progress.jsonl", job["hyperparameters"]["log_every_n_steps"]
        )
        for _ in range(_TAKEN_AT_MOST):
            status = self._follow(job_id, launch, progress)
            if not status.taken:
                break
            self._say(job_id, "TrainingJobTaken", status.cause)
        if status.state != "succeeded":
            raise self._failure(job_id, status, progress)
        self._say(job_id, "TrainingJobCompleted")

    def _follow(self, job_id: str, launch: LaunchSpec, progress: Progress) -> Status:
        """Start the training, or find it started, and report until it has ended; how it did."""
        self._launch(job_id, launch)
        self._say(job_id, "TrainingJobRunning")
        waits_for: str | None = None
        while not (status := self.runtime.wait(job_id, TAIL_S)).ended:
            if status.state == "pending" and status.cause and status.cause != waits_for:
                self._wait(job_id, status.cause)
            elif status.state == "running" and waits_for:
                self._say(job_id, "TrainingJobRunning")
            waits_for = status.cause if status.state == "pending" else None
            self._report(job_id, progress)
        self._report(job_id, progress)
        return status

    def _launch(self, job_id: str, launch: LaunchSpec) -> None:
        """Start training as soon as there are GPUs for it, and a cluster that answers."""
        while True:
            try:
                self.runtime.launch(launch)
            except NotEnoughGpus as error:
                if not error.ever:
                    raise
                self._wait(job_id, str(error))
                self.stopping.wait(TAIL_S)
            except StorageFull:
                raise
            except Unavailable as error:
                self._wait(job_id, str(error))
                self.stopping.wait(TAIL_S)
            else:
                return

    def _wait(self, job_id: str, reason: str) -> None:
        waiting = "NotEnoughResources"
        self._change(job_id, partial(jobs.moved, status="pending", message=waiting, detail=reason))

    def _report(self, job_id: str, progress: Progress) -> None:
        if progress.read():
            self._change(job_id, lambda doc: jobs.progressed(doc, progress.details()))
        else:
            self._look(self.entities.get_by_id(JOBS, job_id))

    def _failure(self, job_id: str, status: Status, progress: Progress) -> TrainingFailed:
        reason = progress.failure or status.cause or "it ended without a reason"
        return TrainingFailed(reason, "" if progress.failure else self.runtime.logs(job_id, tail=5))

    def _upload(self, job: Document) -> None:
        job_id = job["id"]
        adapter = self._output(job_id) / "adapter"
        files = _adapter_files(adapter)
        repo, revision = repo_and_revision(job["output_model"])
        self._say(job_id, "EntityHandler_1_Running")
        message = f"Adapter of {job['config_snapshot']['base_model']} by {job_id}"
        for branch in (revision, "main"):
            self._patiently(
                partial(self.hub.upload, repo, files, repo_type="model", revision=branch, message=message)
            )
        digest = sha256(files["adapter_model.safetensors"])
        self._patiently(lambda: self._settle_model(job, "upload_completed", {"sha256": digest}))
        self._say(job_id, "EntityHandler_1_Completed")

    def _settle_model(self, job: Document, status: str, fields: Mapping[str, Any]) -> None:
        namespace, name = job["output_model"].split("/", 1)
        change = {
            "artifact": self._artifact(job, status),
            "custom_fields": {**_made_by(job), **fields},
        }
        self.store.update_model(namespace, name, change)

    def _artifact(self, job: Document, status: str) -> Document:
        repo, revision = repo_and_revision(job["output_model"])
        return {
            "status": status,
            "files_url": f"hf://{repo}@{revision}",
            "precision": job["config_snapshot"]["precision"],
            "backend_engine": "hugging_face",
            "tensor_parallelism": 1,
            "gpu_arch": None,
        }

    def _end(self, job_id: str, status: Literal["failed", "cancelled"], reason: str | None) -> None:
        """Record how the job ended short of its adapter. While the service stops, the next life goes on."""
        if self.stopping.is_set():
            return
        self.tidy(job_id)

        def change(doc: Document) -> Document:
            if doc["status"] in FINISHED:
                return doc
            ended: JobState = "cancelled" if doc["status"] == "cancelling" else status
            return jobs.moved(doc, ended, ended, reason if ended == status else None)

        job = self.entities.update(JOBS, job_id, change)
        if job["status"] == "completed":
            return
        log.info("customization ended", extra={"status": job["status"], "reason": reason})
        try:
            self._settle_model(job, "upload_failed", {})
        except FlywheelError as error:
            log.warning("the entity store was not told", extra={"error": str(error)})

    def _output(self, job_id: str) -> Path:
        return self.folder / job_id / "output"


def _labels(job: Document) -> dict[str, str]:
    """What the training is found by: this service, the model, and the run that wants it, where known."""
    run = (job.get("custom_fields") or {}).get("flywheel_run")
    return {**LABELS, "model": job["config_snapshot"]["base_model"], **({"run": str(run)} if run else {})}


def _made_by(job: Document) -> dict[str, Any]:
    """Where a model comes from: what its job was given to remember, and the job."""
    return {**(job.get("custom_fields") or {}), "customization_job": job["id"]}


def repo_and_revision(model: str) -> tuple[str, str]:
    """`ns/name@revision` of an output model as a repository and its branch."""
    repo, _, revision = model.partition("@")
    return repo, revision


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _adapter_files(adapter: Path) -> dict[str, Path]:
    """What goes into the repository. Raises BadAdapter when it is not what training said it wrote."""
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise BadAdapter(f"it left no {name}")
    manifest = adapter / "flywheel.json"
    if manifest.is_file():
        said = json.loads(manifest.read_text()).get("sha256")
        if said not in (None, sha256(adapter / "adapter_model.safetensors")):
            raise BadAdapter("adapter_model.safetensors is not what its recorded sha256 says")
    return {path.name: path for path in sorted(adapter.iterdir()) if path.is_file()}


def _filled_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.jsonl")) if path.stat().st_size]


def _split(files: list[Path], into: Path) -> tuple[list[Path], list[Path]]:
    """A tenth of the rows for validation: those with the smallest hash, so that a repeat finds the same."""
    rows = [line for path in files for line in path.read_bytes().splitlines() if line.strip()]
    by_hash = sorted(range(len(rows)), key=lambda i: hashlib.sha256(rows[i]).digest())
    aside = set(by_hash[: round(len(rows) * VALIDATION_SHARE)])
    into.mkdir(parents=True, exist_ok=True)
    train, validation = into / "train.jsonl", into / "validation.jsonl"
    train.write_bytes(b"".join(row + b"\n" for i, row in enumerate(rows) if i not in aside))
    validation.write_bytes(b"".join(rows[i] + b"\n" for i in sorted(aside)))
    return [train], ([validation] if aside else [])
