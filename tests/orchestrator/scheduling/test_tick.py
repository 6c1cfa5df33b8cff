"""The tick by a fake clock: times, missed ones, overlap, a clock that jumps, a run that cannot start."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flywheel.orchestrator.scheduling.errors import RunOpen
from flywheel.orchestrator.scheduling.tick import Scheduler
from run_world import tool_record
from scheduling_world import BODY, Scheduling, cron

NIGHTLY = cron("0 3 * * *", "Europe/Berlin")


def test_a_run_begins_when_its_time_has_come_and_knows_why(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY, name="nightly")
    assert here.tick("2026-03-03T01:59:58") == pytest.approx(2, abs=0.1), "it comes back in time"
    assert here.runs() == ()
    here.tick("2026-03-03T02:00:00")
    (run,) = here.runs()
    assert here.woken == [run.id]
    assert run.trigger is not None
    assert (run.trigger.schedule_id, run.trigger.schedule) == (schedule.id, "nightly")
    assert run.trigger.reason == ("cron 0 3 * * * Europe/Berlin: the time 2026-03-03 02:00 UTC has come")
    stored = here.here.context.schedules.load(schedule.id)
    assert (stored.last_run, stored.claim) == (run.id, None)
    assert here.history(schedule) == ["started"]


def test_one_time_starts_one_run(here: Scheduling):
    here.at("2026-03-02T12:00").make(NIGHTLY)
    here.tick("2026-03-03T02:00:00")
    here.finish()
    for at in ("2026-03-03T02:00:30", "2026-03-03T02:05", "2026-03-03T23:00"):
        here.tick(at)
    assert len(here.runs()) == 1
    here.tick("2026-03-04T02:00:10")
    assert len(here.runs()) == 2


def test_over_the_nights_of_clock_changes_there_is_one_run_a_night(here: Scheduling):
    here.at("2026-03-27T12:00").make(cron("30 2 * * *", "Europe/Berlin"))
    begun = []
    for day in (28, 29, 30):
        for hour in range(24):
            for minute in (0, 30):
                here.tick(f"2026-03-{day}T{hour:02}:{minute:02}:01")
                if len(here.runs()) > len(begun):
                    begun.append(f"{day} {hour:02}:{minute:02}")
                    here.finish()
    assert begun == ["28 01:30", "29 01:00", "30 00:30"]

    here.at("2026-10-24T12:00")
    schedule = here.make(cron("30 2 * * *", "Europe/Berlin"))
    here.service.delete(schedule.id)
    begun.clear()
    before = len(here.runs())
    for day in (25, 26):
        for hour in range(5):
            for minute in (0, 30):
                here.tick(f"2026-10-{day}T{hour:02}:{minute:02}:01")
                if len(here.runs()) > before + len(begun):
                    begun.append(f"{day} {hour:02}:{minute:02}")
                    here.finish()
    assert begun == ["25 00:30", "26 01:30"]


def test_another_time_zone_counts_from_the_change_on(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY)
    here.at("2026-03-03T08:30")  # Three o'clock in Berlin was missed, in New York it is still to come.
    changed = here.service.change(schedule.id, {"triggers": [cron("0 3 * * *", "America/New_York")]})
    assert changed.since == changed.updated_at
    here.tick("2026-03-03T08:31")
    here.tick("2026-03-04T02:00")
    assert here.runs() == ()
    here.tick("2026-03-04T08:00")
    assert len(here.runs()) == 1


def test_missed_times_are_skipped_and_said(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY)
    here.tick("2026-03-05T12:00")
    here.tick("2026-03-05T12:01")
    assert here.runs() == ()
    assert here.history(schedule) == ["missed"]
    (decided,) = here.here.context.schedules.history(schedule.id).decisions
    assert "3 times, the last of them 2026-03-05 02:00 UTC passed without a run" in decided.says
    here.tick("2026-03-06T02:00")
    assert len(here.runs()) == 1


def test_missed_times_are_made_up_for_once(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY, missed="once")
    here.tick("2026-03-05T12:00")
    here.finish()
    here.tick("2026-03-05T12:10")
    assert len(here.runs()) == 1
    assert "made up for 3 times" in here.runs()[0].trigger.reason
    assert here.history(schedule) == ["started"]


def test_a_moment_too_late_is_not_missed(here: Scheduling):
    here.at("2026-03-02T12:00").make(NIGHTLY)
    here.tick("2026-03-03T02:09")
    assert len(here.runs()) == 1


def test_a_run_that_is_not_over_holds_the_next_one(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(cron("0 * * * *"))
    here.tick("2026-03-02T13:00")
    here.tick("2026-03-02T14:00")
    here.tick("2026-03-02T14:01")
    assert len(here.runs()) == 1
    assert here.history(schedule) == ["started", "held overlap"], "said once"
    here.finish()
    here.tick("2026-03-02T14:30")
    assert len(here.runs()) == 1, "half an hour late is missed"
    assert here.history(schedule)[-1] == "missed"
    here.tick("2026-03-02T15:00")
    assert len(here.runs()) == 2


def test_what_was_held_is_made_up_for_where_that_is_wanted(here: Scheduling):
    here.at("2026-03-02T12:00").make(cron("0 * * * *"), missed="once")
    here.tick("2026-03-02T13:00")
    here.tick("2026-03-02T14:00")
    here.finish()
    here.tick("2026-03-02T14:40")
    assert len(here.runs()) == 2


def test_a_run_that_a_person_started_counts_too(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY)
    here.at("2026-03-03T01:50").here.start()
    here.tick("2026-03-03T02:00")
    assert len(here.runs()) == 1
    assert here.history(schedule) == ["held overlap"]


def test_a_clock_that_jumps_back_brings_no_time_again(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY)
    here.tick("2026-03-03T02:00:05")
    here.finish()
    for at in ("2026-03-03T01:30", "2026-03-03T02:00", "2026-03-03T02:01", "2026-03-03T03:00"):
        here.tick(at)
    assert len(here.runs()) == 1
    assert here.history(schedule) == ["started"]
    here.tick("2026-03-04T02:00")
    assert len(here.runs()) == 2


def test_a_clock_that_was_years_ahead_does_not_stop_the_schedule(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY, missed="once", budget={"runs_per_week": 1})
    here.tick("2031-03-03T02:00:05")
    here.finish()
    here.tick("2026-03-02T12:05")
    assert here.history(schedule) == ["started", "missed"]
    assert "the clock went back" in here.here.context.schedules.load(schedule.id).last_decision.says
    here.tick("2026-03-03T02:00")
    assert len(here.runs()) == 2


def test_disabled_it_does_nothing_and_enabled_it_counts_from_then_on(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(NIGHTLY, missed="once", enabled=False)
    here.tick("2026-03-03T02:00")
    here.at("2026-03-03T12:00").service.change(schedule.id, {"enabled": True})
    here.tick("2026-03-03T12:01")
    assert here.runs() == ()
    here.tick("2026-03-04T02:00")
    assert len(here.runs()) == 1


def test_new_records_start_a_run_and_count_from_its_data_set(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make({"type": "records", "every": 80})
    here.tick("2026-03-02T12:01")
    assert here.finish().status == "completed"
    here.add([tool_record(1000 + n) for n in range(79)])
    here.tick("2026-03-02T13:00")
    assert len(here.runs()) == 1
    here.add([tool_record(2000)])
    here.tick("2026-03-02T13:01")
    (second, first) = here.runs()
    assert second.trigger.reason == (f"every 80 records: 80 new records since the data set of run {first.id}")
    assert here.history(schedule) == ["started", "started"]


def test_records_that_come_late_with_earlier_times_are_new(here: Scheduling):
    here.at("2026-03-02T12:00").make({"type": "records", "every": 50})
    here.tick()
    here.finish()
    here.add([tool_record(-5000 - n) for n in range(50)])
    here.tick("2026-03-02T13:00")
    assert len(here.runs()) == 2


def test_records_that_were_pruned_do_not_hide_new_ones(here: Scheduling):
    here.at("2026-03-02T12:00").make({"type": "records", "every": 50})
    here.tick()
    here.finish()
    here.here.context.logs.delete(until=1_700_000_060.0)
    here.add([tool_record(1000 + n) for n in range(50)])
    here.tick("2026-03-02T13:00")
    assert len(here.runs()) == 2


def test_debounce_keeps_runs_apart(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make({"type": "records", "every": 10}, debounce=3600)
    here.tick("2026-03-02T12:01")
    here.finish()
    here.add([tool_record(1000 + n) for n in range(30)])
    here.tick("2026-03-02T12:30")
    assert here.history(schedule) == ["started", "held debounce"]
    here.tick("2026-03-02T13:01:01")
    assert len(here.runs()) == 2


def test_a_budget_of_runs_holds_for_seven_days(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(cron("0 3 * * *"), missed="once", budget={"runs_per_week": 2})
    for day in (3, 4):
        here.tick(f"2026-03-0{day}T03:00")
        here.finish()
    here.tick("2026-03-05T03:00")
    assert here.history(schedule) == ["started", "started", "held budget"]
    here.tick("2026-03-10T02:59")
    assert len(here.runs()) == 2
    here.tick("2026-03-10T03:01")
    assert len(here.runs()) == 3


def test_too_few_records_hold_a_run_back(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(cron("0 3 * * *"), workload_id="nothing_yet")
    here.tick("2026-03-03T03:00")
    assert here.history(schedule) == ["held too few records"]


def test_a_start_that_fails_is_said_and_tried_again_later(here: Scheduling, monkeypatch):
    judge = {"url": "http://judge.test/v1", "model_name": "judge", "api_key_env": "JUDGE_KEY"}
    settings = here.here.context.settings.model_copy(
        update={
            "llm_judge_config": type(here.here.context.settings)
            .model_validate({"llm_judge_config": {"deployment_type": "remote", **judge}})
            .llm_judge_config
        }
    )
    other = Scheduling(here.here.reborn(settings=settings))
    schedule = other.at("2026-03-02T12:00").make({"type": "records", "every": 10})
    other.tick()
    other.tick("2026-03-02T12:05")
    assert other.history(schedule) == ["failed", "held failing"]
    assert "JUDGE_KEY" in other.here.context.schedules.history(schedule.id).decisions[1].says
    here.tick("2026-03-02T12:16")  # With a configuration that works again.
    assert len(here.runs()) == 1


def test_runs_that_fail_again_and_again_come_ever_more_rarely(here: Scheduling):
    here.at("2026-03-02T00:00").make(cron("*/20 * * * *"), missed="once")
    begun = []
    for minute in range(0, 24 * 60, 20):
        at = f"2026-03-02T{minute // 60:02}:{minute % 60:02}:01"
        here.tick(at)
        if len(here.runs()) > len(begun):
            begun.append(minute)
            run = here.runs()[0]
            failed = run.but(step="finished", status="failed")
            here.here.context.runs.apply(run, failed)
    pauses = [b - a for a, b in pairwise(begun)]
    assert pauses[:2] == [20, 20]
    assert pauses == sorted(pauses), "each pause is at least the one before"
    assert pauses[-1] >= 4 * 60
    assert len(begun) <= 8


def test_a_start_that_was_left_behind_is_finished_once(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make({"type": "records", "every": 10})
    store = here.here.context.schedules
    now = here.here.clock()
    facts = here.scheduler._gather.facts(schedule, now)
    claimed = here.scheduler._claim(schedule, facts, "every 10 records", "80 new records", now)
    here.tick("2026-03-02T12:00:30")
    assert here.runs() == (), "who claimed it may still be at work"
    here.tick("2026-03-02T12:02")
    (run,) = here.runs()
    assert store.load(schedule.id).last_run == run.id
    # The one that claimed it wakes up again: the key gives the same run.
    assert here.scheduler._jobs.start(claimed.claim.body, claimed.claim.key, trigger=run.trigger).id == run.id
    assert here.history(schedule) == ["started"]


@pytest.mark.parametrize("overrides", [{}, {"training_config": {"epochs": 1}}])
def test_of_two_schedules_of_a_workload_one_starts_a_run(here: Scheduling, monkeypatch, overrides):
    """The second one looked before the first one's run was there."""
    here.at("2026-03-02T12:00").make(cron("0 3 * * *"))
    other = here.make(cron("0 3 * * *"), missed="once", overrides=overrides)
    slow = Scheduler(here.here.context, here.woken.append)
    seen = slow._gather.facts(other, here.at("2026-03-03T03:00:01").here.clock())
    here.tick()
    (run,) = here.runs()
    monkeypatch.setattr(slow._gather, "facts", lambda *_: seen)
    slow.tick()
    assert here.runs() == (run,)
    assert here.history(other) == ["held overlap"]
    with pytest.raises(RunOpen, match="another schedule"):
        slow.start_now(here.here.context.schedules.load(other.id))
    here.finish()
    here.tick("2026-03-03T03:30")
    assert here.runs()[0].trigger.schedule_id == other.id, "what was held is still due"


def test_run_now_asks_neither_triggers_nor_budget_but_waits_for_no_run(here: Scheduling):
    schedule = here.at("2026-03-02T12:00").make(
        NIGHTLY, enabled=False, debounce=3600, budget={"runs_per_week": 1}
    )
    first = here.service.run(schedule.id)
    assert first.trigger.reason == "manual: a person asked for it"
    with pytest.raises(RunOpen, match=first.id):
        here.service.run(schedule.id)
    here.finish()
    second = here.service.run(schedule.id)
    assert second.id != first.id
    assert here.history(schedule) == ["started", "started"]


def test_a_new_candidate_in_the_configuration_starts_a_run(here: Scheduling):
    from run_world import nim, settings

    schedule = here.at("2026-03-02T12:00").make({"type": "candidates"})
    here.tick()
    here.finish()
    here.tick("2026-03-02T13:00")
    assert len(here.runs()) == 1
    using = settings(nim(), nim("test/other"))
    other = Scheduling(here.here.reborn(settings=using))
    other.tick("2026-03-02T14:00")
    assert other.runs()[0].trigger.reason == ("new candidates: not measured on this workload yet: test/other")
    other.finish()
    other.tick("2026-03-02T15:00")
    assert other.history(schedule) == ["started", "started"]
    moved = settings(nim(), nim("test/other", model_path="somewhere/else"))
    third = Scheduling(here.here.reborn(settings=moved))
    third.tick("2026-03-02T16:00")
    assert "test/other (changed)" in third.runs()[0].trigger.reason


def test_one_schedule_that_cannot_be_looked_at_is_not_the_others(here: Scheduling):
    broken = here.at("2026-03-02T12:00").make({"type": "records", "every": 10}, workload_id="x")
    store = here.here.context.schedules
    store.apply(broken, broken.but(overrides={"nims": ["test/gone"]}))  # It was in the configuration once.
    here.make({"type": "records", "every": 10}, **BODY)
    here.tick()
    assert len(here.runs()) == 1
