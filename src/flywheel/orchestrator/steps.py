"""The steps of a run, one function each: a run goes in, the run as it should be then comes out.

A step may be slow and holds nothing; it may be cut off anywhere and made again. What is decided about order,
leases, cancellation and failures of the whole run is in `workflow`, the life of one candidate in `candidate`.
"""

from __future__ import annotations

from datetime import datetime

from flywheel.config import TeacherConfig
from flywheel.errors import ConfigError
from flywheel.orchestrator.auxiliary import brought_up, planned, released
from flywheel.orchestrator.candidate import cancel, proceed
from flywheel.orchestrator.candidate import release as take_down
from flywheel.orchestrator.context import DONE, NOW, Context, Outcome, after
from flywheel.orchestrator.customizing import output_name
from flywheel.orchestrator.datasets import build
from flywheel.orchestrator.decision import decide as best_of
from flywheel.orchestrator.decision import foreseen
from flywheel.orchestrator.errors import NothingUseful, RemoteJobFailed, RemoteJobStalled
from flywheel.orchestrator.evaluating import evaluate_teacher
from flywheel.orchestrator.exporting import tracked
from flywheel.orchestrator.judge import TEXT_MATCHER, judge_of, probed
from flywheel.stores.runs.document import Candidate, Evaluation, Judge, Level, Role, Run, Work


def curate(run: Run, context: Context) -> Outcome:
    """Wait for a free slot, then make and upload the data sets."""
    if run.status == "pending":
        if context.runs.ahead(run.id) >= context.slots:
            return run, after(context.limits.queue_s)
        started = run.but(status="running", started_at=context.clock())
        return started.noting(context.clock(), "run started"), NOW
    return _with_data(run, context) if not run.datasets else _with_judge(run, context)


def _with_data(run: Run, context: Context) -> Outcome:
    """The data sets, once the embedding model answers that they are made with."""
    embedding = run.config.icl_config.embedding
    if (wanted := planned(run, "embedding", embedding)) != run:
        return wanted, NOW  # Written down before it is asked for.
    if (auxiliary := run.auxiliary("embedding")) and not auxiliary.ready:
        return _waited(brought_up(run, "embedding", embedding, context), "embedding", context)
    judge = run.config.llm_judge_config
    if judge is None or not judge.deployed:  # Before any work, so that a mistake in it costs none.
        run = run.but(judge=probed(judge, context))
    run = build(run, context)
    text = ", ".join(f"{d.num_records} {d.kind}" for d in run.datasets)
    run = run.noting(context.clock(), f"data sets uploaded: {text}")
    if expected := foreseen(run):
        run = run.noting(context.clock(), expected)
    return run, NOW


def _with_judge(run: Run, context: Context) -> Outcome:
    """The judge, where this kind of workload has one, and whether it answers."""
    judge = judge_of(run)
    if judge is None:
        return run.but(judge=Judge(model_name=TEXT_MATCHER, type="local"), step="candidates"), NOW
    if (wanted := planned(run, "judge", judge)) != run:
        status = Judge(model_name=judge.model_name or "", type="local", deployment_status="pending")
        return wanted.but(judge=status), NOW
    if auxiliary := run.auxiliary("judge"):
        if not auxiliary.ready:
            return _waited(brought_up(run, "judge", judge, context), "judge", context)
        run = run.but(judge=probed(judge, context))
    return run.but(step="candidates"), NOW


def _waited(run: Run, role: Role, context: Context) -> Outcome:
    """When to look again at a model that is coming up."""
    auxiliary = run.auxiliary(role)
    if auxiliary is None or auxiliary.ready:
        return run, NOW
    since = auxiliary.deployed_at or context.clock()
    return run, after(context.limits.poll((context.clock() - since).total_seconds()))


def candidates(run: Run, context: Context) -> Outcome:
    """One pass over the candidates that have a slot, in the order of the configuration."""
    free = max(0, context.slots - context.runs.ahead(run.id))
    before = {c.model_name: c for c in run.candidates}
    moved: list[Candidate] = []
    for candidate in run.candidates:
        if candidate.stage != "done" and free > 0:
            free -= 1
            candidate = _pass(run, candidate, context)
        moved.append(candidate)
    change = run.but(candidates=tuple(moved))
    for candidate in moved:
        for message, level in _news(before[candidate.model_name], candidate):
            change = change.noting(context.clock(), message, level=level, candidate=candidate.model_name)
    if all(c.stage == "done" for c in moved):
        return change.but(step="decide"), NOW
    if any(c.stage != before[c.model_name].stage for c in moved):
        return change, NOW
    return change, after(_pause(change, context))


def decide(run: Run, context: Context) -> Outcome:
    """Ask the teacher again where one is configured, then compare and choose.

    A run whose candidates all failed has nothing to choose from; a teacher that cannot be asked is noted.
    """
    if all(c.failed for c in run.candidates):
        raise NothingUseful([f"{c.model_name}: {c.error or 'no cause was given'}" for c in run.candidates])
    if context.settings.teacher_config is not None:
        run = _with_teacher(run, context.settings.teacher_config, context)
        if run.teacher is not None and run.teacher.open:
            return run, after(context.limits.poll_s)
    decision = best_of(run, context)
    said = f"{decision.reason}. {decision.verdict}" if decision.verdict else decision.reason
    return run.noting(context.clock(), said).but(decision=decision, step="release", outcome="completed"), NOW


def _with_teacher(run: Run, teacher: TeacherConfig, context: Context) -> Run:
    try:
        return run.but(teacher=evaluate_teacher(run, teacher, context))
    except (RemoteJobFailed, RemoteJobStalled, ConfigError) as error:
        now = context.clock()
        failed = (run.teacher or Evaluation(eval_type="teacher-eval")).but(
            status="failed", error=str(error), finished_at=now
        )
        return run.but(teacher=failed).noting(
            now, f"the teacher was not asked again: {error}", level="warning"
        )


def release(run: Run, context: Context) -> Outcome:
    """End what still runs elsewhere; the run is over when nothing of it does. Then it is told to the
    tracker."""
    ended: list[Candidate] = []
    for candidate in run.candidates:
        if any(work.open for work in candidate.works):
            candidate = cancel(run, candidate, context)
        if candidate.stage != "done" and not any(work.open for work in candidate.works):
            candidate = _interrupted(run, candidate)
            begun = candidate.stage != "waiting"
            candidate = take_down(candidate, context) if begun else candidate.but(stage="done")
        ended.append(candidate)
    if run.teacher is not None and run.teacher.open and run.teacher.job_id:
        context.services.evaluator.cancel_job(run.teacher.job_id)
        run = run.but(teacher=run.teacher.but(status="cancelled", finished_at=context.clock()))
    change = released(run, context).but(candidates=tuple(ended))
    if any(c.stage != "done" for c in ended) or not all(each.released for each in change.auxiliaries):
        return change, after(context.limits.poll_s)
    now = context.clock()
    outcome = run.outcome or "failed"
    ended_run = change.but(step="finished", status=outcome, finished_at=now)
    return tracked(ended_run.noting(now, f"run {outcome}", level=_LEVELS[outcome]), context), DONE


def erase(run: Run, context: Context) -> Outcome:
    """Delete what the run left at the services: data sets, adapters, evaluation jobs; then the run."""
    services, namespace = context.services, context.namespace
    for dataset in run.datasets:
        services.hub.delete(f"{namespace}/{dataset.name}", repo_type="dataset")
        services.entities.delete_dataset(namespace, dataset.name)
    if run.teacher is not None and run.teacher.job_id:
        services.evaluator.delete_job(run.teacher.job_id)
    for candidate in run.candidates:
        for evaluation in candidate.evaluations:
            if evaluation.job_id:
                services.evaluator.delete_job(evaluation.job_id)
        adapter = candidate.customization and candidate.customization.customized_model
        if adapter and adapter.startswith(f"{namespace}/{output_name(candidate.model_name)}@"):
            repository, _, revision = adapter.partition("@")
            services.entities.delete_model(namespace, adapter.partition("/")[2])
            services.hub.delete(repository, repo_type="model", revision=revision)
    return None, DONE


_LEVELS: dict[str, Level] = {"completed": "info", "cancelled": "warning", "failed": "error"}


def _interrupted(run: Run, candidate: Candidate) -> Candidate:
    """A candidate that the end of its run met before its own."""
    if run.outcome == "cancelled":
        return candidate.but(cancelled=True)
    return candidate.but(failed=True, error=candidate.error or run.error)


def _pass(run: Run, candidate: Candidate, context: Context) -> Candidate:
    """One pass; a trouble that did not come again is over."""
    moved = proceed(run, candidate, context)
    return moved.but(trouble=None) if moved.trouble == candidate.trouble else moved


def _pause(run: Run, context: Context) -> float:
    """Until the next look: a tenth of the age of what was started last, within the limits."""
    now = context.clock()
    begun: list[datetime] = []
    for candidate in run.candidates:
        if candidate.stage == "deploy" and candidate.deployed_at:
            begun.append(candidate.deployed_at)
        if candidate.stage == "work":
            begun += [w.started_at for w in candidate.works if w.status == "running" and w.started_at]
    troubles = [c.trouble.count for c in run.candidates if c.trouble]
    if troubles:
        return context.limits.retry_delay(max(troubles))
    return context.limits.poll(min(((now - moment).total_seconds() for moment in begun), default=0.0))


def _news(before: Candidate, now: Candidate) -> list[tuple[str, Level]]:
    """What the log should say about the difference."""
    news: list[tuple[str, Level]] = []
    if now.trouble and not before.trouble:
        news.append((f"{now.trouble.message}; trying again", "warning"))
    if now.stage != before.stage:
        match now.stage:
            case "deploy":
                news.append(("deployment started", "info"))
            case "work":
                news.append(("deployment ready", "info"))
            case "done":
                news.append(("candidate failed", "error") if now.failed else ("candidate done", "info"))
    for old, new in zip(before.works, now.works, strict=True):
        news += _work_news(new.kind, old, new)
    if now.failed and not before.failed and now.error:
        news.append((now.error, "error"))
    return news


def _work_news(name: str, before: Work, now: Work) -> list[tuple[str, Level]]:
    if before.status == now.status:
        return []
    match now.status:
        case "running":
            return [(f"{name} started as {now.job_id}", "info")]
        case "completed":
            return [(f"{name} completed", "info")]
        case "failed" | "cancelled":
            return [(f"{name} {now.status}: {now.error}", "error")]
    return []
