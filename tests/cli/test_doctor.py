"""`flywheel doctor`: each fault is found, named, and comes with the way to mend it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.hub import where_from
from flywheel.stores.logs import EmbeddedLogStore
from run_world import tool_record

NOWHERE = "http://127.0.0.1:9"


class Doctor:
    """Examines a folder under a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"

    def __call__(self, config: str, *, code: int, **environment: str) -> dict[str, dict[str, Any]]:
        (self.folder / "config.yaml").write_text(config, "utf-8")
        command = ["doctor", "--data", str(self.data), "--config", str(self.folder / "config.yaml"), "--json"]
        result = CliRunner(env=environment).invoke(app, command, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return {finding["check"]: finding for finding in json.loads(result.stdout)}


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


@contextmanager
def answering(status: int, body: str = "{}") -> Iterator[str]:
    """A server that says the same to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_fresh_folder_is_well_and_stays_untouched(doctor: Doctor) -> None:
    found = doctor("nims: []", code=0)
    assert all(finding["ok"] for finding in found.values() if finding["blocks"])
    assert "none in" in found["records"]["seen"]
    assert not doctor.data.exists()


def test_stores_that_are_there_are_looked_into(doctor: Doctor) -> None:
    EmbeddedLogStore(doctor.data / "records.sqlite").add([tool_record(1)])
    assert doctor("nims: []", code=0)["records"]["ok"]
    (doctor.data / "records.sqlite").write_bytes(b"no database at all" * 100)
    (doctor.data / "runs.sqlite").write_bytes(b"no database at all" * 100)
    found = doctor("nims: []", code=1)
    assert "is not a usable store of records" in found["records"]["seen"]
    assert "is not a usable store of runs" in found["runs"]["seen"]
    assert found["runs"]["mend"]


def test_a_wrong_configuration_is_one_finding_and_the_others_are_made(doctor: Doctor) -> None:
    found = doctor("nimz: []", code=1)
    assert 'did you mean "nims"' in found["configuration"]["seen"]
    assert found["python"]["ok"]


def test_services_elsewhere_are_asked_once_each(doctor: Doctor) -> None:
    with answering(200) as there, answering(503) as broken:
        found = doctor(
            f"nmp_config: {{nemo_base_url: '{there}', datastore_base_url: '{there}', "
            f"evaluator_base_url: '{broken}', nim_base_url: '{NOWHERE}'}}",
            code=1,
        )
    assert found["nemo_base_url"]["ok"]
    assert "datastore_base_url" not in found
    assert "503" in found["evaluator_base_url"]["seen"]
    assert "no answer (ConnectError" in found["nim_base_url"]["seen"]
    assert "nmp_config" in found["nim_base_url"]["mend"]


def test_a_judge_that_refuses_is_named_and_its_key_is_not(doctor: Doctor) -> None:
    key = "sk-judge-0123456789"
    with answering(401, json.dumps({"error": f"bad key {key}"})) as url:
        config = f"llm_judge_config: {{model_name: j, url: '{url}/v1/chat/completions', api_key_env: JUDGE}}"
        found = doctor(config, code=1, JUDGE=key)
    assert "401" in found["judge j"]["seen"]
    assert "api_key_env" in found["judge j"]["mend"]
    assert key not in json.dumps(found)


def test_a_collector_that_is_away_is_advice(doctor: Doctor) -> None:
    found = doctor(f"telemetry: {{otlp_endpoint: '{NOWHERE}'}}", code=0)
    assert (found["telemetry"]["ok"], found["telemetry"]["blocks"]) == (False, False)
    with answering(200) as url:
        assert doctor(f"telemetry: {{otlp_endpoint: '{url}'}}", code=0)["telemetry"]["ok"]


def test_a_server_that_recorded_its_address_is_asked_whether_it_is_ready(doctor: Doctor) -> None:
    doctor.data.mkdir()
    away = {"check": "runs", "ok": False, "seen": "the store of runs does not answer", "mend": ""}
    unready = {"status": "not ready", "not_ready": [away]}
    with answering(503, json.dumps(unready)) as url:
        (doctor.data / "serve.json").write_text(json.dumps({"api": url}))
        found = doctor("nims: []", code=1)
    assert "runs: the store of runs does not answer" in found["server"]["seen"]
    found = doctor("nims: []", code=1)  # The server is gone now; what it recorded is still there.
    assert "start it again" in found["server"]["mend"]


def test_a_model_of_the_hub_is_looked_for_and_not_fetched(tmp_path: Path) -> None:
    with answering(200, json.dumps({"id": "org/base", "siblings": []})) as url:
        assert (
            where_from("org/base", cache_dir=tmp_path, endpoint=url) == f"fetched from {url} at its first use"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_is_not_set_is_named_by_its_variable(doctor: Doctor) -> None:
    config = "llm_judge_config: {model_name: j, url: 'http://127.0.0.1:9/v1', api_key_env: NOT_SET_ANYWHERE}"
    assert "NOT_SET_ANYWHERE" in doctor(config, code=1)["judge j"]["seen"]
