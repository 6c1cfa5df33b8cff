"""`GET /api/health?thorough=true`: what the doctor would find, told by a running server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from flywheel.app import Flywheel, create_app
from flywheel.checkup import attempt, backends, machine
from flywheel.cli.doctor import examine
from flywheel.config import LlmJudgeConfig, NmpConfig, Settings, TelemetryConfig
from flywheel.hidden import hide
from flywheel.opening import Addresses
from flywheel.telemetry.health import Finding, Readiness
from run_world import nim, settings

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Makes the API of a server with these settings changed."""
    opened: list[Flywheel] = []

    def make(roles: frozenset[str] = frozenset({"orchestrator"}), **changes: Any) -> TestClient:
        own = Addresses("http://api.test", "http://nemo.test", "http://models.test")
        using = settings(nim("flywheel/student")).model_copy(update=changes)
        opened.append(create_app(using, roles, data_dir=tmp_path, addresses=own))
        return TestClient(opened[-1].api, raise_server_exceptions=False)

    yield make
    for each in opened:
        each.stop()


def findings(http: TestClient) -> dict[str, dict[str, Any]]:
    answer = http.get("/api/health", params={"thorough": "true"})
    assert answer.status_code == 200, answer.text
    return {each["check"]: each for each in answer.json()["findings"]}


def test_a_thorough_look_finds_what_the_doctor_finds(serving, tmp_path):
    http = serving()
    found = findings(http)
    (tmp_path / "config.yaml").write_text(
        json.dumps({"nims": [{"model_name": "flywheel/student", "context_length": 2048}]}), "utf-8"
    )
    told = {each.check: each for each in examine(tmp_path, tmp_path / "config.yaml")}
    assert set(told) - set(found) == {"server"}
    assert set(found) <= set(told)
    for check in ("python", "data folder", "records", "runs", "candidate flywheel/student", "judge"):
        assert (found[check]["ok"], found[check]["blocks"]) == (True, True)
    assert set(found["records"]) == {"check", "ok", "seen", "mend", "blocks"}


def test_without_being_asked_nobody_is_looked_at(serving):
    answer = serving().get("/api/health").json()
    assert set(answer) == {"version", "parts"}


def test_a_store_that_breaks_is_found_while_the_server_runs(serving, tmp_path):
    http = serving()
    (tmp_path / "records.sqlite").write_bytes(b"this is no database" * 100)
    found = findings(http)
    assert "is not a usable store of records" in found["records"]["seen"]
    assert (found["records"]["ok"], found["runs"]["ok"]) == (False, True)
    assert found["records"]["mend"] == "correct the block records, or mend what it names"


def test_what_is_away_is_named_with_the_way_to_mend_it(serving):
    found = findings(
        serving(
            nmp_config=NmpConfig(nemo_base_url=NOWHERE, nim_base_url=NOWHERE),
            llm_judge_config=LlmJudgeConfig(model_name="j", url=f"{NOWHERE}/v1", api_key_env="NOT_SET_HERE"),
            telemetry=TelemetryConfig(otlp_endpoint=NOWHERE),
        )
    )
    assert "no answer" in found["nemo_base_url"]["seen"]
    assert "nim_base_url" not in found  # The same address, asked once.
    assert "NOT_SET_HERE is not set" in found["judge j"]["seen"]
    assert "llm_judge_config" in found["judge j"]["mend"]
    assert (found["telemetry"]["ok"], found["telemetry"]["blocks"]) == (False, False)


def test_a_process_without_stores_looks_at_its_machine(serving):
    found = findings(serving(roles=frozenset({"datastore"})))
    assert {"python", "data folder"} <= set(found)
    assert "records" not in found


def test_checks_of_a_server_run_side_by_side_and_end_in_time(tmp_path):
    go_on, together = threading.Event(), threading.Barrier(2, timeout=20)

    def waiting(name: str) -> Callable[[], list[Finding]]:
        def check() -> list[Finding]:
            together.wait()  # Nobody comes here alone.
            return [Finding(name, True, "there")]

        return check

    def hanging() -> list[Finding]:
        go_on.wait(20)
        return []

    checks = backends(Settings(), tmp_path, records=waiting("records"), runs=waiting("runs"))
    readiness = Readiness({**checks, "slow": hanging}, timeout_s=2.0, keep_s=0, tell=False)
    began = time.monotonic()
    found = {each.check: each for each in readiness.findings()}
    assert time.monotonic() - began < 15
    assert (found["records"].ok, found["runs"].ok) == (True, True)
    assert "no answer in 2 s" in found["slow"].seen
    go_on.set()
    readiness.close()


def test_no_finding_holds_a_secret_that_somebody_repeats(tmp_path):
    hide("correct-horse-battery")

    def repeats() -> list[Finding]:
        raise ValueError("you sent correct-horse-battery")

    def shows() -> list[Finding]:
        return [Finding("records", True, "correct-horse-battery is fine", "send correct-horse-battery")]

    told = [*attempt("x", repeats), *attempt("y", shows)]
    assert "correct-horse-battery" not in repr(told)
    assert [each.ok for each in told] == [False, True]
    checks = backends(Settings(), tmp_path, records=repeats, runs=shows)
    assert "correct-horse-battery" not in repr([list(check()) for check in checks.values()])


def test_a_full_disk_is_advice_or_a_fault_and_a_folder_that_is_none_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("no folder", "utf-8")
    (folder, *_) = machine(tmp_path / "file")["data folder"]()
    assert not folder.ok
    assert machine(tmp_path)["data folder"]()[0].ok
