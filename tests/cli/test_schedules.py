"""`flywheel schedules`: made, looked at, changed, explained, run and forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.served import served
from flywheel.cli import app
from flywheel.client import Invalid
from flywheel.errors import NotFound, UserError
from flywheel.nemo.fake import FakeNemo
from run_world import make_records, make_world

WORKLOAD = ("-w", "tool_router", "-c", "support-app")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    world = make_world(tmp_path, make_records(tmp_path), FakeNemo())
    with served(world) as here:
        yield here.url
    world.close()


class Schedules:
    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["schedules", *arguments, "--url", self._url])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def schedules(url: str) -> Schedules:
    return Schedules(url)


def test_a_schedule_from_its_making_to_its_end(schedules: Schedules) -> None:
    made = schedules.json("create", *WORKLOAD, "--cron", "0 3 * * *", "--records", "500", "--debounce", "60")
    schedule = made["id"]
    assert made["id"] in schedules("list", *WORKLOAD)
    shown = schedules("show", schedule[-8:])
    for words in ("support-app/tool_router", "0 3 * * * UTC", "every 500 records", "60 s"):
        assert words in shown
    assert schedules.json("edit", schedule, "--runs-per-week", "3")["budget"]["runs_per_week"] == 3
    assert schedules.json("disable", schedule)["enabled"] is False
    assert "It would not start a run now." in schedules("explain", schedule)
    assert schedules.json("enable", schedule)["enabled"] is True
    run = schedules.json("run", schedule)
    assert (run["workload_id"], run["status"]) == ("tool_router", "pending")
    assert run["id"] in schedules("history", schedule)
    schedules("delete", schedule)
    assert schedules.json("list") == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("create", *WORKLOAD), UserError, "say when: --cron"),
        (("create", *WORKLOAD, "--cron", "61 * * * *"), Invalid, "61"),
        (("create", *WORKLOAD, "--records", "9", "--set", "["), UserError, "--set: this is not JSON"),
        (("create", *WORKLOAD, "--records", "9", "--threshold", "0.5"), UserError, "belongs to --drift"),
        (("show", "ffff"), NotFound, "no schedule ends in 'ffff'"),
        (("edit", "ffff"), UserError, "say what is to be different"),
    ],
)
def test_a_wrong_use_says_what_would_be_right(
    schedules: Schedules, arguments: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        schedules(*arguments)
