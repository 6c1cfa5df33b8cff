"""`flywheel gate`: a pipeline passes or fails by a student's scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.served import Served, served
from flywheel.cli import app
from flywheel.cli.cutoffs import Cutoff, Measured
from flywheel.client import Client
from flywheel.errors import UserError
from flywheel.nemo.fake import FakeNemo
from run_world import World, make_records, make_world, nim, settings

CANDIDATE = ("--workload", "support-app/tool_router", "--candidate", "test/student")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    both = settings(nim(), nim("test/broken"))
    made = make_world(folder, make_records(folder), FakeNemo(broken={"test/broken": "no GPU here"}), both)
    yield made
    made.close()


@pytest.fixture(scope="module")
def here(world: World) -> Iterator[Served]:
    """Runs are over as soon as they are started; FakeNemo's scores are 0.9, from 0.8 to 1."""
    with served(world, wake=world.finish) as found:
        yield found


class Gate:
    def __init__(self, here: Served) -> None:
        self.url = here.url

    def __call__(self, *arguments: str, code: int) -> str:
        done = CliRunner().invoke(app, ["gate", *arguments, "--url", self.url])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout if code < 2 else done.stderr

    def runs(self) -> list[str]:
        with Client(self.url) as client:
            return [run.id for run in client.runs.list()]


@pytest.fixture
def gate(here: Served, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Gate(here)


def test_a_run_is_started_and_the_gate_is_met(gate: Gate) -> None:
    before = gate.runs()
    told = gate(*CANDIDATE, "--cutoff", "function_name=0.9", "--cutoff", "function_name.low=0.8", code=0)
    (made,) = set(gate.runs()) - set(before)
    assert f"[run {made}]({gate.url}/runs/{made})" in told
    assert told.startswith("### Gate met: support-app/tool\\_router, test/student\n\n2 of 2 cutoffs met")
    assert "| function\\_name.low ≥ 0.8 | 0.800 | 0.900 | 0.800 – 1.000 | 100 | met |" in told
    assert "Verdict: " in told


def test_one_cutoff_that_is_missed_fails_it(gate: Gate) -> None:
    told = gate(*CANDIDATE, "--cutoff", "function_name=0.5", "--cutoff", "function_name.low=0.81", code=1)
    assert "### Gate not met" in told
    assert "1 of 2 cutoffs met" in told
    assert "| 0.800 | 0.900 | 0.800 – 1.000 | 100 | **not met** |" in told


def test_a_run_that_is_there_is_read(gate: Gate) -> None:
    gate(*CANDIDATE, "--cutoff", "function_name=0.5", code=0)
    runs = gate.runs()
    for which in ("latest", runs[0], runs[0][-8:]):
        told = json.loads(gate(*CANDIDATE, "--cutoff", "function_name=0.5", "--run", which, "--json", code=0))
        assert (told["run_id"], told["met"]) == (runs[0], True)
        assert told["report"] == f"{gate.url}/runs/{runs[0]}"
    assert gate.runs() == runs


def test_the_same_key_is_the_same_run(gate: Gate) -> None:
    gate(*CANDIDATE, "--cutoff", "function_name=0.5", "--key", "build-7", code=0)
    runs = gate.runs()
    gate(*CANDIDATE, "--cutoff", "function_name=0.99", "--key", "build-7", code=1)
    assert gate.runs() == runs


def test_the_summary_goes_where_the_runner_looks(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("## Earlier step\n", "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    told = gate(*CANDIDATE, "--cutoff", "function_name=0.5", code=0)
    assert summary.read_text("utf-8") == f"## Earlier step\n{told}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*CANDIDATE, "--cutoff", "function_name"), "it has no ="),
        ((*CANDIDATE, "--cutoff", "f1=0.5"), "there is no score 'f1'; there are function_name"),
        ((*CANDIDATE[:2], "--candidate", "test/studnet", "--cutoff", "f1=1"), "test/student"),
        (("--workload", "tool_router", *CANDIDATE[2:], "--cutoff", "f1=1"), "support-app/tool_router"),
        ((*CANDIDATE, "--cutoff", "a=1", "--run", "0" * 24), "Job not found"),
        ((*CANDIDATE, "--cutoff", "a=1", "--run", "ffff"), "no run ends in 'ffff'"),
        ((*CANDIDATE, "--cutoff", "a=1", "--run", "latest", "--key", "x"), "leave out --run"),
        ((*CANDIDATE, "--cutoff", "f1=1", "--set", "{"), "--set: this is not JSON"),
        ((*CANDIDATE,), "Missing option '--cutoff'"),
    ],
)
def test_a_wrong_question_is_exit_code_2(gate: Gate, arguments: tuple[str, ...], words: str) -> None:
    assert words in gate(*arguments, code=2)


def test_a_misspelt_score_is_said_before_a_run_begins(gate: Gate) -> None:
    before = gate.runs()
    told = gate(*CANDIDATE, "--cutoff", "funtion_name=0.5", code=2)
    assert "no run has a score 'funtion_name' (did you mean \"function_name\"?)" in told
    assert gate.runs() == before


def test_a_run_of_another_workload_is_no_answer_to_this_question(gate: Gate) -> None:
    gate(*CANDIDATE, "--cutoff", "function_name=0.5", code=0)
    newest = gate.runs()[0]
    chat = ("--workload", "support-app/small_talk", "--candidate", "test/student")
    told = gate(*chat, "--cutoff", "similarity=0.1", "--run", newest, code=2)
    assert "is of support-app/tool_router, not of support-app/small_talk" in told


def test_a_candidate_that_fails_is_exit_code_3(gate: Gate) -> None:
    broken = (*CANDIDATE[:2], "--candidate", "test/broken")
    assert "no GPU here" in gate(*broken, "--cutoff", "function_name=0.5", code=3)


def test_a_server_that_is_away_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(
        app, ["gate", *CANDIDATE, "--cutoff", "function_name=0.5", "--url", "http://127.0.0.1:9"]
    )
    assert (done.exit_code, "no Flywheel server answers" in done.stderr) == (3, True)


def test_a_run_that_takes_too_long_is_exit_code_3(world: World) -> None:
    with served(world) as idle:
        told = Gate(idle)(*CANDIDATE, "--cutoff", "function_name=0.5", "--timeout", "0", code=3)
    assert "has not ended in 0 s" in told


@pytest.mark.parametrize("text", ["a=nan", "a=inf", "a=", "=", "a"])
def test_a_cutoff_that_nothing_can_reach_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"write function_name=0\.9"):
        Cutoff.read(text)


def test_a_score_without_an_interval_meets_no_bound() -> None:
    scores: dict[str, Any] = {"f1": Measured(1.0), "none": Measured(None)}
    assert Cutoff.read("f1=1").met(Cutoff.read("f1=1").seen(scores))
    for text in ("f1.low=0", "none=0"):
        assert not Cutoff.read(text).met(Cutoff.read(text).seen(scores))
