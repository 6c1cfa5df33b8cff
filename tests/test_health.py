"""Readiness: what is looked at, how often, and what a slow or broken check costs."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from flywheel.errors import UpstreamError
from flywheel.telemetry.health import Finding, Readiness


class Watched:
    """A check that counts how often it is made, and finds what it is told."""

    def __init__(self) -> None:
        self.looks = 0
        self.ok = True

    def __call__(self) -> list[Finding]:
        self.looks += 1
        return [Finding("store", self.ok, "answers" if self.ok else "refuses", "start it")]


def test_what_was_found_is_kept_for_a_while():
    watched = Watched()
    readiness = Readiness({"store": watched}, keep_s=60)
    assert [readiness.findings() for _ in range(3)] == [[Finding("store", True, "answers", "start it")]] * 3
    assert watched.looks == 1


def test_what_is_away_and_comes_back_is_found_and_logged_once_each(caplog: pytest.LogCaptureFixture):
    watched = Watched()
    readiness = Readiness({"store": watched}, keep_s=0)
    with caplog.at_level(logging.INFO, "flywheel"):
        for ok in (True, False, False, True):
            watched.ok = ok
            assert [finding.ok for finding in readiness.findings()] == [ok]
    assert [record.message for record in caplog.records] == ["not ready", "ready again"]


def test_a_check_that_raises_is_a_finding_and_hides_no_other():
    def away() -> list[Finding]:
        raise UpstreamError("the server at mongodb://db:27017 does not answer")

    def broken() -> list[Finding]:
        raise RuntimeError("secret-in-a-foreign-text")

    found = Readiness({"runs": away, "records": broken, "store": Watched()}, keep_s=0).findings()
    assert [(finding.check, finding.ok) for finding in found] == [
        ("runs", False),
        ("records", False),
        ("store", True),
    ]
    assert "mongodb://db:27017" in found[0].seen
    assert "secret" not in found[1].seen


def test_a_check_that_hangs_fails_in_time_and_is_not_begun_twice():
    go_on, begun = threading.Event(), []

    def slow() -> list[Finding]:
        begun.append(True)
        go_on.wait(20)
        return [Finding("slow", True, "at last")]

    readiness = Readiness({"slow": slow, "store": Watched()}, timeout_s=0.05, keep_s=0)
    began = time.monotonic()
    for _ in range(2):
        slow_one, quick = readiness.findings()
        assert (slow_one.wrong, quick.ok) == (True, True)
        assert "no answer in 0.05 s" in slow_one.seen
    assert time.monotonic() - began < 5
    assert len(begun) == 1
    go_on.set()
    while not readiness.findings()[0].ok:
        assert time.monotonic() - began < 10
    readiness.close()


def test_advice_does_not_make_a_process_unready():
    assert not Finding("redis memory", False, "allkeys-lru", "set noeviction", blocks=False).wrong
    assert Finding("redis", False, "no answer").wrong
