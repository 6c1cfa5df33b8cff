"""Runs at a real MLflow server: what is logged can be read back, twice is once, and none fails a run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from flywheel.app import create_app
from flywheel.config import MlflowConfig, NmpConfig
from flywheel.errors import ConfigError
from flywheel.exports.mlflow import Mlflow
from flywheel.exports.tracked import tracked
from flywheel.nemo.fake import FakeNemo
from flywheel.opening import Addresses, open_worker
from flywheel.orchestrator.losses import in_full
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.wire import detail
from flywheel.web import make_app
from run_world import make_records, make_world, nim, settings

EXPERIMENT = "data-flywheel-support-app/tool_router"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `mlflow server` on SQLite, with its artefacts in a folder of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--serve-artifacts", "--artifacts-destination", str(folder / "artefacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **quiet}, start_new_session=True, cwd=folder
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 240
        while not _answers(url):
            said = (folder / "server.log").read_text(errors="replace")[-3000:]
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class Asked:
    """MLflow's own REST API, asked without its client."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def experiment(self, name: str = EXPERIMENT) -> dict[str, Any] | None:
        answer = self.http.get(
            "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name}
        ).json()
        found: dict[str, Any] | None = answer.get("experiment")
        return found

    def runs(self, run_id: str) -> list[dict[str, Any]]:
        body = {"experiment_ids": [(self.experiment() or {})["experiment_id"]], "max_results": 1000}
        found = self.http.post("/api/2.0/mlflow/runs/search", json=body).json().get("runs", [])
        return [run for run in found if pairs(run, "tags").get("flywheel.run_id") == run_id]

    def history(self, run: dict[str, Any], metric: str) -> list[dict[str, Any]]:
        ask = {"run_id": run["info"]["run_id"], "metric_key": metric}
        answer = self.http.get("/api/2.0/mlflow/metrics/get-history", params=ask).json()
        found: list[dict[str, Any]] = answer.get("metrics", [])
        return found

    def artefact(self, run: dict[str, Any], name: str) -> bytes:
        ask = {"run_uuid": run["info"]["run_id"], "path": name}
        answer = self.http.get("/get-artifact", params=ask)
        answer.raise_for_status()
        return answer.content


def pairs(run: dict[str, Any], kind: str) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in run["data"].get(kind, [])}


@pytest.fixture
def asked(server: str) -> Iterator[Asked]:
    made = Asked(server)
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def world(tmp_path: Path, records: Any) -> Iterator[Any]:
    """Makes a world of two candidates whose tracker is at an address."""
    opened = []

    def make(url: str, nemo: FakeNemo | None = None) -> Any:
        using = settings(nim("test/student"), nim("it's/another")).model_copy(
            update={"mlflow_config": MlflowConfig(enabled=True, tracking_uri=url)}
        )
        here = make_world(tmp_path, records, nemo, using)
        opened.append(here.reborn(tracker=Mlflow(using.mlflow_config)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def document(here: Any, run_id: str) -> dict[str, Any]:
    return detail(here.run(run_id), here.context.services.urls, here.clock())


def test_a_decided_run_is_at_mlflow_with_everything_that_was_measured(world, server, asked):
    here = world(server)
    run_id = here.start()
    run = here.finish(run_id)
    job = document(here, run_id)
    assert "exported to MLflow: " in run.events[-1].message
    assert (run.events[-1].level, run.status) == ("info", "completed")

    logged = {pairs(found, "tags")["flywheel.candidate"]: found for found in asked.runs(run_id)}
    assert set(logged) == {"test/student", "it's/another"}
    for each in job["nims"]:
        found = logged[each["model_name"]]
        pages = {e["mlflow_uri"] for e in each["evaluations"]}
        home = f"{server}/#/experiments/{asked.experiment()['experiment_id']}/runs/"
        assert pages == {home + found["info"]["run_id"]}
        assert found["info"]["status"] == "FINISHED"
        assert 0 < found["info"]["start_time"] < found["info"]["end_time"]

        metrics = pairs(found, "metrics")
        for evaluation in each["evaluations"]:
            for name, score in evaluation["score_details"].items():
                key = f"{evaluation['eval_type']}/{name}"
                interval = score["confidence_interval"]
                told = [metrics[key], metrics[f"{key}.low"], metrics[f"{key}.high"], metrics[f"{key}.n"]]
                assert told == [score["value"], interval["low"], interval["high"], score["n"]]
            assert metrics[f"{evaluation['eval_type']}/latency_ms.p95"] == 20.0
            assert metrics[f"{evaluation['eval_type']}/failures.wrong_value"] == 3

        parameters = pairs(found, "params")
        assert parameters["base_model"] == each["model_name"]
        assert parameters["adapter"] == each["adapter"]
        assert parameters["training.epochs"] == str(job["config"]["training_config"]["epochs"])
        assert parameters["lora.adapter_dim"] == "32"
        hashes = {f"dataset.{d['kind']}.sha256": d["sha256"] for d in job["datasets"]}
        assert hashes == {name: parameters[name] for name in hashes}
        assert len(hashes) == 3

        tags = pairs(found, "tags")
        assert (tags["flywheel.workload_id"], tags["flywheel.client_id"]) == ("tool_router", "support-app")
        assert tags["flywheel.verdict.customized-eval"].startswith("not yet: ")

    chosen = logged[job["decision"]["model_name"]]
    assert pairs(chosen, "tags")["flywheel.verdict"] == job["decision"]["verdict"]
    assert pairs(chosen, "tags")["flywheel.chosen"] == "true"


def test_losses_are_there_by_step(world, server, asked):
    here = world(server)
    run_id = here.start()
    here.finish(run_id)
    told = next(each for each in in_full(here.run(run_id), here.context))
    run = next(r for r in asked.runs(run_id) if pairs(r, "tags")["flywheel.candidate"] == told["model_name"])
    for key in ("train", "val"):
        found = {point["step"]: point["value"] for point in asked.history(run, f"{key}_loss")}
        assert found == {point["step"]: point["value"] for point in told[key]}
        assert len(found) > 2


def test_the_page_the_decision_and_the_curation_report_go_along(world, server, asked):
    here = world(server)
    run_id = here.start()
    here.finish(run_id)
    job = document(here, run_id)
    for run in asked.runs(run_id):
        page = asked.artefact(run, "report.html").decode()
        assert page.startswith("<!doctype html>")
        assert run_id in page
        assert json.loads(asked.artefact(run, "decision.json"))["verdict"] == job["decision"]["verdict"]
        assert json.loads(asked.artefact(run, "curation.json"))["parts"] == job["curation"]["parts"]


def test_a_second_export_doubles_nothing(world, server, asked):
    here = world(server)
    run_id = here.start()
    here.finish(run_id)
    before = asked.runs(run_id)
    http = TestClient(make_app("test", "problem", routers(here.context, lambda _: None)))
    answer = http.post(f"/api/jobs/{run_id}/export", json={"to": "mlflow"})
    assert answer.status_code == 200, answer.text
    after = asked.runs(run_id)
    assert {run["info"]["run_id"] for run in before} == {run["info"]["run_id"] for run in after}
    assert len(after) == 2
    for old, new in zip(before, after, strict=True):
        for kind in ("metrics", "params", "tags"):
            assert pairs(old, kind) == pairs(new, kind)
        for metric in ("train_loss", "customized-eval/function_name.low"):
            assert asked.history(old, metric) == asked.history(new, metric)
        steps = [point["step"] for point in asked.history(new, "train_loss")]
        assert len(steps) == len(set(steps)) == 10


def test_an_export_that_was_cut_off_is_made_whole(world, server, asked):
    here = world(server)
    run_id = here.start()
    here.finish(run_id)
    run = next(iter(asked.runs(run_id)))
    gone = {"run_id": run["info"]["run_id"], "key": "flywheel.verdict.customized-eval"}
    asked.http.post("/api/2.0/mlflow/runs/delete-tag", json=gone).raise_for_status()
    here.context.tracker.log(document(here, run_id), [], {})
    (mended,) = [r for r in asked.runs(run_id) if r["info"]["run_id"] == run["info"]["run_id"]]
    assert "flywheel.verdict.customized-eval" in pairs(mended, "tags")


def test_a_deleted_experiment_comes_back(world, server, asked):
    here = world(server)
    here.finish(here.start())
    known = {"experiment_id": asked.experiment()["experiment_id"]}
    asked.http.post("/api/2.0/mlflow/experiments/delete", json=known).raise_for_status()
    run_id = here.start()
    here.finish(run_id)
    assert asked.experiment()["lifecycle_stage"] == "active"
    assert len(asked.runs(run_id)) == 2


def test_a_candidate_that_failed_is_logged_as_failed(world, server, asked):
    here = world(server, FakeNemo(broken={"it's/another": "no space on the GPU"}))
    run_id = here.start()
    here.finish(run_id)
    status = {pairs(r, "tags")["flywheel.candidate"]: r["info"]["status"] for r in asked.runs(run_id)}
    assert status == {"test/student": "FINISHED", "it's/another": "FAILED"}
    (failed,) = [r for r in asked.runs(run_id) if r["info"]["status"] == "FAILED"]
    assert "no space on the GPU" in pairs(failed, "tags")["flywheel.error"]


def test_a_run_that_came_to_no_decision_is_not_logged(world, server, asked):
    here = world(server, FakeNemo(broken=dict.fromkeys(("test/student", "it's/another"), "broken")))
    run_id = here.start()
    assert here.finish(run_id).status == "failed"
    here.finish(here.start())  # So that there is an experiment, in whatever order the tests run.
    assert asked.runs(run_id) == []


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing answers, of which that is found out soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_away_fails_no_run_and_is_told_later(world, server, asked, nobody):
    here = world(nobody)
    run_id = here.start()
    run = here.finish(run_id)
    assert run.status == "completed"
    assert run.events[-1].level == "warning"
    assert run.events[-1].message.startswith(f"not exported: MLflow at {nobody}: ")
    assert {e["mlflow_uri"] for n in document(here, run_id)["nims"] for e in n["evaluations"]} == {None}

    back = here.reborn(tracker=Mlflow(MlflowConfig(enabled=True, tracking_uri=server)))
    http = TestClient(make_app("test", "problem", routers(back.context, lambda _: None)))
    pages = http.post(f"/api/jobs/{run_id}/export", json={"to": "mlflow"}).json()["pages"]
    assert set(pages) == {"test/student", "it's/another"}
    told = {e["mlflow_uri"] for n in document(here, run_id)["nims"] for e in n["evaluations"]}
    assert told == set(pages.values())
    assert len(asked.runs(run_id)) == 2


def test_sending_to_a_server_that_is_away_is_an_error_with_its_address(world, nobody):
    here = world(nobody)
    run_id = here.start()
    here.finish(run_id)
    http = TestClient(make_app("test", "problem", routers(here.context, lambda _: None)))
    answer = http.post(f"/api/jobs/{run_id}/export", json={"to": "mlflow"})
    assert (answer.status_code, answer.json()["code"]) == (502, "mlflow")
    assert nobody in answer.json()["detail"]


def test_a_run_that_goes_on_cannot_be_sent(world, nobody):
    here = world(nobody)
    run_id = here.start()
    http = TestClient(make_app("test", "problem", routers(here.context, lambda _: None)))
    answer = http.post(f"/api/jobs/{run_id}/export", json={"to": "mlflow"})
    assert answer.status_code == 400
    assert "has not come to a decision" in answer.json()["detail"]


def test_a_tracker_that_breaks_in_a_way_nobody_foresaw_fails_no_run(world, nobody):
    class Broken:
        def log(self, *_: Any) -> dict[str, str]:
            raise ZeroDivisionError("half a client")

    here = world(nobody).reborn(tracker=Broken())
    run = here.finish(here.start())
    assert run.status == "completed"
    assert "not exported: half a client" in run.events[-1].message


def test_telling_the_same_run_twice_says_the_same(world, nobody):
    here = world(nobody)
    run_id = here.start()
    here.finish(run_id)
    first = tracked(document(here, run_id), in_full(here.run(run_id), here.context))
    assert first == tracked(document(here, run_id), in_full(here.run(run_id), here.context))
    assert all(point.at_ms > 1e12 for each in first for point in each.points)


def test_the_password_of_mlflow_is_in_no_text(monkeypatch: pytest.MonkeyPatch, nobody: str):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-and-more")
    Mlflow(MlflowConfig(enabled=True, tracking_uri=nobody))
    assert "hunter2" not in str(ConfigError("refused hunter2-and-more"))


def test_without_the_client_the_server_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    using = settings().model_copy(update={"mlflow_config": MlflowConfig(enabled=True)})
    addresses = Addresses(*(f"http://127.0.0.1:{port}" for port in (1, 2, 3)))
    with pytest.raises(ConfigError, match=r"pip install 'flywheel\[mlflow\]'"):
        create_app(using, frozenset({"orchestrator"}), data_dir=tmp_path, addresses=addresses)


def test_a_worker_logs_where_the_configuration_says(tmp_path: Path):
    where = NmpConfig(nemo_base_url="http://nemo.test", nim_base_url="http://nim.test")
    on, off = MlflowConfig(enabled=True), MlflowConfig()
    for config in (on, off):
        using = settings().model_copy(update={"mlflow_config": config, "nmp_config": where})
        context = open_worker(using, data_dir=tmp_path)
        assert isinstance(context.tracker, Mlflow) == config.enabled
        context.runs.close()
        context.logs.close()
        context.services.close()


@pytest.mark.parametrize("uri", ["mlruns", "sqlite:///x.db", "http://user:secret@mlflow.test"])
def test_an_address_that_is_none_is_refused(uri: str):
    with pytest.raises(ValidationError) as refused:
        MlflowConfig(tracking_uri=uri)
    assert "must start with http" in str(refused.value) or "must not hold a user" in str(refused.value)
