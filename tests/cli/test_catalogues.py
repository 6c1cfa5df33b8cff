"""Workloads, models and data sets on the command line, over a run that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.commands import Commands
from client.served import served
from flywheel.client import NotFound
from flywheel.nemo.fake import FakeNemo
from run_world import make_records, make_world


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which one run has completed."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(folder, make_records(folder), FakeNemo())
    world.finish(world.start())
    with served(world) as here:
        yield here.url
    world.close()


@pytest.fixture
def flywheel(url: str) -> Commands:
    return Commands(url)


def test_workloads_show_the_last_run_and_the_best_student(flywheel: Commands) -> None:
    (line,) = [each for each in flywheel.said("workloads", "list").splitlines() if "tool_router" in each]
    assert "completed" in line
    assert "test/student customized-eval: function_name_and_args_accuracy 90.0 %" in line
    assert line.endswith("80")
    assert [w["workload_id"] for w in flywheel.json("workloads", "list", "--sort", "count")] == [
        "tool_router",
        "small_talk",
    ]


def test_a_workload_shows_what_it_is_made_of(flywheel: Commands) -> None:
    said = flywheel.said("workloads", "show", "-w", "tool_router", "-c", "support-app")
    for words in ("80 records", "order_status", "100.0 %", "80 valid in"):
        assert words in said


def test_models_are_listed_shown_and_downloaded(flywheel: Commands, tmp_path: Path) -> None:
    assert "test/student" in flywheel.said("models", "list", "--kind", "base")
    (adapter,) = flywheel.json("models", "list", "--kind", "adapter")
    said = flywheel.said("models", "show", adapter["name"])
    for words in (adapter["name"], "test/student", "support-app/tool_router"):
        assert words in said
    files = flywheel.json("models", "download", adapter["name"], "--to", str(tmp_path))
    assert files
    assert all(Path(each).is_file() for each in files)


def test_data_sets_are_listed_shown_and_downloaded(flywheel: Commands, tmp_path: Path) -> None:
    found = flywheel.json("datasets", "list", "-w", "tool_router")
    assert {each["workload_id"] for each in found} == {"tool_router"}
    name = found[0]["name"]
    assert name in flywheel.said("datasets", "list")
    assert "support-app/tool_router" in flywheel.said("datasets", "show", f"hf://datasets/ns/{name}")
    files = flywheel.json("datasets", "download", name, "--to", str(tmp_path))
    assert all(json.loads(line) for each in files for line in Path(each).read_text("utf-8").splitlines())


def test_what_is_not_there_is_named(flywheel: Commands) -> None:
    with pytest.raises(NotFound, match="nobody"):
        flywheel.said("datasets", "show", "nobody")
