"""One evaluation of a candidate: a job at the evaluator, and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flywheel.config import TeacherConfig
from flywheel.nemo.evaluation import EvaluationJob, EvaluationResult
from flywheel.nemo.evaluation_jobs import ModelRef, generic_job, tool_calling_job
from flywheel.nemo.evaluation_scores import judge_agreement, run_scores
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.embedding import embedding_model
from flywheel.orchestrator.errors import RemoteJobFailed
from flywheel.orchestrator.judge import judge_model, judge_of
from flywheel.orchestrator.remote import WAITING, cancelled, labels, progressed
from flywheel.stores.runs.document import EVAL_FILE, Candidate, Evaluation, Run, Score


def evaluate(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> Evaluation:
    """Start the evaluation if it can start, look at its job if it runs.

    Raises RemoteJobFailed, RemoteJobStalled, and what the evaluator\'s client raises.
    """
    if not evaluation.open:
        return evaluation
    if evaluation.job_id is None:
        return _start(run, candidate, evaluation, context)
    return _looked(run, evaluation, evaluation.job_id, context)


def _looked(run: Run, evaluation: Evaluation, job_id: str, context: Context) -> Evaluation:
    job = context.services.evaluator.job(job_id)
    if job.status == "completed":
        return _scored(run, evaluation, context.services.evaluator.results(job_id), context)
    if job.status not in WAITING:
        raise RemoteJobFailed("evaluation", job.id, job.status, job.status_details.message)
    return progressed(evaluation, job.progress, f"evaluation job {job.id}", context)


def _start(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> Evaluation:
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
    return _asked(run, labels(run, candidate, evaluation.eval_type), evaluation, model, model, url, context)


def evaluate_teacher(run: Run, teacher: TeacherConfig, context: Context) -> Evaluation:
    """Start asking the teacher again on the holdout, or look how far it is.

    Raises as `evaluate` does, and ConfigError when its key is not in the environment.
    """
    evaluation = run.teacher or Evaluation(eval_type="teacher-eval")
    if not evaluation.open:
        return evaluation
    if evaluation.job_id is not None:
        return _looked(run, evaluation, evaluation.job_id, context)
    dataset = run.dataset("eval")
    if dataset is None:
        return evaluation.but(status="skipped")
    key = teacher.api_key(context.environment)
    endpoint = {"url": teacher.url, "model_id": teacher.model_name}
    target = {"api_endpoint": endpoint | ({"api_key": key.get_secret_value()} if key else {})}
    marks = {"flywheel_run": run.id, "eval_type": evaluation.eval_type}
    url = f"{dataset.uri}/{EVAL_FILE}"
    return _asked(run, marks, evaluation, teacher.model_name, target, url, context)


def _asked(
    run: Run,
    marks: Mapping[str, str],
    evaluation: Evaluation,
    model: str,
    target: ModelRef,
    url: str,
    context: Context,
) -> Evaluation:
    """The evaluation with its job: one that an earlier try has posted, found by its `marks`, or a new one."""
    found = context.services.evaluator.jobs_with(marks)
    job = found[-1] if found else None
    if job is None:
        settings = run.config.evaluation_config
        rules = settings.call_rules.model_dump(mode="json")
        build = (
            partial(tool_calling_job, rules=rules)
            if run.workload_type == "tool_calling"
            else partial(
                generic_job,
                rules=rules,
                companions=settings.scoring == "schema",
                embedding=embedding_model(run.config.icl_config, context.environment),
            )
        )
        body = build(
            model=target,
            files_url=url,
            judge=judge_model(judge_of(run), context.environment),
            parallelism=settings.parallelism,
            request_timeout=int(settings.request_timeout),
            max_tokens=settings.max_tokens,
            namespace=context.namespace,
            custom_fields=marks,
        )
        job = context.services.evaluator.create_job(body)
    now = context.clock()
    return evaluation.but(status="running", job_id=job.id, model=model, started_at=now, progressed_at=now)


def _posted(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> EvaluationJob | None:
    found = context.services.evaluator.jobs_with(labels(run, candidate, evaluation.eval_type))
    return found[-1] if found else None


def _scored(run: Run, evaluation: Evaluation, result: EvaluationResult, context: Context) -> Evaluation:
    scores = run_scores(result, run.config.evaluation_config.scoring)
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
            design_effect=interval.design_effect if interval else None,
            scorer=scorer if name in judged else None,
        )
    extra = result.custom_fields
    latency = extra.get("latency_ms")
    return evaluation.but(
        status="completed",
        progress=100.0,
        finished_at=context.clock(),
        scores=found,
        latency_ms=_numbers(latency),
        first_token_ms=_numbers(latency.get("first_token") if isinstance(latency, Mapping) else None),
        usage=_numbers(extra.get("usage")),
        failures={k: int(v) for k, v in _numbers(extra.get("failures")).items()},
        judge_agreement=_numbers(judge_agreement(result)),
    )


def _numbers(found: Any) -> dict[str, float]:
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(k): v for k, v in pairs if isinstance(v, int | float) and not isinstance(v, bool)}


def cancel_evaluation(run: Run, candidate: Candidate, evaluation: Evaluation, context: Context) -> Evaluation:
    """Cancel the job, posted or not; the evaluation is closed when its job is seen to be over."""
    evaluator = context.services.evaluator
    job = (
        evaluator.job(evaluation.job_id)
        if evaluation.job_id
        else _posted(run, candidate, evaluation, context)
    )
    if job is None or job.finished:
        return cancelled(evaluation, context)
    if job.status != "cancelling":
        evaluator.cancel_job(job.id)
    return evaluation.but(status="running", job_id=job.id)
