"""What lists show of a run and of its evaluations: small values beside the document, so that a page of a
list does not read whole documents, which hold tables, curation reports and loss curves.

A store writes both with every revision of a run; nothing here is known that the document does not say.
"""

from __future__ import annotations

from pydantic import AwareDatetime

from flywheel.stores.runs.document import (
    OPEN,
    Candidate,
    Dataset,
    EvalType,
    Evaluation,
    Run,
    RunStatus,
    RunTrigger,
    Score,
    Step,
    Value,
    Work,
    WorkStatus,
)

VERSION = 1
"""Of these values; a store that finds older ones makes them anew."""
TEACHER = "teacher"
"""Stands for the model's name where the teacher was asked again."""

_SHARES = {"deploy": 5.0, "base-eval": 15.0, "icl-eval": 15.0, "customization": 50.0, "customized-eval": 15.0}
"""What each work of a candidate counts in the percentage of a run."""


class BriefDecision(Value):
    """The best of a run's evaluations, with the interval of its score."""

    model_name: str | None
    eval_type: EvalType | None = None
    customized_model: str | None = None
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    verdict: str | None = None


class Brief(Value):
    """A run as lists show it."""

    id: str
    revision: int
    workload_id: str
    client_id: str
    status: RunStatus
    step: Step
    created_at: AwareDatetime
    updated_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    cancel_requested: bool
    error: str | None
    percent: float
    datasets: tuple[Dataset, ...]
    decision: BriefDecision | None
    trigger: RunTrigger | None = None


class EvaluatedSet(Value):
    """The data set that was asked."""

    name: str
    sha256: str


class EvaluationEntry(Value):
    """One evaluation that has begun, as it is compared across runs."""

    run_id: str
    client_id: str
    workload_id: str
    model_name: str
    """The candidate's name, or `teacher`."""
    eval_type: EvalType
    model: str | None
    """The model that was asked."""
    status: WorkStatus
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    dataset: EvaluatedSet | None
    scores: dict[str, Score]
    latency_ms: dict[str, float]
    cost_per_1000: float | None
    """Money for a thousand requests, by the price table."""


def brief_of(run: Run) -> Brief:
    return Brief(
        id=run.id,
        revision=run.revision,
        workload_id=run.workload_id,
        client_id=run.client_id,
        status=run.status,
        step=run.step,
        created_at=run.created_at,
        updated_at=run.updated_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        cancel_requested=run.cancel_requested,
        error=run.error,
        percent=percent(run),
        datasets=run.datasets,
        decision=_decision(run),
        trigger=run.trigger,
    )


def entries_of(run: Run) -> tuple[EvaluationEntry, ...]:
    """The evaluations that have begun, the teacher's own among them."""
    found = [(c.model_name, e) for c in run.candidates for e in c.evaluations]
    if run.teacher is not None:
        found.append((TEACHER, run.teacher))
    return tuple(_entry(run, name, e) for name, e in found if e.status not in ("waiting", "skipped"))


def percent(run: Run) -> float:
    """How far the run is, 0 to 100."""
    if run.finished:
        return 100.0
    parts = [candidate_percent(candidate) for candidate in run.candidates]
    share = sum(parts) / len(parts) if parts else 0.0
    return round(2.0 * (run.step != "curate") + 0.97 * share, 1)


def candidate_percent(candidate: Candidate) -> float:
    """How far one candidate is, 0 to 100."""
    if candidate.stage in ("release", "done"):
        return 100.0
    parts: dict[str, float] = {"deploy": 100.0 if candidate.deployment_ready else 0.0}
    works: list[tuple[str, Work]] = [(e.eval_type, e) for e in candidate.evaluations]
    if candidate.customization:
        works.append(("customization", candidate.customization))
    parts |= {name: work.progress if work.status in OPEN else 100.0 for name, work in works}
    whole = sum(_SHARES[name] for name in parts)
    return round(sum(_SHARES[name] * done for name, done in parts.items()) / whole, 1)


def _decision(run: Run) -> BriefDecision | None:
    decision = run.decision
    if decision is None:
        return None
    score = _chosen_score(run)
    return BriefDecision(
        model_name=decision.model_name,
        eval_type=decision.eval_type,
        customized_model=decision.customized_model,
        metric=decision.metric,
        value=decision.value,
        low=score.low if score else None,
        high=score.high if score else None,
        n=score.n if score else None,
        verdict=decision.verdict,
    )


def _chosen_score(run: Run) -> Score | None:
    decision = run.decision
    if decision is None or decision.eval_type is None:
        return None
    for candidate in run.candidates:
        if candidate.model_name == decision.model_name:
            evaluation = candidate.evaluation(decision.eval_type)
            return evaluation.scores.get(decision.metric) if evaluation else None
    return None


def _entry(run: Run, model_name: str, evaluation: Evaluation) -> EvaluationEntry:
    asked = run.dataset("icl" if evaluation.eval_type == "icl-eval" else "eval")
    costs = (run.decision.cost if run.decision else None) or {}
    named = (costs.get("systems") or {}).get(f"{model_name} {evaluation.eval_type}")
    return EvaluationEntry(
        run_id=run.id,
        client_id=run.client_id,
        workload_id=run.workload_id,
        model_name=model_name,
        eval_type=evaluation.eval_type,
        model=evaluation.model,
        status=evaluation.status,
        started_at=evaluation.started_at,
        finished_at=evaluation.finished_at,
        dataset=EvaluatedSet(name=asked.name, sha256=asked.sha256) if asked else None,
        scores=evaluation.scores,
        latency_ms=evaluation.latency_ms,
        cost_per_1000=costs.get("teacher") if model_name == TEACHER else named,
    )
