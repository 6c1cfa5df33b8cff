"""One turn of the wheel: load → process → apply, as far as it goes without waiting.

`advance` is all that a waker ever calls: the embedded loop here, Celery elsewhere. It holds the run's lease
while a step works, never sleeps for a remote job, and writes only if the run is still as it was loaded. A
worker that dies loses the step in flight; the next `advance` looks for what was started and goes on.
Cancellation is looked at here and nowhere else; which failure passes and which ends a run is decided here.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flywheel.errors import FlywheelError
from flywheel.log import get_logger, log_context
from flywheel.orchestrator.context import DONE, NOW, Context, Next, Outcome, after
from flywheel.orchestrator.steps import candidates, curate, decide, erase, release
from flywheel.orchestrator.trouble import UNFORESEEN_TRIES, passing, troubled
from flywheel.stores.runs.document import Run, Step
from flywheel.stores.runs.errors import RunNotFound, RunNotStorable, StaleRun
from flywheel.telemetry import metrics, tracing

log = get_logger(__name__)

STEPS: dict[Step, Callable[[Run, Context], Outcome]] = {
    "curate": curate,
    "candidates": candidates,
    "decide": decide,
    "release": release,
    "erase": erase,
}
CANCELLED = "Job cancelled by user"


def advance(run_id: str, context: Context) -> Next:
    """Take the run as far as it goes now; say when to look again: now, after some seconds, or never."""
    owner = secrets.token_hex(8)
    try:
        wait = context.runs.lease(run_id, owner, context.limits.lease_s)
        if wait:
            return after(wait)
        with _held(run_id, owner, context) as held:
            held.following = NOW
            while held.following == NOW:  # Under one lease, which costs two writes.
                run = context.runs.load(run_id)
                about = {"flywheel.run_id": run_id, "flywheel.workload": str(run.workload)}
                with (
                    log_context(run_id=run_id, workload=str(run.workload)),
                    tracing.span(f"run {run.step}", about, parent=run.trace),
                ):
                    held.following = _step(run, owner, context)
            return held.following
    except StaleRun:
        return NOW
    except RunNotFound:
        return DONE


def _step(run: Run, owner: str, context: Context) -> Next:
    if run.step == "finished":
        return DONE
    with metrics.measured(metrics.STEP_SECONDS.labels(run.step)):
        change, following = _process(run, context)
    if change is None:
        context.runs.delete(run.id)
        log.info("run deleted")
        return DONE
    if change != run:
        change = change.but(updated_at=context.clock())
        try:
            stored = context.runs.apply(run, change, owner=owner)
        except RunNotStorable as error:
            if run.outcome:
                raise
            change, following = _ending(run, "failed", str(error), context), NOW
            stored = context.runs.apply(run, change, owner=owner)
        _log(run, stored)
        _count(run, change)
    return DONE if change.step == "finished" else following


def _process(run: Run, context: Context) -> Outcome:
    """The step's outcome; a failure of the whole run becomes one too: try again, or release and fail."""
    if run.cancel_requested and run.outcome != "cancelled" and run.step != "erase":
        return _ending(run, "cancelled", CANCELLED, context), NOW
    try:
        change, following = STEPS[run.step](run, context)
    except FlywheelError as error:
        return _failed(run, error, context)
    except Exception as error:  # One run's bug must not stop the others.
        log.exception("step broke", extra={"step": run.step})
        metrics.STEP_FAILURES.labels(run.step, "unforeseen").inc()
        trouble = troubled(run.trouble, error, context.clock())
        if trouble.count < UNFORESEEN_TRIES:
            return run.but(trouble=trouble), after(context.limits.retry_delay(trouble.count))
        return _give_up(run, f"unforeseen {type(error).__name__} in step {run.step}: {error}", context)
    if change is not None and change.trouble is not None and change.trouble == run.trouble:
        change = change.but(trouble=None)
    return change, following


def _failed(run: Run, error: FlywheelError, context: Context) -> Outcome:
    metrics.STEP_FAILURES.labels(run.step, error.code).inc()
    if passing(error):
        trouble = troubled(run.trouble, error, context.clock())
        if trouble.age(context.clock()) < context.limits.retry_for_s:
            if trouble.count == 1:
                log.warning("step will be tried again", extra={"step": run.step, "error": str(error)})
                run = run.noting(context.clock(), f"{run.step}: {error}; trying again", level="warning")
            return run.but(trouble=trouble), after(context.limits.retry_delay(trouble.count))
    return _give_up(run, str(error), context)


def _give_up(run: Run, message: str, context: Context) -> Outcome:
    if run.step == "release":
        # What could not be released is said and left; holding the run open would not free it.
        now = context.clock()
        noted = run.noting(now, f"release: {message}", level="error")
        outcome = run.outcome or "failed"
        return noted.but(step="finished", status=outcome, finished_at=now, error=run.error or message), DONE
    if run.step == "erase":
        log.warning("run deleted, but not all that it left", extra={"error": message})
        return None, DONE
    return _ending(run, "failed", message, context), NOW


def _ending(run: Run, outcome: str, message: str, context: Context) -> Run:
    noted = run.noting(context.clock(), message, level="error" if outcome == "failed" else "warning")
    return noted.but(step="release", outcome=outcome, error=message, trouble=None)


@dataclass
class _Held:
    """What to tell the store when the lease is given back."""

    following: Next = DONE


@contextmanager
def _held(run_id: str, owner: str, context: Context) -> Iterator[_Held]:
    """Renews the lease while the body works, and gives it back however the body ends."""
    held = _Held()
    over = threading.Event()

    def renew() -> None:
        while not over.wait(context.limits.lease_s / 3):
            try:
                if not context.runs.renew(run_id, owner, context.limits.lease_s):
                    return
            except FlywheelError as error:  # The store may be back at the next beat, before the lease ends.
                log.warning("the lease was not renewed", extra={"run_id": run_id, "error": str(error)})

    heart = threading.Thread(target=renew, name=f"lease-{run_id[-8:]}", daemon=True)
    heart.start()
    try:
        yield held
    finally:
        over.set()
        heart.join()
        context.runs.release(run_id, owner, held.following.seconds or None)


def _log(before: Run, stored: Run) -> None:
    """Each change of state once, in the past tense."""
    for event in stored.events[len(before.events) :] if len(stored.events) > len(before.events) else ():
        fields = {"candidate": event.candidate} if event.candidate else {}
        log.log(_LEVELS[event.level], event.message, extra=fields)


def _count(before: Run, stored: Run) -> None:
    """A run counts when it ends, where it ends."""
    if stored.finished and not before.finished:
        metrics.RUNS_FINISHED.labels(stored.status).inc()
        if stored.started_at and stored.finished_at:
            seconds = (stored.finished_at - stored.started_at).total_seconds()
            metrics.RUN_SECONDS.labels(stored.status).observe(seconds)


_LEVELS = {"info": 20, "warning": 30, "error": 40}
