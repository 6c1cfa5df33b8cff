"""`--html`: a run and scored answers as a file; what goes wrong on the way is said."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.answers import call, row
from flywheel.cli import app
from flywheel.errors import UserError
from reports.documents import run_document

LISTED = ("id", "workload_id", "client_id", "status")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = run_document(tmp_path_factory.mktemp("run"))
    found: dict[str, Any] = json.loads(json.dumps(made, default=str))
    return found


@pytest.fixture
def url(document: dict[str, Any]) -> Iterator[str]:
    """A server that has one run."""
    answers = {
        f"/api/jobs/{document['id']}": document,
        "/api/jobs": {"jobs": [{key: document[key] for key in LISTED}], "total": 1},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path.partition("?")[0]]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_a_run_is_written_as_html_and_as_json(tmp_path: Path, url: str, document: dict[str, Any]) -> None:
    page, plain = tmp_path / "run.html", tmp_path / "run.json"
    done = run("runs", "report", document["id"][-6:], "--html", page, "--json", plain, "--url", url)
    assert done.exit_code == 0, done.output
    assert document["decision"]["verdict"] in page.read_text("utf-8")
    assert json.loads(plain.read_text("utf-8")) == document


def test_the_newest_run_is_reported_where_none_is_named(tmp_path: Path, url: str) -> None:
    assert run("runs", "report", "--html", tmp_path / "run.html", "--url", url).exit_code == 0
    assert (tmp_path / "run.html").exists()


def test_a_report_that_goes_nowhere_is_refused() -> None:
    done = run("runs", "report")
    assert isinstance(done.exception, UserError)
    assert "--html FILE" in str(done.exception)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, url: str) -> None:
    done = run("runs", "report", "--html", tmp_path / "no" / "run.html", "--url", url)
    assert isinstance(done.exception, UserError)
    assert "run.html: cannot be written: No such file or directory" in str(done.exception)


def files(tmp_path: Path) -> tuple[Path, Path]:
    right = call("book", {"city": "Paris"})
    references, answers = tmp_path / "references.jsonl", tmp_path / "answers.jsonl"
    references.write_text(json.dumps({**row(right), "id": "r1"}) + "\n", "utf-8")
    answers.write_text(json.dumps({"id": "r1", "message": {"tool_calls": [right]}}) + "\n", "utf-8")
    return answers, references


def test_scored_answers_are_written_as_html(tmp_path: Path) -> None:
    done = run("evaluate", *files(tmp_path), "--html", tmp_path / "out.html")
    assert done.exit_code == 0, done.output
    assert "answers.jsonl" in (tmp_path / "out.html").read_text("utf-8")


def test_scoring_cases_have_no_page(tmp_path: Path) -> None:
    done = run("evaluate", "--cases", tmp_path / "cases", "--html", tmp_path / "out.html")
    assert isinstance(done.exception, UserError)
    assert "--cases has --json" in str(done.exception)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("flywheel.reports")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("flywheel.reports", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("evaluate", *files(tmp_path), "--html", tmp_path / "out.html")
    assert isinstance(done.exception, UserError)
    assert "pip install 'flywheel[report]'" in str(done.exception)
