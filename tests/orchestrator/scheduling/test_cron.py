"""Times on the wall clock: nights that are an hour short or long, and bad expressions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest

from flywheel.errors import ConfigError
from flywheel.orchestrator.scheduling.cron import check, due, following, times


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def said(cron: str, timezone: str, after: str, count: int) -> list[str]:
    return [f"{at:%m-%d %H:%M}" for at in islice(times(cron, timezone, utc(after)), count)]


def test_a_time_keeps_its_place_on_the_wall_clock_over_the_year():
    assert said("0 3 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "03-28 02:00",
        "03-29 01:00",  # Summer time began at 01:00 UTC: three o'clock is an hour earlier now.
        "03-30 01:00",
    ]
    assert said("0 3 * * *", "Europe/Berlin", "2026-10-24T00:00", 3) == [
        "10-24 01:00",
        "10-25 02:00",
        "10-26 02:00",
    ]
    assert said("0 3 * * *", "America/New_York", "2026-03-07T12:00", 2) == ["03-08 07:00", "03-09 07:00"]


def test_a_time_that_a_spring_night_leaves_out_comes_when_the_clock_changes():
    assert said("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 3) == [
        "03-29 01:00",
        "03-30 00:30",
        "03-31 00:30",
    ]


def test_times_that_fall_together_in_a_spring_night_come_once():
    found = said("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", 3)
    assert found == ["03-29 01:00", "03-29 01:30", "03-30 00:00"]


def test_a_time_that_an_autumn_night_has_twice_comes_once():
    assert said("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]


@pytest.mark.parametrize("after", ["2026-10-25T00:30", "2026-10-25T00:45", "2026-10-25T01:15"])
def test_from_inside_the_doubled_hour_it_does_not_come_again(after: str):
    assert said("30 2 * * *", "Europe/Berlin", after, 1) == ["10-26 01:30"]


def test_hourly_times_follow_the_clock_as_it_goes():
    assert said("0 * * * *", "Europe/Berlin", "2026-10-24T23:30", 4) == [
        "10-25 00:00",
        "10-25 01:00",
        "10-25 02:00",
        "10-25 03:00",
    ]


def test_moments_always_grow():
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"):
        for cron in ("15,45 * * * *", "0,30 1,2,3 * * *", "*/20 2 * * *"):
            found = list(islice(times(cron, zone, utc("2026-01-01T00:00")), 1500))
            assert all(a < b for a, b in pairwise(found))


def test_due_counts_what_passed_and_names_the_last():
    assert due("0 3 * * *", "UTC", utc("2026-01-01T00:00"), utc("2026-01-04T03:00")) == (
        4,
        utc("2026-01-04T03:00"),
    )
    assert due("0 3 * * *", "UTC", utc("2026-01-01T03:00"), utc("2026-01-02T02:59")) == (0, None)


@pytest.mark.parametrize("cron", ["* * * * *", "0 * * * *", "0 0 * * *", "0 0 1 * *"])
def test_after_years_the_last_time_is_found_without_walking_through_all(cron: str):
    _, latest = due(cron, "Europe/Berlin", utc("1990-01-01T00:00"), utc("2026-01-15T12:30"))
    assert latest is not None
    following_one = following(cron, "Europe/Berlin", latest)
    assert following_one is not None
    assert latest <= utc("2026-01-15T12:30") < following_one


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("* * * *", "UTC", r"triggers.cron: '\* \* \* \*' must have five fields"),
        ("0 0 0 * * *", "UTC", "must have five fields"),
        ("61 * * * *", "UTC", "bad minute"),
        ("0 25 * * *", "UTC", "bad hour"),
        ("0 0 30 2 *", "UTC", "bad day-of-month"),
        ("", "UTC", "must have five fields"),
        ("0 3 * * *", "Europe/Berln", "no time zone 'Europe/Berln' .did you mean \"Europe/Berlin\""),
        ("0 3 * * *", "../../etc/passwd", "no time zone"),
        ("0 3 * * *", "", "no time zone '', such as Europe/Berlin"),
    ],
)
def test_what_cannot_be_understood_is_said(cron: str, zone: str, said: str):
    with pytest.raises(ConfigError, match=said):
        check(cron, zone)
