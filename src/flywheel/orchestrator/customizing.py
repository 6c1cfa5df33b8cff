"""The customization of a candidate: a job at the customizer, and its adapter at the model proxy."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from flywheel.nemo.customization import CustomizationStatus
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import RemoteJobFailed
from flywheel.orchestrator.losses import losses_of
from flywheel.orchestrator.remote import WAITING, cancelled, check_stalled, labels, progressed
from flywheel.stores.runs.document import Candidate, Customization, Run, slug


def customize(run: Run, candidate: Candidate, work: Customization, context: Context) -> Customization:
    """Start the training, look at it while it runs, then wait until its adapter is served.

    Raises RemoteJobFailed, RemoteJobStalled, and what the clients raise.
    """
    if not work.open:
        return work
    job_id = work.job_id
    if job_id is None:
        return _start(run, candidate, work, context)
    if work.trained:
        return _listed(work, context)
    before, status = work, context.services.customizer.job_status(job_id)
    if status.status == "completed":
        measured = _measured(work, status, context)
        work = _trained(measured.but(progress=100.0, eta_seconds=None, waits_for=None), context)
        return _listed(work, context)
    if status.status not in WAITING:
        raise RemoteJobFailed("customization", job_id, status.status, status.reason)
    work = _measured(work, status, context).but(waits_for=None)
    if status.status == "pending":
        what = f"customization job {job_id}, which waits for its turn,"
        check_stalled(what, work.progressed_at, context, waits=True)
        return work.but(waits_for=status.reason)
    if before.waits_for:
        work = work.but(progressed_at=context.clock())
    return progressed(work, status.percentage_done, f"customization job {job_id}", context)


def _trained(work: Customization, context: Context) -> Customization:
    return work.but(trained=True, progressed_at=context.clock())


def _listed(work: Customization, context: Context) -> Customization:
    """Done once the model proxy serves the adapter; until then it cannot be measured."""
    name = work.customized_model or ""
    if context.services.proxy.serves(name):
        return work.but(status="completed", finished_at=context.clock())
    check_stalled(f"{name}, trained but not listed by the model proxy,", work.progressed_at, context)
    return work


def _measured(work: Customization, status: CustomizationStatus, context: Context) -> Customization:
    eta, done = status.eta_s, status.percentage_done
    if eta is None and 0 < done < 100 and work.started_at:
        elapsed = (context.clock() - work.started_at).total_seconds()
        eta = elapsed * (100 - done) / done
    return work.but(
        epochs_completed=status.epochs_completed,
        steps_completed=status.steps_completed,
        steps_per_epoch=status.steps_per_epoch,
        train_loss=status.train_loss,
        val_loss=status.val_loss,
        eta_seconds=None if eta is None else round(eta, 1),
        losses=losses_of(status) or work.losses,
    )


def _start(run: Run, candidate: Candidate, work: Customization, context: Context) -> Customization:
    customizer, dataset = context.services.customizer, run.dataset("train")
    found = customizer.jobs_with(labels(run, candidate, "customization"))
    if found:
        job = found[-1]
    else:
        config = customization_config(candidate, run, context.namespace)
        customizer.ensure_config(config)
        job = customizer.create_job(
            {
                "name": f"{candidate.deployment_name}-customization",
                "namespace": context.namespace,
                "description": f"Customization of {candidate.model_name} for run {run.id}",
                "config": f"{context.namespace}/{config['name']}",
                "dataset": {"name": dataset.name if dataset else "", "namespace": context.namespace},
                "output_model": f"{context.namespace}/{output_name(candidate.model_name)}",
                "hyperparameters": _hyperparameters(run),
                "custom_fields": labels(run, candidate, "customization")
                | {"client_id": run.client_id, "workload_id": run.workload_id},
            }
        )
    now = context.clock()
    return work.but(
        status="running",
        job_id=job.id,
        customized_model=job.output_model,
        started_at=now,
        progressed_at=now,
    )


def customization_config(candidate: Candidate, run: Run, namespace: str) -> dict[str, Any]:
    """How the candidate may be trained. Its name holds a digest, so that a name never changes its meaning."""
    how, training = candidate.nim.customizer_configs, run.config.training_config
    body: dict[str, Any] = {
        "target": candidate.nim.target,
        "training_options": [
            {
                "training_type": training.training_type,
                "finetuning_type": training.finetuning_type,
                "num_gpus": how.gpus,
                "num_nodes": how.num_nodes,
                "micro_batch_size": how.micro_batch_size,
                "tensor_parallel_size": how.tensor_parallel_size,
                "data_parallel_size": how.data_parallel_size,
                "use_sequence_parallel": how.use_sequence_parallel,
            }
        ],
        "training_precision": how.training_precision,
        "max_seq_length": how.max_seq_length,
    }
    digest = hashlib.sha256(repr(sorted(body.items())).encode()).hexdigest()[:8]
    return {"name": f"{slug(candidate.model_name)}@v1.0.0+{digest}", "namespace": namespace, **body}


def output_name(model_name: str) -> str:
    """The adapters' name without version, as the blueprint forms it: customized-meta-llama-3-2-1b."""
    return "customized-" + re.sub(r"[^A-Za-z0-9_-]+", "-", model_name)


def _hyperparameters(run: Run) -> dict[str, Any]:
    training, lora = run.config.training_config, run.config.lora_config
    dataset = run.dataset("train")
    seed = training.seed
    if seed is None:
        seed = int((dataset.sha256 if dataset else "")[:6] or "0", 16)
    return {
        "training_type": training.training_type,
        "finetuning_type": training.finetuning_type,
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "val_check_interval": training.val_check_interval,
        "seed": seed,
        "lora": {
            "adapter_dim": lora.adapter_dim,
            "alpha": lora.alpha or 2 * lora.adapter_dim,
            "adapter_dropout": lora.adapter_dropout,
        },
    }


def cancel_customization(
    run: Run, candidate: Candidate, work: Customization, context: Context
) -> Customization:
    """Cancel the job, posted or not; the work is closed when its job is seen to be over."""
    customizer = context.services.customizer
    if work.job_id is None:
        found = customizer.jobs_with(labels(run, candidate, "customization"))
        if not found:
            return cancelled(work, context)
        work = work.but(status="running", job_id=found[-1].id, customized_model=found[-1].output_model)
    job_id = work.job_id or ""
    status = customizer.job_status(job_id)
    if status.finished:
        return cancelled(work, context)
    if status.status != "cancelling":
        customizer.cancel_job(job_id)
    return work
