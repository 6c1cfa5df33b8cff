"""The document of a customization job: how it starts, how it changes, what of it goes out. Pure functions.

`status` moves created → pending → running → completed | failed, and by cancelling → cancelled. Fields whose
name starts with an underscore are for the worker and never leave the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flywheel.errors import Conflict, UserError
from flywheel.nemo.conventions import check_name, new_id, timestamp
from flywheel.nemo.customization import FINISHED, Hyperparameters, JobBody, JobState, LoraParameters
from flywheel.stores.entities import Document
from flywheel.telemetry import tracing


class NotOffered(UserError):
    """A way of training that this customizer does not do, or that the config does not allow."""

    def __init__(self, field: str, value: str, offered: str) -> None:
        self.field, self.value = field, value
        super().__init__(f"hyperparameters.{field}: {value!r} is not offered here; {offered}")


class JobFinished(Conflict):
    """What was asked for makes no sense any more."""

    def __init__(self, job_id: str, status: str) -> None:
        self.job_id, self.job_status = job_id, status
        super().__init__(f"job {job_id} has already {'failed' if status == 'failed' else 'completed'}")


def chosen_option(wanted: Hyperparameters, config: Document) -> Document:
    """The training option of `config` that a job's hyperparameters ask for. Raises NotOffered."""
    if wanted.training_type != "sft":
        raise NotOffered("training_type", wanted.training_type, "this customizer trains by 'sft'")
    if wanted.finetuning_type != "lora":
        raise NotOffered("finetuning_type", wanted.finetuning_type, "this customizer makes 'lora' adapters")
    for option in config["training_options"]:
        if option["training_type"] == "sft" and option["finetuning_type"] == "lora":
            chosen: Document = option
            return chosen
    offered = [f"{o['training_type']}/{o['finetuning_type']}" for o in config["training_options"]]
    raise NotOffered("finetuning_type", "lora", f"config {config['name']!r} allows {', '.join(offered)}")


def filled(wanted: Hyperparameters) -> Document:
    """All hyperparameters, with NeMo's defaults where the job says nothing."""
    values = wanted.model_copy(
        update={
            "lora": wanted.lora or LoraParameters(),
            "min_learning_rate": wanted.min_learning_rate or 0.1 * wanted.learning_rate,
        }
    )
    return values.model_dump(mode="json")


def new_job(body: JobBody, config: Document, dataset: Mapping[str, str]) -> Document:
    """The document of a fresh job. `dataset` is `{name, repo, revision, folder}` of its data."""
    job_id, now = new_id("cust"), timestamp()
    option, target = chosen_option(body.hyperparameters, config), config["target"]
    output = output_model(body.output_model, body.namespace, target["base_model"], job_id)
    given = body.model_dump(mode="json", exclude={"config", "dataset", "hyperparameters", "output_model"})
    warnings = [
        {"message": f"integration {entry.get('type')!r} is ignored", "explanation": "it is not offered here"}
        for entry in body.integrations or []
    ]
    return {
        "description": None,
        "ownership": None,
        "dataset_parameters": None,
        "schema_version": "1.0",
        **given,
        "id": job_id,
        "name": check_name("name", body.name or job_id),
        "namespace": check_name("namespace", body.namespace),
        "created_at": now,
        "dataset": dataset["name"],
        "output_model": output,
        "config": f"{config['namespace']}/{config['name']}",
        "config_snapshot": {
            "base_model": target["base_model"],
            "precision": config["training_precision"],
            "max_seq_length": config["max_seq_length"],
            "prompt_template": config["prompt_template"],
            "training_option": option,
        },
        "hyperparameters": filled(body.hyperparameters),
        "status": "created",
        "status_details": {
            "created_at": now,
            "updated_at": now,
            "status": "created",
            "elapsed_time": 0.0,
            "steps_completed": 0,
            "epochs_completed": 0,
            "percentage_done": 0.0,
            "status_logs": [{"updated_at": now, "message": "created", "detail": None}],
        },
        "warnings": warnings,
        "_model_path": target["model_path"],
        "_num_parameters": target["num_parameters"],
        "_dataset": dict(dataset),
        "_trace": tracing.traceparent(),
    }


def output_model(given: str | None, namespace: str, base_model: str, job_id: str) -> str:
    """`ns/name@job`; a name with its own `@version` keeps it; without a name the base model lends its own."""
    if given is None:
        last = base_model.rsplit("/", 1)[-1]
        return f"{namespace}/{last}@{job_id}"
    namespace, name = given.split("/", 1) if "/" in given else (namespace, given)
    check_name("output_model", namespace)
    check_name("output_model", name)
    return f"{namespace}/{name}" if "@" in name else f"{namespace}/{name}@{job_id}"


def public(job: Document) -> Document:
    """The job as it is on the wire."""
    return {key: value for key, value in job.items() if not key.startswith("_")}


def moved(job: Document, status: JobState, message: str, detail: str | None = None) -> Document:
    """The job in another status, with a line in its log that says why."""
    told = logged(job, message, detail)
    return {**told, "status": status, "status_details": {**told["status_details"], "status": status}}


def logged(job: Document, message: str, detail: str | None = None) -> Document:
    """The job with a line in its log; the same line twice in a row is one."""
    details, now = job["status_details"], timestamp()
    lines = details["status_logs"]
    if lines and (lines[-1]["message"], lines[-1]["detail"]) == (message, detail):
        return job
    line = {"updated_at": now, "message": message, "detail": detail}
    return _detailed(job, {"status_logs": [*lines, line], "updated_at": now})


def progressed(job: Document, progress: Mapping[str, Any]) -> Document:
    """The job with the training's progress in its details."""
    return _detailed(job, {**progress, "updated_at": timestamp()})


def cancelled(job: Document) -> Document:
    """The job after a cancel: at once where it waits, by `cancelling` where it runs. Raises JobFinished."""
    status = job["status"]
    if status in ("completed", "failed"):
        raise JobFinished(job["id"], status)
    if status in ("created", "pending"):
        return moved(job, "cancelled", "cancelled", "cancelled by the user")
    if status == "running":
        return moved(job, "cancelling", "cancelling", "cancelled by the user")
    return job


def searchable(job: Document) -> Document:
    """The job with the fields that NeMo's list filters name."""
    hyperparameters = job["hyperparameters"]
    names = ("training_type", "finetuning_type", "epochs", "batch_size", "log_every_n_steps")
    return {
        **job,
        **{name: hyperparameters.get(name) for name in names},
        "base_model": job["config_snapshot"]["base_model"],
    }


def _detailed(job: Document, change: Mapping[str, Any]) -> Document:
    details = {**job["status_details"], **change}
    if job["status"] not in FINISHED:
        details["elapsed_time"] = _seconds(details["created_at"], timestamp())
    return {**job, "status_details": details}


def _seconds(start: str, end: str) -> float:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
