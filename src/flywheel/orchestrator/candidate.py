"""One candidate of a run: deploy → (base-eval, icl-eval, customize → customized-eval) → release → done.

`proceed` makes one pass: it starts what can start, looks once at what is running, and returns the candidate
as it is then. What is started carries the run and the candidate in its name or custom fields, and is looked
for before it is started, so a pass that was cut off anywhere can be made again. The stage is written down
before anything of the next one is started. A failure is the work's own; the candidate's other works go on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from flywheel.errors import FlywheelError
from flywheel.nemo.customization import CustomizationStatus
from flywheel.nemo.evaluation import (
    EvaluationJob,
    EvaluationResult,
    generic_job,
    run_scores,
    tool_calling_job,
)
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import DeploymentFailed, RemoteJobFailed, RemoteJobStalled
from flywheel.orchestrator.judge import judge_model, judge_of
from flywheel.orchestrator.trouble import passing, troubled
from flywheel.stores.runs.document import Candidate, Customization, Evaluation, Run, Score, Work, slug

W = TypeVar("W", bound=Work)

_WAITING = frozenset({"created", "pending", "running", "ready", "unknown"})
_DEPLOYED, _GONE = "ready", frozenset({"failed", "cancelled"})


def proceed(run: Run, candidate: Candidate, context: Context) -> Candidate:
    """One pass. Raises nothing of Flywheel's: what fails is written into the candidate."""
    match candidate.stage:
        case "waiting":
            return candidate.but(stage="deploy", started_at=context.clock())
        case "deploy":
            return _guarded(candidate, context, lambda c: _deploy(run, c, context), _undeployable)
        case "work":
            return _work(run, candidate, context)
        case "release":
            return release(candidate, context)
        case "done":
            return candidate


def release(candidate: Candidate, context: Context) -> Candidate:
    """Take the deployment down; the candidate is done when it is gone."""

    def down(c: Candidate) -> Candidate:
        namespace = context.namespace
        found = context.services.deployments.get(namespace, c.deployment_name)
        if found is not None:
            context.services.deployments.delete(namespace, c.deployment_name)
            return c.but(deployment_status="deleting")
        return c.but(released=True, deployment_status=None, stage="done", finished_at=context.clock())

    def stuck(c: Candidate, error: FlywheelError) -> Candidate:
        text = f"the deployment {c.deployment_name} could not be taken down: {error}"
        return c.but(stage="done", finished_at=context.clock(), error=c.error or text)

    return _guarded(candidate, context, down, stuck)


def cancel(run: Run, candidate: Candidate, context: Context) -> Candidate:
    """Cancel what the candidate runs elsewhere; a work is closed when its job is seen to be over."""
    if candidate.stage != "work":
        return candidate.but(
            evaluations=tuple(e.but(status="cancelled") if e.open else e for e in candidate.evaluations),
            customization=_never_started(candidate.customization),
        )
    for evaluation in candidate.evaluations:
        if evaluation.open:
            ended = _cancel_evaluation(run, candidate, evaluation, context)
            candidate = candidate.with_evaluation(ended)
    if candidate.customization and candidate.customization.open:
        ended_training = _cancel_customization(run, candidate, candidate.customization, context)
        candidate = candidate.but(customization=ended_training)
    return candidate


def works(candidate: Candidate) -> tuple[Work, ...]:
    customization = (candidate.customization,) if candidate.customization else ()
    return (*candidate.evaluations, *customization)


def labels(run: Run, candidate: Candidate, kind: str) -> dict[str, str]:
    """The custom fields by which a restarted run finds the job that it posted."""
    return {"flywheel_run": run.id, "candidate": candidate.model_name, "eval_type": kind}


# Deployment


def _deploy(run: Run, candidate: Candidate, context: Context) -> Candidate:
    deployments, nim = context.services.deployments, candidate.nim
    found = deployments.get(context.namespace, candidate.deployment_name)
    if found is None:
        found = deployments.create(
            {
                "name": candidate.deployment_name,
                "namespace": context.namespace,
                "custom_fields": {"flywheel_run": run.id},
                "config": {
                    "model": nim.model_name,
                    "nim_deployment": {
                        "image_name": f"{nim.registry_base}/{nim.model_name}",
                        "image_tag": nim.tag,
                        "pvc_size": nim.pvc_size,
                        "gpu": nim.gpus,
                        "additional_envs": {"NIM_GUIDED_DECODING_BACKEND": "outlines"},
                    },
                },
            }
        )
    candidate = candidate.but(deployment_status=found.status)
    if candidate.deployed_at is None:
        candidate = candidate.but(deployed_at=context.clock())
    if found.status in _GONE:
        raise DeploymentFailed(nim.model_name, found.status, found.status_details.description)
    if found.status == _DEPLOYED and context.services.proxy.serves(nim.model_name):
        return candidate.but(stage="work", deployment_ready=True)
    _not_stalled(f"deployment {candidate.deployment_name}", candidate.deployed_at, context)
    return candidate


def _undeployable(candidate: Candidate, error: FlywheelError) -> Candidate:
    """Nothing was measured, so nothing else of this candidate can be."""
    return candidate.but(
        stage="release",
        failed=True,
        error=str(error),
        evaluations=tuple(e.but(status="skipped") for e in candidate.evaluations),
        customization=candidate.customization and candidate.customization.but(status="skipped"),
    )


# Evaluations and customization, side by side


def _work(run: Run, candidate: Candidate, context: Context) -> Candidate:
    for kind in [evaluation.eval_type for evaluation in candidate.evaluations]:

        def evaluated(c: Candidate, kind: Any = kind) -> Candidate:
            evaluation = c.evaluation(kind)
            return c.with_evaluation(_evaluate(run, c, evaluation, context)) if evaluation else c

        def not_evaluated(c: Candidate, error: FlywheelError, kind: Any = kind) -> Candidate:
            evaluation = c.evaluation(kind)
            return c.with_evaluation(_fail(evaluation, error, context)) if evaluation else c

        candidate = _guarded(candidate, context, evaluated, not_evaluated)
    if candidate.customization:
        candidate = _guarded(
            candidate,
            context,
            lambda c: c.but(customization=c.customization and _customize(run, c, c.customization, context)),
            lambda c, error: c.but(customization=c.customization and _fail(c.customization, error, context)),
        )
    return candidate if any(work.open for work in works(candidate)) else _conclude(candidate)


def _conclude(candidate: Candidate) -> Candidate:
    """Whether the candidate came to what was wanted of it: its last evaluation."""
    final = candidate.evaluation("customized-eval") or candidate.evaluations[0]
    named: list[tuple[str, str | None]] = [
        (e.eval_type, e.error) for e in candidate.evaluations if e.status != "completed"
    ]
    if candidate.customization and candidate.customization.status != "completed":
        named.insert(0, ("customization", candidate.customization.error))
    problems = [f"{name}: {error}" for name, error in named if error]
    failed = final.status != "completed"
    return candidate.but(stage="release", failed=failed, error="; ".join(problems) or None)


def _evaluate(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> Evaluation:
    if not evaluation.open:
        return evaluation
    if evaluation.job_id is None:
        return _start_evaluation(run, candidate, evaluation, context)
    job = context.services.evaluator.job(evaluation.job_id)
    if job.status == "completed":
        result = context.services.evaluator.results(evaluation.job_id)
        return _scored(run, evaluation, result, context)
    if job.status not in _WAITING:
        raise RemoteJobFailed("evaluation", job.id, job.status, job.status_details.message)
    return _progressed(evaluation, job.progress, f"evaluation job {job.id}", context)


def _start_evaluation(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> Evaluation:
    model: str | None = candidate.model_name
    url = run.eval_url(candidate, evaluation.eval_type)
    if evaluation.eval_type == "customized-eval":
        customization = candidate.customization
        if customization is None or customization.status in ("failed", "cancelled", "skipped"):
            return evaluation.but(status="skipped", error=None)
        model = customization.customized_model if customization.status == "completed" else None
    if url is None:
        return evaluation.but(status="skipped")
    if model is None:
        return evaluation
    job = _evaluation_job(run, candidate, evaluation, context)
    if job is None:
        settings = run.config.evaluation_config
        build = tool_calling_job if run.workload_type == "tool_calling" else generic_job
        body = build(
            model=model,
            files_url=url,
            judge=judge_model(judge_of(run), context.environment),
            parallelism=settings.parallelism,
            request_timeout=int(settings.request_timeout),
            max_tokens=settings.max_tokens,
            namespace=context.namespace,
            custom_fields=labels(run, candidate, evaluation.eval_type),
        )
        job = context.services.evaluator.create_job(body)
    now = context.clock()
    return evaluation.but(status="running", job_id=job.id, model=model, started_at=now, progressed_at=now)


def _evaluation_job(
    run: Run, candidate: Candidate, evaluation: Evaluation, context: Context
) -> EvaluationJob | None:
    found = context.services.evaluator.jobs_with(labels(run, candidate, evaluation.eval_type))
    return found[-1] if found else None


def _scored(run: Run, evaluation: Evaluation, result: EvaluationResult, context: Context) -> Evaluation:
    scores = run_scores(result)
    if not scores:
        raise RemoteJobFailed("evaluation", evaluation.job_id or "", "completed", "its result has no scores")
    judged = {"tool_calling_correctness", "similarity"}
    scorer = run.judge.model_name if run.judge else None
    found: dict[str, Score] = {}
    for name, score in scores.items():
        interval = score.stats.confidence_interval if score.stats else None
        found[name] = Score(
            value=score.value,
            n=score.stats.count if score.stats else None,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            level=interval.level if interval else None,
            method=interval.method if interval else None,
            scorer=scorer if name in judged else None,
        )
    extra = result.custom_fields
    return evaluation.but(
        status="completed",
        progress=100.0,
        finished_at=context.clock(),
        scores=found,
        latency_ms=_numbers(extra.get("latency_ms")),
        usage=_numbers(extra.get("usage")),
        failures={k: int(v) for k, v in _numbers(extra.get("failures")).items()},
    )


def _numbers(found: Any) -> dict[str, float]:
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(k): v for k, v in pairs if isinstance(v, int | float) and not isinstance(v, bool)}


def _customize(run: Run, candidate: Candidate, work: Customization, context: Context) -> Customization:
    if not work.open:
        return work
    job_id = work.job_id
    if job_id is None:
        return _start_customization(run, candidate, work, context)
    if work.trained:
        return _listed(work, context)
    status = context.services.customizer.job_status(job_id)
    if status.status == "completed":
        work = _trained(_measured(work, status, context).but(progress=100.0, eta_seconds=None), context)
        return _listed(work, context)
    if status.status not in _WAITING:
        raise RemoteJobFailed("customization", job_id, status.status, status.reason)
    work = _measured(work, status, context)
    return _progressed(work, status.percentage_done, f"customization job {job_id}", context)


def _trained(work: Customization, context: Context) -> Customization:
    return work.but(trained=True, progressed_at=context.clock())


def _listed(work: Customization, context: Context) -> Customization:
    """Done once the model proxy serves the adapter; until then it cannot be measured."""
    name = work.customized_model or ""
    if context.services.proxy.serves(name):
        return work.but(status="completed", finished_at=context.clock())
    _not_stalled(f"{name}, trained but not listed by the model proxy,", work.progressed_at, context)
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
    )


def _start_customization(
    run: Run, candidate: Candidate, work: Customization, context: Context
) -> Customization:
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
                "custom_fields": labels(run, candidate, "customization"),
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
        "seed": seed,
        "lora": {
            "adapter_dim": lora.adapter_dim,
            "alpha": lora.alpha or 2 * lora.adapter_dim,
            "adapter_dropout": lora.adapter_dropout,
        },
    }


# Cancelling


def _never_started(work: Customization | None) -> Customization | None:
    return work.but(status="cancelled") if work and work.open else work


def _cancel_evaluation(
    run: Run, candidate: Candidate, evaluation: Evaluation, context: Context
) -> Evaluation:
    evaluator = context.services.evaluator
    job = (
        evaluator.job(evaluation.job_id)
        if evaluation.job_id
        else _evaluation_job(run, candidate, evaluation, context)
    )
    if job is None or job.finished:
        return evaluation.but(status="cancelled", finished_at=context.clock())
    if job.status != "cancelling":
        evaluator.cancel_job(job.id)
    return evaluation.but(status="running", job_id=job.id)


def _cancel_customization(
    run: Run, candidate: Candidate, work: Customization, context: Context
) -> Customization:
    customizer = context.services.customizer
    if work.job_id is None:
        found = customizer.jobs_with(labels(run, candidate, "customization"))
        if not found:
            return work.but(status="cancelled", finished_at=context.clock())
        work = work.but(status="running", job_id=found[-1].id, customized_model=found[-1].output_model)
    job_id = work.job_id or ""
    status = customizer.job_status(job_id)
    if status.finished:
        return work.but(status="cancelled", finished_at=context.clock())
    if status.status != "cancelling":
        customizer.cancel_job(job_id)
    return work


# What goes wrong


def _guarded(
    candidate: Candidate,
    context: Context,
    act: Callable[[Candidate], Candidate],
    fail: Callable[[Candidate, FlywheelError], Candidate],
) -> Candidate:
    """`act`; a passing failure is noted and left for the next pass, until it has lasted too long."""
    try:
        return act(candidate)
    except FlywheelError as error:
        if passing(error):
            trouble = troubled(candidate.trouble, error, context.clock())
            if (context.clock() - trouble.since).total_seconds() < context.limits.retry_for_s:
                return candidate.but(trouble=trouble)
        return fail(candidate, error)


def _fail(work: W, error: FlywheelError, context: Context) -> W:
    status = "cancelled" if isinstance(error, RemoteJobFailed) and error.cancelled else "failed"
    return work.but(status=status, error=str(error), finished_at=context.clock())


def _progressed(work: W, percent: float, what: str, context: Context) -> W:
    if percent > work.progress:
        return work.but(progress=min(percent, 100.0), progressed_at=context.clock())
    _not_stalled(what, work.progressed_at, context)
    return work


def _not_stalled(what: str, since: datetime | None, context: Context) -> None:
    if since and (context.clock() - since).total_seconds() > context.limits.stall_s:
        raise RemoteJobStalled(what, context.limits.stall_s)
