"""One candidate of a run: deploy → (base-eval, icl-eval, customize → customized-eval) → release → done.

`proceed` makes one pass: it starts what can start, looks once at what is running, and returns the candidate
as it is then. What is started carries the run and the candidate in its name or custom fields, and is looked
for before it is started, so a pass that was cut off anywhere can be made again. The stage is written down
before anything of the next one is started. A failure is the work's own; the candidate's other works go on.
"""

from __future__ import annotations

from collections.abc import Callable

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.customizing import cancel_customization, customize
from flywheel.orchestrator.deploying import deployed, taken_down
from flywheel.orchestrator.errors import RemoteJobFailed
from flywheel.orchestrator.evaluating import cancel_evaluation, evaluate
from flywheel.orchestrator.remote import cancelled, check_stalled
from flywheel.orchestrator.trouble import UNFORESEEN_TRIES, passing, troubled
from flywheel.stores.runs.document import AnyWork, Candidate, Evaluation, Run
from flywheel.telemetry import metrics, tracing

log = get_logger(__name__)


def proceed(run: Run, candidate: Candidate, context: Context) -> Candidate:
    """One pass; what fails is written into the candidate, nothing is raised."""
    about = {"flywheel.run_id": run.id, "flywheel.candidate": candidate.model_name}
    with tracing.span(f"candidate {candidate.stage}", about) as span:
        moved = _proceed(run, candidate, context)
        if trouble := moved.error or (moved.trouble and moved.trouble.message):
            span.fail(trouble)
        return moved


def _proceed(run: Run, candidate: Candidate, context: Context) -> Candidate:
    match candidate.stage:
        case "waiting":
            return candidate.but(stage="deploy", started_at=context.clock())
        case "deploy":
            return _guarded(candidate, context, lambda c: _deploy(run, c, context), _undeployable)
        case "work":
            candidate = _over_works(run, candidate, context, _go_on)
            return candidate if any(work.open for work in candidate.works) else _conclude(candidate)
        case "release":
            return release(candidate, context)
        case "done":
            return candidate


def release(candidate: Candidate, context: Context) -> Candidate:
    """Take the deployment down; the candidate is done when it is gone."""

    def down(c: Candidate) -> Candidate:
        if not taken_down(c.deployment_name, context):
            return c.but(deployment_status="deleting")
        return c.but(
            released=True, deployment_status=None, stage="done", finished_at=context.clock(), trouble=None
        )

    def stuck(c: Candidate, error: Exception) -> Candidate:
        text = f"the deployment {c.deployment_name} could not be taken down: {error}"
        return c.but(stage="done", finished_at=context.clock(), error=c.error or text, trouble=None)

    return _guarded(candidate, context, down, stuck)


def cancel(run: Run, candidate: Candidate, context: Context) -> Candidate:
    """Cancel what the candidate runs elsewhere; a work is closed when its job is seen to be over."""
    if candidate.stage == "work":
        return _over_works(run, candidate, context, _cancel)
    for work in candidate.works:
        candidate = candidate.with_work(cancelled(work, context)) if work.open else candidate
    return candidate


def _deploy(run: Run, candidate: Candidate, context: Context) -> Candidate:
    nim, name = candidate.nim, candidate.deployment_name
    found, answers = deployed(name, nim.model_name, nim, run, context)
    waits = found.status == "pending"
    if candidate.deployed_at is None or (candidate.waits_for and not waits):
        candidate = candidate.but(deployed_at=context.clock())
    description = found.status_details.description if waits else None
    candidate = candidate.but(deployment_status=found.status, waits_for=description)
    if answers:
        return candidate.but(stage="work", deployment_ready=True)
    check_stalled(f"deployment {name}", candidate.deployed_at, context, waits=waits)
    return candidate


def _undeployable(candidate: Candidate, error: Exception) -> Candidate:
    """Nothing was measured, so nothing else of this candidate can be."""
    for work in candidate.works:
        candidate = candidate.with_work(work.but(status="skipped"))
    return candidate.but(stage="release", failed=True, error=str(error), trouble=None)


def _conclude(candidate: Candidate) -> Candidate:
    """Whether the candidate came to what was wanted of it: its last evaluation."""
    final = candidate.evaluation("customized-eval") or candidate.evaluations[0]
    problems = [f"{work.kind}: {work.error}" for work in candidate.works if work.error]
    failed = final.status != "completed"
    return candidate.but(stage="release", failed=failed, error="; ".join(problems) or None, trouble=None)


Act = Callable[[Run, Candidate, AnyWork, Context], AnyWork]


def _go_on(run: Run, candidate: Candidate, work: AnyWork, context: Context) -> AnyWork:
    if isinstance(work, Evaluation):
        return evaluate(run, candidate, work, context)
    return customize(run, candidate, work, context)


def _cancel(run: Run, candidate: Candidate, work: AnyWork, context: Context) -> AnyWork:
    if isinstance(work, Evaluation):
        return cancel_evaluation(run, candidate, work, context)
    return cancel_customization(run, candidate, work, context)


def _over_works(run: Run, candidate: Candidate, context: Context, act: Act) -> Candidate:
    """`act` on each open work; one that fails is closed with its cause, and the next one has its turn."""
    for work in candidate.works:
        if work.open:
            candidate = _guarded(
                candidate,
                context,
                lambda c, work=work: c.with_work(act(run, c, work, context)),  # type: ignore[misc]
                lambda c, error, work=work: c.with_work(_failed(work, error, context)),  # type: ignore[misc]
            )
    return candidate


def _failed(work: AnyWork, error: Exception, context: Context) -> AnyWork:
    status = "cancelled" if isinstance(error, RemoteJobFailed) and error.cancelled else "failed"
    return work.but(status=status, error=str(error), finished_at=context.clock())


def _guarded(
    candidate: Candidate,
    context: Context,
    act: Callable[[Candidate], Candidate],
    fail: Callable[[Candidate, Exception], Candidate],
) -> Candidate:
    """`act`; what may pass is noted and left for the next pass, until it has lasted too long."""
    try:
        return act(candidate)
    except FlywheelError as error:
        metrics.STEP_FAILURES.labels("candidates", error.code).inc()
        trouble = troubled(candidate.trouble, error, context.clock())
        if passing(error) and trouble.age(context.clock()) < context.limits.retry_for_s:
            return candidate.but(trouble=trouble)
        return fail(candidate, error)
    except Exception as error:  # One candidate's bug must not stop the others.
        log.exception("candidate broke", extra={"candidate": candidate.model_name})
        metrics.STEP_FAILURES.labels("candidates", "unforeseen").inc()
        trouble = troubled(candidate.trouble, error, context.clock())
        return candidate.but(trouble=trouble) if trouble.count < UNFORESEEN_TRIES else fail(candidate, error)
