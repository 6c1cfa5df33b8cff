"""One look at all schedules, which starts the runs that are due: for the embedded loop and for every beat.

Any number of processes may look at the same time. Who starts a run claims it first, by compare-and-set on the
schedule's revision; one of many gets it. The claim holds the body of the request and its idempotency key, so
that whoever finds a claim that was left behind may finish it: a run that was started already is found by its
key. The key tells after which run of the workload the new one comes, so of several schedules of one workload
that are due at the same moment one starts its run, and the others find that one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.scheduling.decision import (
    CLAIM,
    Facts,
    Verdict,
    counted_from,
    decide,
    overlap,
)
from flywheel.orchestrator.scheduling.errors import RunOpen
from flywheel.orchestrator.scheduling.facts import Gatherer, body_of
from flywheel.orchestrator.trouble import passing
from flywheel.stores.runs.document import Run, RunTrigger
from flywheel.stores.runs.errors import IdempotencyKeyReused
from flywheel.stores.schedules import Decided, Schedule, ScheduleNotFound, ScheduleQuery, StaleSchedule
from flywheel.stores.schedules.document import Claim

log = get_logger(__name__)

MANUAL: Final = "manual"
_ENABLED: Final = ScheduleQuery(enabled=True)
_SHORTEST_S: Final = 1.0
_TRIES: Final = 20


class Scheduler:
    """Looks at the schedules of `context`; `wake` is called with the id of each run that it starts."""

    def __init__(self, context: Context, wake: Callable[[str], object]) -> None:
        self._context = context
        self._jobs = Jobs(context, wake)
        self._gather = Gatherer(context)

    def tick(self) -> float:
        """Start what is due; the seconds until the next look. One schedule's trouble is not the others'."""
        pause = self._context.settings.schedules.interval
        try:
            schedules = self._context.schedules.list(_ENABLED).schedules
        except Exception:  # The next look may find the store well again.
            log.exception("schedules could not be listed")
            return pause
        for schedule in schedules:
            try:
                verdict = self._look(schedule)
            except (StaleSchedule, ScheduleNotFound, RunOpen):
                continue  # Somebody else has it.
            except FlywheelError as error:
                extra = {"schedule_id": schedule.id, "error": str(error)}
                log.warning("schedule could not be looked at", extra=extra)
            except Exception:  # One schedule's bug must not stop the others.
                log.exception("schedule could not be looked at", extra={"schedule_id": schedule.id})
            else:
                if verdict and verdict.next_at:
                    left = (verdict.next_at - self._context.clock()).total_seconds()
                    pause = min(pause, max(_SHORTEST_S, left))
        return pause

    def verdict(self, schedule: Schedule, *, thorough: bool = False) -> Verdict:
        """What the schedule comes to now.

        The newest records are looked at where that may change something, or where it is to be `thorough`.
        Raises what the stores raise.
        """
        now = self._context.clock()
        facts = self._gather.facts(schedule, now)
        verdict = decide(schedule, facts, now)
        if verdict.unsure and (thorough or not (verdict.holds or verdict.fired)):
            verdict = decide(schedule, self._gather.look(schedule, facts, anew=thorough), now)
        return verdict

    def start_now(self, schedule: Schedule) -> Run:
        """Start its run, whatever triggers, debounce and budget say.

        Raises RunOpen, StaleSchedule where somebody else was faster, and as Jobs.start.
        """
        now = self._context.clock()
        facts = self._gather.facts(schedule, now)
        for hold in overlap(schedule, facts, now):
            raise RunOpen(hold.says)
        return self._start(self._claim(schedule, facts, MANUAL, "a person asked for it", now))

    def _look(self, schedule: Schedule) -> Verdict | None:
        now = self._context.clock()
        if schedule.claim is not None:
            if abs(now - schedule.claim.at) >= CLAIM:  # Else somebody is at it.
                log.warning("finishing a start that was left behind", extra={"schedule_id": schedule.id})
                self._start(schedule)
            return None
        verdict = self.verdict(schedule)
        schedule = self._account(schedule, verdict)
        fired = verdict.fired
        if fired is None:
            return verdict
        if verdict.holds:
            held = verdict.holds[0]
            says = f"{fired.says}; held: {held.says}"
            decided = Decided(at=now, decision="held", says=says, trigger=fired.trigger, what=held.what)
            self._note(schedule, decided)
            return verdict
        self._start(self._claim(schedule, verdict.facts, fired.trigger, fired.says, now))
        return verdict

    def _account(self, schedule: Schedule, verdict: Verdict) -> Schedule:
        """Give up the times that were missed, and those that only a wrong clock has passed."""
        store = self._context.schedules
        since = counted_from(schedule, verdict.at)
        says = verdict.missed
        if since != schedule.since:
            says = f"the clock went back from {schedule.since:%Y-%m-%d %H:%M}; times count from now on"
        if says is None:
            return schedule
        decided = Decided(at=verdict.at, decision="missed", says=says)
        stored = store.apply(schedule, schedule.but(since=verdict.at, last_decision=decided))
        store.note(schedule.id, decided)
        log.warning("schedule missed a time", extra={"schedule_id": schedule.id, "says": says})
        return stored

    def _note(self, schedule: Schedule, decided: Decided) -> None:
        """Once for each state, not at every look."""
        if not decided.repeats(schedule.last_decision):
            self._context.schedules.apply(schedule, schedule.but(last_decision=decided))
            self._context.schedules.note(schedule.id, decided)

    def _claim(self, schedule: Schedule, facts: Facts, trigger: str, says: str, now: datetime) -> Schedule:
        """The schedule with a claim. Raises StaleSchedule where somebody else was faster."""
        claim = Claim(key=_key(schedule, facts), at=now, trigger=trigger, says=says, body=body_of(schedule))
        return self._context.schedules.apply(schedule, schedule.but(claim=claim))

    def _start(self, schedule: Schedule) -> Run:
        """Do what the claim says. Raises RunOpen where another schedule of the workload was faster, and as
        Jobs.start, with that in the history."""
        claim = schedule.claim
        assert claim is not None  # noqa: S101 - who calls has just seen it
        trigger = RunTrigger(
            schedule_id=schedule.id, schedule=schedule.name, reason=f"{claim.trigger}: {claim.says}"
        )
        try:
            run = self._jobs.start(claim.body, claim.key, trigger=trigger)
        except IdempotencyKeyReused:
            raise self._late(schedule, claim) from None
        except FlywheelError as error:
            if not passing(error) or claim.trigger == MANUAL:  # Else the claim stays, for the next look.
                self._failed(schedule, claim, error)
            raise
        if run.trigger is None or run.trigger.schedule_id != schedule.id:
            raise self._late(schedule, claim)
        now = self._context.clock()
        decided = Decided(at=now, decision="started", says=claim.says, run_id=run.id, trigger=claim.trigger)
        self._settle(schedule, decided, last_run=run.id, failed_at=None)
        extra = {"schedule_id": schedule.id, "run_id": run.id, "trigger": claim.trigger}
        log.info("schedule started a run", extra=extra)
        return run

    def _late(self, schedule: Schedule, claim: Claim) -> RunOpen:
        """Give the claim back: another schedule of the workload has started the run that comes next."""
        late = "another schedule of the workload has just started a run"
        now, says = self._context.clock(), f"{claim.says}; held: {late}"
        decided = Decided(at=now, decision="held", says=says, trigger=claim.trigger, what="overlap")
        self._settle(schedule, decided)
        return RunOpen(late)

    def _failed(self, schedule: Schedule, claim: Claim, error: FlywheelError) -> None:
        now = self._context.clock()
        decided = Decided(at=now, decision="failed", says=str(error), trigger=claim.trigger)
        self._settle(schedule, decided, failed_at=now)

    def _settle(self, claimed: Schedule, decided: Decided, **changes: Any) -> None:
        """The claim is done with; somebody may have changed other fields meanwhile, or done this already."""
        store, schedule, claim = self._context.schedules, claimed, claimed.claim
        assert claim is not None  # noqa: S101 - as in _start
        for _ in range(_TRIES):
            # What was due is served by the run, whichever trigger asked for it; what is held stays due.
            since = schedule.since if decided.decision == "held" else max(claim.at, schedule.since)
            change = schedule.but(claim=None, since=since, last_decision=decided, **changes)
            try:
                store.apply(schedule, change)
            except StaleSchedule:
                schedule = store.load(claimed.id)
                if schedule.claim != claim:
                    return
            else:
                if not decided.repeats(claimed.last_decision):
                    store.note(claimed.id, decided)
                return


def _key(schedule: Schedule, facts: Facts) -> str:
    """The idempotency key of the run that comes after the newest one that was seen."""
    after = facts.runs[0].id if facts.runs else None
    told = json.dumps([schedule.client_id, schedule.workload_id, after])
    return f"schedule-{hashlib.sha256(told.encode()).hexdigest()}"
