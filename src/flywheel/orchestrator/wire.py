"""Runs as `/api/jobs` shows them: NVIDIA's documents, field for field, and our additions beside theirs.

Datetimes go out naive and in UTC, as their clients expect; a field of theirs is never left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flywheel.nemo.calls import ServiceUrls
from flywheel.stores.runs.brief import Brief, EvaluationEntry, candidate_percent, percent
from flywheel.stores.runs.document import (
    Candidate,
    Customization,
    Dataset,
    Evaluation,
    Run,
    Score,
    Work,
)

_DEPLOYMENT_STATES = frozenset(
    {"created", "pending", "running", "cancelled", "failed", "completed", "ready", "unknown"}
)


def summary(run: Brief) -> dict[str, Any]:
    """One entry of the list."""
    return {
        "id": run.id,
        "workload_id": run.workload_id,
        "client_id": run.client_id,
        "status": run.status,
        "started_at": _naive(run.started_at or run.created_at),
        "finished_at": _naive(run.finished_at),
        "datasets": _datasets(run.datasets),
        "error": run.error,
        "step": run.step,
        "created_at": _naive(run.created_at),
        "cancel_requested": run.cancel_requested,
        "percent": run.percent,
        "decision": run.decision.model_dump() if run.decision else None,
        "trigger": run.trigger.model_dump() if run.trigger else None,
    }


def detail(run: Run, urls: ServiceUrls, at: datetime) -> dict[str, Any]:
    """The whole document; `urls` is where the jobs that it points to are."""
    judge = run.judge
    return {
        "id": run.id,
        "workload_id": run.workload_id,
        "client_id": run.client_id,
        "status": run.status,
        "started_at": _naive(run.started_at or run.created_at),
        "finished_at": _naive(run.finished_at),
        "num_records": run.num_records,
        "llm_judge": judge.model_dump() if judge else None,
        "nims": [_nim(run, candidate, urls, at) for candidate in run.candidates],
        "datasets": _datasets(run.datasets),
        "error": run.error,
        "step": run.step,
        "created_at": _naive(run.created_at),
        "updated_at": _naive(run.updated_at),
        "cancel_requested": run.cancel_requested,
        "workload_type": run.workload_type,
        "auxiliaries": [each.model_dump(exclude={"deployed_at"}) for each in run.auxiliaries],
        "progress": progress(run),
        "teacher": _evaluation(run.teacher, urls, at) if run.teacher else None,
        "decision": run.decision.model_dump() if run.decision else None,
        "curation": run.curation,
        "overrides": run.overrides,
        "trigger": run.trigger.model_dump() if run.trigger else None,
        "config": run.config.model_dump(mode="json", exclude={"nims"}),
        "trouble": run.trouble.message if run.trouble else None,
        "events": [event.model_dump() | {"at": _naive(event.at)} for event in run.events],
    }


def progress(run: Run) -> dict[str, Any]:
    """Where the run is: its step, and for each candidate what it does, how far and for how long."""
    candidates = [_candidate_progress(candidate) for candidate in run.candidates]
    return {"step": run.step, "percent": percent(run), "candidates": candidates}


def _candidate_progress(candidate: Candidate) -> dict[str, Any]:
    training = candidate.customization
    return {
        "model_name": candidate.model_name,
        "stage": candidate.stage,
        "doing": _doing(candidate),
        "percent": candidate_percent(candidate),
        "deployment": candidate.deployment_status,
        "evaluations": {
            e.eval_type: {"status": e.status, "percent": e.progress} for e in candidate.evaluations
        },
        "customization": None
        if training is None
        else {
            "status": training.status,
            "percent": training.progress,
            "steps_completed": training.steps_completed,
            "steps_per_epoch": training.steps_per_epoch,
            "epochs_completed": training.epochs_completed,
            "train_loss": training.train_loss,
            "val_loss": training.val_loss,
            "eta_seconds": training.eta_seconds,
        },
        "trouble": candidate.trouble.message if candidate.trouble else None,
        "waits_for": _waits_for(candidate),
    }


def _waits_for(candidate: Candidate) -> str | None:
    training = candidate.customization
    return candidate.waits_for or (training.waits_for if training and training.open else None)


def _doing(candidate: Candidate) -> str:
    if candidate.stage != "work":
        return candidate.stage
    running = [e.eval_type for e in candidate.evaluations if e.status == "running"]
    training = candidate.customization
    if training and training.status == "running":
        return " + ".join(["customize" if not training.trained else "load adapter", *running])
    return " + ".join(running) or "work"


def _nim(run: Run, candidate: Candidate, urls: ServiceUrls, at: datetime) -> dict[str, Any]:
    training = candidate.customization
    state = candidate.deployment_status
    return {
        "model_name": candidate.model_name,
        "status": _nim_status(candidate),
        "deployment_status": "completed"
        if candidate.released
        else state
        if state is None or state in _DEPLOYMENT_STATES
        else "unknown",
        "runtime_seconds": _seconds(candidate.started_at, candidate.finished_at, at),
        "evaluations": [
            _evaluation(e, urls, at, candidate.mlflow_uri)
            for e in candidate.evaluations
            if e.status not in ("waiting", "skipped")
        ],
        "customizations": [_customization(training, urls, at)]
        if training and training.status not in ("waiting", "skipped")
        else [],
        "error": candidate.error,
        "started_at": _naive(candidate.started_at),
        "finished_at": _naive(candidate.finished_at),
        "stage": candidate.stage,
        "deployment_name": candidate.deployment_name,
        "adapter": training.customized_model if training and training.status == "completed" else None,
        "trouble": candidate.trouble.message if candidate.trouble else None,
        "waits_for": _waits_for(candidate),
    }


def _nim_status(candidate: Candidate) -> str:
    if candidate.stage in ("waiting", "deploy"):
        return "pending"
    if candidate.stage != "done":
        return "running-evals"
    if candidate.cancelled:
        return "cancelled"
    return "failed" if candidate.failed else "completed"


def _evaluation(
    evaluation: Evaluation, urls: ServiceUrls, at: datetime, page: str | None = None
) -> dict[str, Any]:
    job = evaluation.job_id
    return {
        "eval_type": evaluation.eval_type,
        "scores": {name: score.value for name, score in evaluation.scores.items()},
        **_work(evaluation, at),
        "nmp_uri": f"{urls.evaluator}/v1/evaluation/jobs/{job}" if job else None,
        "mlflow_uri": page,
        "score_details": {name: _score(score) for name, score in evaluation.scores.items()},
        "latency_ms": _latency(evaluation),
        "usage": evaluation.usage or None,
        "failures": evaluation.failures or None,
        "judge_agreement": evaluation.judge_agreement or None,
        "model": evaluation.model,
    }


def _latency(evaluation: Evaluation) -> dict[str, Any] | None:
    first = {"first_token": evaluation.first_token_ms} if evaluation.first_token_ms else {}
    return {**evaluation.latency_ms, **first} or None


def _customization(training: Customization, urls: ServiceUrls, at: datetime) -> dict[str, Any]:
    job = training.job_id
    return {
        **_work(training, at),
        "epochs_completed": training.epochs_completed,
        "steps_completed": training.steps_completed,
        "nmp_uri": f"{urls.customizer}/v1/customization/jobs/{job}" if job else None,
        "customized_model": training.customized_model,
        "steps_per_epoch": training.steps_per_epoch,
        "train_loss": training.train_loss,
        "val_loss": training.val_loss,
        "eta_seconds": training.eta_seconds,
    }


def _work(work: Work, at: datetime) -> dict[str, Any]:
    return {
        "started_at": _naive(work.started_at or work.finished_at),
        "finished_at": _naive(work.finished_at),
        "runtime_seconds": _seconds(work.started_at, work.finished_at, at),
        "progress": work.progress,
        "error": work.error,
        "status": work.status,
        "job_id": work.job_id,
    }


def _score(score: Score) -> dict[str, Any]:
    interval = None
    if score.low is not None and score.high is not None:
        interval = {"level": score.level, "low": score.low, "high": score.high, "method": score.method}
        if score.design_effect is not None:
            interval["design_effect"] = score.design_effect
    return {"value": score.value, "n": score.n, "confidence_interval": interval, "scorer": score.scorer}


def _datasets(datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    return [
        {
            "name": dataset.name,
            "num_records": dataset.num_records,
            "nmp_uri": dataset.uri,
            "kind": dataset.kind,
            "files": dataset.files,
            "sha256": dataset.sha256,
        }
        for dataset in datasets
    ]


def evaluation_entry(found: EvaluationEntry) -> dict[str, Any]:
    """One entry of the list of evaluations across runs; times in UTC with their zone."""
    return {
        "run_id": found.run_id,
        "client_id": found.client_id,
        "workload_id": found.workload_id,
        "model_name": found.model_name,
        "eval_type": found.eval_type,
        "model": found.model,
        "status": found.status,
        "started_at": zulu(found.started_at),
        "finished_at": zulu(found.finished_at),
        "dataset": found.dataset.model_dump() if found.dataset else None,
        "scores": {
            name: {"value": score.value, "n": score.n, "low": score.low, "high": score.high}
            for name, score in found.scores.items()
        },
        "latency_ms": found.latency_ms,
        "cost_per_1000": found.cost_per_1000,
    }


def zulu(moment: datetime | None) -> str | None:
    """`2025-04-22T20:31:14.976Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _naive(moment: datetime | None) -> str | None:
    """`2025-04-22T20:31:14.976079`: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") if moment else None


def moment(at: datetime) -> str:
    """`2025-04-22T20:31:14Z`, as what is not NVIDIA's tells a time."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _seconds(start: datetime | None, end: datetime | None, at: datetime) -> float:
    return round(((end or at) - start).total_seconds(), 3) if start else 0.0
