"""/health/live, /health/ready and /metrics, on the applications as `flywheel serve` makes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from counted import counted
from flywheel.app import Flywheel, create_app
from flywheel.config import NmpConfig
from flywheel.errors import UserError
from flywheel.opening import Addresses
from flywheel.telemetry import metrics
from flywheel.telemetry.health import Finding, Readiness
from flywheel.telemetry.metrics import DESCRIBED
from flywheel.vitals import answering, service_check
from flywheel.web import make_app
from run_world import WORKLOAD, make_records, make_world, settings, tool_record

NOWHERE = "http://127.0.0.1:9"
"""The port that nobody listens on."""


@pytest.fixture
def flywheel(tmp_path: Path) -> Iterator[Flywheel]:
    made = create_app(
        settings(),
        frozenset({"orchestrator", "datastore"}),
        data_dir=tmp_path,
        addresses=Addresses("http://api.test", "http://nemo.test", "http://models.test"),
    )
    yield made
    made.stop()


def test_each_address_is_ready_when_the_process_has_started_and_not_before(flywheel: Flywheel) -> None:
    clients = [TestClient(app) for app in (flywheel.api, flywheel.nemo, flywheel.models)]
    for http in clients:
        assert http.get("/health/live").json()["status"] == "live"
        assert http.get("/health/ready").status_code == 503
    flywheel.start()
    for http in clients:
        answer = http.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        assert answer.json()["not_ready"] == []
        assert {"records", "runs", "data folder"} <= {each["check"] for each in answer.json()["checks"]}


def test_a_store_that_breaks_is_named_with_the_way_to_mend_it(flywheel: Flywheel, tmp_path: Path) -> None:
    flywheel.start()
    checks = {part.name: part.check for part in flywheel.parts if part.check}
    flywheel.readiness = Readiness(checks, keep_s=0)
    http = TestClient(flywheel.api)
    assert http.get("/health/ready").status_code == 200
    (tmp_path / "records.sqlite").write_bytes(b"this is no database" * 100)
    answer = http.get("/health/ready")
    assert answer.status_code == 503
    (wrong,) = answer.json()["not_ready"]
    assert wrong["check"] == "records"
    assert "records.sqlite is not a usable store" in wrong["seen"]


def test_a_service_in_another_process_that_is_away_is_shown_and_turns_nobody_away(tmp_path: Path) -> None:
    using = settings()
    using = using.model_copy(update={"nmp_config": NmpConfig(evaluator_base_url=NOWHERE)})
    own = Addresses("http://api.test", "http://nemo.test", "http://models.test")
    made = create_app(using, frozenset({"orchestrator"}), data_dir=tmp_path, addresses=own)
    made.start()
    try:
        answer = TestClient(made.api).get("/health/ready")
    finally:
        made.stop()
    assert (answer.status_code, answer.json()["not_ready"]) == (200, [])
    (away,) = [check for check in answer.json()["checks"] if not check["ok"]]
    assert away["check"] == "evaluator elsewhere"
    assert NOWHERE in away["seen"]


@pytest.mark.parametrize(("status", "ok"), [(200, True), (404, True), (500, False), (503, False)])
def test_a_service_answers_when_it_says_anything_but_that_it_is_broken(status: int, ok: bool) -> None:
    there = httpx.MockTransport(lambda request: httpx.Response(status))
    (finding,) = service_check("evaluator", "http://evaluator.test", there)()
    assert finding.ok is ok


def test_requests_are_counted_by_the_template_of_their_route(flywheel: Flywheel) -> None:
    http = TestClient(flywheel.api)
    labels = {"app": "Flywheel", "method": "GET", "route": "/api/jobs/{job_id}", "status": "404"}
    before = counted("flywheel_http_requests_total", **labels)
    for digit in "abc":
        assert http.get(f"/api/jobs/{digit * 24}").status_code == 404
    assert counted("flywheel_http_requests_total", **labels) == before + 3
    http.get("/no/such/path")
    http.request("BREW", "/no/such/path")
    page = http.get("/metrics").text
    assert 'route="unmatched"' in page
    assert "BREW" not in page
    assert not re.search("a{24}|/no/such", page)


def test_a_handler_that_breaks_counts_as_500_and_a_stream_passes_chunk_by_chunk() -> None:
    routes = APIRouter()

    @routes.get("/breaks")
    def breaks() -> None:
        raise RuntimeError

    @routes.get("/streams")
    def streams() -> StreamingResponse:
        return StreamingResponse(iter([b"one", b"two"]))

    http = TestClient(make_app("observed", "problem", [routes]), raise_server_exceptions=False)
    assert http.get("/breaks").status_code == 500
    with http.stream("GET", "/streams") as answer:
        assert answer.read() == b"onetwo"
    labels = {"app": "observed", "method": "GET"}
    assert counted("flywheel_http_requests_total", **labels, route="/breaks", status="500") == 1
    assert counted("flywheel_http_request_duration_seconds_count", **labels, route="/streams") == 1


def test_a_run_counts_where_it_ends_and_open_ones_are_read_from_the_store(
    flywheel: Flywheel, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "world", make_records(tmp_path / "world"))
    ended = counted("flywheel_runs_finished_total", status="completed")
    passes = counted("flywheel_run_step_duration_seconds_count", step="curate")
    run = world.finish(world.start())
    world.close()
    assert run.status == "completed"
    assert counted("flywheel_runs_finished_total", status="completed") == ended + 1
    assert counted("flywheel_run_step_duration_seconds_count", step="curate") > passes
    page = metrics.page().decode()
    assert run.id not in page
    assert WORKLOAD.client_id not in page

    flywheel.records.add([tool_record(number) for number in range(25)])
    http = TestClient(flywheel.api)
    body = {"workload_id": WORKLOAD.workload_id, "client_id": WORKLOAD.client_id}
    assert http.post("/api/jobs", json=body).status_code == 200
    page = http.get("/metrics").text
    assert 'flywheel_runs{status="pending"} 1.0' in page
    assert "flywheel_records 25.0" in page


def test_every_metric_follows_the_conventions_and_is_on_the_page(flywheel: Flywheel) -> None:
    page = TestClient(flywheel.api).get("/metrics").text
    for metric in DESCRIBED:
        assert metric.name.startswith("flywheel_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "histogram") == metric.name.endswith("_seconds")
        assert f"# HELP {metric.name}" in page or f"# HELP {metric.name.removesuffix('_total')}" in page
        assert not {"run_id", "job", "client_id", "workload_id"} & set(metric.labels)


def test_a_process_that_serves_nothing_else_answers_on_a_port_of_its_own() -> None:
    def away() -> list[Finding]:
        return [Finding("runs", False, "no answer", "start MongoDB")]

    with answering("127.0.0.1", 0, {"runs": away}) as url:
        assert httpx.get(f"{url}/health/live", timeout=20).json()["status"] == "live"
        unready = httpx.get(f"{url}/health/ready", timeout=20)
        assert (unready.status_code, unready.json()["not_ready"][0]["mend"]) == (503, "start MongoDB")
        assert "flywheel_run_step_duration_seconds" in httpx.get(f"{url}/metrics", timeout=20).text
        port = int(url.rpartition(":")[2])
        with pytest.raises(UserError, match=f"port {port}"), answering("127.0.0.1", port, {}):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health/live", timeout=5)
