"""Into a run on the command line: comparisons, samples, losses, events, and what was measured across runs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli.commands import Commands
from client.served import Served, served
from flywheel.client import Client, NotFound
from flywheel.client.documents import ComparedRecord
from orchestrator.test_compared import BASE, ICL, TUNED, Told
from run_world import make_records, make_world


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on which one run has completed; its first system is wrong where its second is right."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(folder, make_records(folder), Told())
    world.finish(world.start())
    with served(world) as found:
        yield found
    world.close()


@pytest.fixture
def flywheel(here: Served) -> Commands:
    return Commands(here.url)


def test_systems_are_compared_on_the_same_records(flywheel: Commands) -> None:
    head, *lines = flywheel.said("runs", "compare").splitlines()
    assert all(name in head for name in (BASE, ICL, TUNED))
    (first,) = [line for line in lines if line.startswith("first ")]
    assert "order_status" in first
    assert first.split()[-3:] == ["no_call_expected_call", "right", "wrong_function"]


def test_what_one_has_right_and_another_wrong(flywheel: Commands) -> None:
    found = flywheel.json("runs", "compare", "--right", ICL, "--wrong", BASE, "--wrong", TUNED)
    assert [row["key"] for row in found] == ["first"]
    assert flywheel.json("runs", "compare", "--failure", "wrong_function", "--of", BASE) == []
    assert len(flywheel.json("runs", "compare", "--limit", "2")) == 2


def test_one_record_in_full(flywheel: Commands) -> None:
    said = flywheel.said("runs", "compare", "--key", "second")
    assert "asked    about second" in said
    assert f"{BASE}: wrong_value" in said
    (line,) = [line for line in said.splitlines() if line.split()[:2] == ["order_status", "order"]]
    assert line.split()[-2:] == ["A1", "B9"]
    assert flywheel.json("runs", "compare", "--key", "a/b #4")["next"] == "fourth"
    with pytest.raises(NotFound, match="nobody"):
        flywheel.said("runs", "compare", "--key", "nobody")


def test_what_strangers_wrote_does_not_reach_the_terminal_as_it_is(flywheel: Commands) -> None:
    said = flywheel.said("runs", "compare", "--key", "a/b #4")
    assert "<script>" in said  # As text: this is no page.
    assert "\ud83d" not in said  # Half a character: no terminal can show it.


def test_samples_of_an_evaluation(flywheel: Commands) -> None:
    assert "wrong_value" in flywheel.said("runs", "samples", "--eval-type", "base-eval")
    (found,) = flywheel.json("runs", "samples", "--failure", "wrong_value")
    assert found["index"] == 0


def test_the_losses_of_a_run(flywheel: Commands) -> None:
    (found,) = flywheel.json("runs", "losses")
    assert found["train"]
    said = flywheel.said("runs", "losses")
    assert "test/student" in said
    assert str(found["train"][-1]["step"]) in said


def test_events_of_a_run_that_has_ended_are_its_last_state(flywheel: Commands) -> None:
    (line,) = flywheel.said("runs", "events").splitlines()
    assert json.loads(line)["status"] == "completed"


def test_what_was_measured_across_runs(flywheel: Commands) -> None:
    said = flywheel.said("evaluations", "list", "--eval-type", "customized-eval")
    assert "support-app/tool_router" in said
    assert "90.0 %" in said
    assert flywheel.json("evaluations", "list", "--candidate", "nobody") == []
    assert len(flywheel.json("evaluations", "list")) == 3


def test_the_client_steps_through_records(here: Served) -> None:
    with Client(here.url) as client:
        run = next(client.runs.list())
        assert [system.name for system in run.comparison().systems] == [BASE, ICL, TUNED]
        record: ComparedRecord = run.compared_record("first", wrong=BASE)
        assert (record.previous, record.next) == (None, "second")
        assert [row.key for row in run.compared(right=[ICL], search="about")] == ["first", "second", "a/b #4"]
        (told,) = run.watch()
        assert (told.status, told.percent) == ("completed", 100.0)
        assert run.losses()[0].train[0].step > 0
