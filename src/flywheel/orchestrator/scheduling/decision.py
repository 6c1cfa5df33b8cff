"""Whether a schedule's run begins now, and why or why not: a pure function of the schedule, facts and time.

A trigger *fires* where there is a reason for a run; something else may *hold* the run back. What is said here
in words is what `explain` shows, what the history keeps and what the run remembers.

Nothing is remembered but the moment up to which times of cron triggers are accounted for (`since`). A time
that is due stays due until a run was started for it, or, where missed ones are skipped, until GRACE has
passed. A clock that goes back therefore brings no time again; one that went back by more than FAR was wrong
before, and times are counted from now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from flywheel.curation.drift import Drift, SchemaChange, Shift, describe_changes, judge
from flywheel.curation.traffic import Traffic
from flywheel.orchestrator.scheduling import cron
from flywheel.stores.schedules.document import (
    CandidatesTrigger,
    CronTrigger,
    DriftTrigger,
    RecordsTrigger,
    Schedule,
    SchemasTrigger,
    Trigger,
)

GRACE: Final = timedelta(minutes=10)
"""A time counts as met for so long; whoever looks later missed it."""
FAR: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
CLAIM: Final = timedelta(minutes=1)
"""Starting a run takes a second; who claimed one before that has died."""
_RETRY: Final = timedelta(minutes=15)
"""Between two tries to start a run that could not be started."""
_LONGEST_PAUSE: Final = timedelta(days=1)

What = Literal["disabled", "overlap", "too few records", "debounce", "budget", "failing"]


@dataclass(frozen=True, slots=True)
class RunFact:
    """What counts of a run of the workload."""

    id: str
    created_at: datetime
    finished: bool
    status: str
    schedule_id: str | None
    gpu_hours: float
    candidates: Mapping[str, str]
    """What it measured, and where from."""


@dataclass(frozen=True, slots=True)
class DatasetFact:
    """The last data set of the workload: its run, when it was made, and of how many records."""

    run_id: str
    at: datetime
    records: int
    traffic: Traffic | None
    """None where the run is from before runs kept it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision looks at, the schedule and the time aside."""

    records: int
    """Records of the workload now."""
    later: int
    """Those of them that are of a later time than the last data set's."""
    needed: int
    """Records that a run asks for at least."""
    runs: tuple[RunFact, ...]
    """The newest first: all of the last seven days, and the newest before."""
    dataset: DatasetFact | None
    candidates: Mapping[str, str]
    """What its run would measure, and where from."""
    now: Traffic | None = None
    """The newest records, as many as are new; None: not looked at."""
    shifts: Mapping[str, tuple[Shift, ...]] | None = None
    """Of tools and of arguments: how far the traffic is from the data set's."""
    changes: tuple[SchemaChange, ...] | None = None
    """How the tools' schemas differ from the data set's."""

    @property
    def new(self) -> int:
        """Records since the last data set, also those that came late with earlier times."""
        return max(self.records - (self.dataset.records if self.dataset else 0), self.later)


@dataclass(frozen=True, slots=True)
class Reason:
    """What one trigger says."""

    trigger: str
    fires: bool
    says: str
    next: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the run does not begin, and until when, where that is known."""

    what: What
    says: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done now."""

    at: datetime
    reasons: tuple[Reason, ...]
    holds: tuple[Hold, ...]
    missed: str | None
    """Times that nobody met and that are given up, in words."""
    drifts: tuple[Drift, ...]
    unsure: bool
    """A trigger would have to look at records that the facts do not hold."""
    facts: Facts
    """What was looked at."""

    @property
    def fired(self) -> Reason | None:
        return next((each for each in self.reasons if each.fires), None)

    @property
    def would_run(self) -> bool:
        return self.fired is not None and not self.holds

    @property
    def next_at(self) -> datetime | None:
        """The next time of the cron triggers."""
        return min((each.next for each in self.reasons if each.next), default=None)


def decide(schedule: Schedule, facts: Facts, now: datetime) -> Verdict:
    """What the schedule comes to at this moment."""
    reasons: list[Reason] = []
    drifts: list[Drift] = []
    missed: list[str] = []
    unsure = False
    for trigger in schedule.triggers:
        name = name_of(trigger)
        match trigger:
            case CronTrigger():
                reason, lost = _cron(trigger, name, schedule, now)
                missed += lost
            case RecordsTrigger():
                reason = _records(trigger, name, facts)
            case DriftTrigger():
                reason, drift = _drift(trigger, name, facts)
                drifts += [drift] if drift else []
            case SchemasTrigger():
                reason = _schemas(name, facts)
            case CandidatesTrigger():
                reason = _candidates(name, facts)
        unsure |= reason is _UNKNOWN
        if reason is not _UNKNOWN:
            reasons.append(reason)
    return Verdict(
        at=now,
        reasons=tuple(reasons),
        holds=tuple(holds(schedule, facts, now)),
        missed="; ".join(missed) or None,
        drifts=tuple(drifts),
        unsure=unsure,
        facts=facts,
    )


def name_of(trigger: Trigger) -> str:
    """The trigger in a few words, the same everywhere."""
    match trigger:
        case CronTrigger():
            return f"cron {trigger.cron} {trigger.timezone}"
        case RecordsTrigger():
            return f"every {trigger.every} records"
        case DriftTrigger():
            return f"drift of {trigger.of}"
        case SchemasTrigger():
            return "changed tool schemas"
        case CandidatesTrigger():
            return "new candidates"


def holds(schedule: Schedule, facts: Facts, now: datetime) -> Iterator[Hold]:
    """Everything that keeps a run back, whatever the triggers say."""
    if not schedule.enabled:
        yield Hold("disabled", "the schedule is disabled")
    yield from overlap(schedule, facts, now)
    if facts.records < facts.needed:
        yield Hold(
            "too few records",
            f"the workload has {facts.records} records; data_split_config.min_total_records asks for"
            f" {facts.needed}",
        )
    past = [run for run in facts.runs if run.created_at <= now + FAR]
    if past and (until := past[0].created_at + timedelta(seconds=schedule.debounce)) > now:
        until = min(until, now + timedelta(seconds=schedule.debounce))
        yield Hold(
            "debounce",
            f"run {past[0].id} of the workload began {_ago(now - past[0].created_at)}, and debounce asks for"
            f" {schedule.debounce:g} s between two",
            until,
        )
    yield from _budget(schedule, past, now)
    yield from _failing(schedule, past, now)


def overlap(schedule: Schedule, facts: Facts, now: datetime) -> Iterator[Hold]:
    """A run of the workload that is not over, or is about to begin."""
    if open_ := next((run for run in facts.runs if not run.finished), None):
        yield Hold("overlap", f"run {open_.id} of the workload is {open_.status}")
    elif schedule.claim and abs(now - schedule.claim.at) < CLAIM:
        yield Hold("overlap", "a run is being started at this moment", schedule.claim.at + CLAIM)


def _cron(trigger: CronTrigger, name: str, schedule: Schedule, now: datetime) -> tuple[Reason, list[str]]:
    since = counted_from(schedule, now)
    following = cron.following(trigger.cron, trigger.timezone, max(since, now))
    count, latest = cron.due(trigger.cron, trigger.timezone, since, now)
    if latest is None:
        says = f"the next time is {_moment(following)}" if following else "there is no next time"
        return Reason(name, False, says, following), []
    if now - latest <= GRACE:
        return Reason(name, True, f"the time {_moment(latest)} has come", following), []
    times = "the time" if count == 1 else f"{count} times, the last of them"
    if schedule.missed == "once":
        return Reason(name, True, f"made up for {times} {_moment(latest)}", following), []
    says = f"{times} {_moment(latest)} passed without a run"
    next_one = f"; the next is {_moment(following)}" if following else ""
    return Reason(name, False, f"{says}, and missed ones are skipped{next_one}", following), [
        f"{name}: {says}"
    ]


def counted_from(schedule: Schedule, now: datetime) -> datetime:
    """From when on times of cron triggers are not accounted for yet."""
    return now if schedule.since - now > FAR else schedule.since


def _records(trigger: RecordsTrigger, name: str, facts: Facts) -> Reason:
    where = f"since the data set of run {facts.dataset.run_id}" if facts.dataset else "and no data set yet"
    return Reason(name, facts.new >= trigger.every, f"{facts.new} new records {where}")


_UNKNOWN: Final = Reason("", False, "")


def _drift(trigger: DriftTrigger, name: str, facts: Facts) -> tuple[Reason, Drift | None]:
    if (reason := _incomparable(name, facts)) is not None:
        return reason, None
    dataset = facts.dataset
    if facts.shifts is None or facts.now is None or dataset is None or dataset.traffic is None:
        return _UNKNOWN, None
    drift = judge(facts.shifts[trigger.of], dataset.traffic, facts.now, trigger.of, trigger.threshold)
    return Reason(name, bool(drift.fired), drift.says), drift


def _schemas(name: str, facts: Facts) -> Reason:
    if (reason := _incomparable(name, facts)) is not None:
        return reason
    if facts.changes is None:
        return _UNKNOWN
    says = describe_changes(facts.changes) if facts.changes else "the tools are those of the last data set"
    return Reason(name, bool(facts.changes), says)


def _incomparable(name: str, facts: Facts) -> Reason | None:
    if facts.dataset is None:
        return Reason(name, False, "there is no data set yet to compare with")
    if facts.dataset.traffic is None:
        run = facts.dataset.run_id
        return Reason(name, False, f"run {run} did not note what its data set was like; the next one will")
    if facts.new <= 0:
        return Reason(name, False, f"no new records since the data set of run {facts.dataset.run_id}")
    return None


def _candidates(name: str, facts: Facts) -> Reason:
    known: dict[str, str] = {}
    for run in reversed(facts.runs):
        known |= run.candidates
    new = [each for each, source in facts.candidates.items() if known.get(each) != source]
    if not new:
        return Reason(name, False, "every candidate of the configuration was measured on this workload")
    shown = ", ".join(f"{each} (changed)" if each in known else each for each in new)
    return Reason(name, True, f"not measured on this workload yet: {shown}")


def _budget(schedule: Schedule, runs: list[RunFact], now: datetime) -> Iterator[Hold]:
    budget = schedule.budget
    week = [run for run in runs if run.created_at > now - WEEK]
    if budget.runs_per_week is not None and len(week) >= budget.runs_per_week:
        until = week[budget.runs_per_week - 1].created_at + WEEK
        says = f"{len(week)} runs of the workload in seven days, and the budget is {budget.runs_per_week}"
        yield Hold("budget", says, until)
    spent = sum(run.gpu_hours for run in week)
    if budget.gpu_hours_per_week is not None and spent >= budget.gpu_hours_per_week:
        freed = next(_freed(week, spent, budget.gpu_hours_per_week), None)
        says = f"{spent:.2f} GPU hours in seven days, and the budget is {budget.gpu_hours_per_week:g}"
        yield Hold("budget", says, freed)


def _freed(week: list[RunFact], spent: float, budget: float) -> Iterator[datetime]:
    """The moments from which on the week's runs have taken less than the budget."""
    for run in reversed(week):
        spent -= run.gpu_hours
        if spent < budget:
            yield run.created_at + WEEK


def _failing(schedule: Schedule, runs: list[RunFact], now: datetime) -> Iterator[Hold]:
    """What fails is tried again after pauses that double."""
    if schedule.failed_at is not None and timedelta(0) <= now - schedule.failed_at < _RETRY:
        says = schedule.last_decision.says if schedule.last_decision else "the last try failed"
        yield Hold("failing", f"the run could not be started: {says}", schedule.failed_at + _RETRY)
    failed = 0
    for run in runs:
        if run.schedule_id != schedule.id or run.status != "failed":
            break
        failed += 1
    if failed < 2:
        return
    pause = min(_RETRY * 2 ** min(failed - 2, 10), _LONGEST_PAUSE)
    if now - runs[0].created_at < pause:
        says = f"its last {failed} runs failed; the last one is {runs[0].id}"
        yield Hold("failing", says, runs[0].created_at + pause)


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else "never"


def _ago(passed: timedelta) -> str:
    seconds = round(passed.total_seconds())
    if seconds < 0:
        return "in the future, by this clock"
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} minutes ago"
