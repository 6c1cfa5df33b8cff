"""What a person gets wrong on the command line: one clear message each, nothing lost, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def flywheel(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flywheel", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "400", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def failed(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = flywheel("serve", "--port", str(port), cwd=tmp_path)
    failed(result, f"port {port} on 127.0.0.1 is in use", "--port 0")


def test_a_typo_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("trainig_config: {epochs: 3}", "utf-8")
    failed(
        flywheel("serve", "--config", "mine.yaml", "--port", "0", cwd=tmp_path),
        'did you mean "training_config"?',
    )


def test_a_role_that_does_not_exist(tmp_path: Path) -> None:
    failed(flywheel("serve", "--roles", "orchestrator,evalutor", cwd=tmp_path), "there is no role evalutor")


def test_a_data_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    failed(flywheel("serve", "--data", "file/inside", "--port", "0", cwd=tmp_path), "--data file/inside")


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    failed(
        flywheel("runs", "list", "--url", url, cwd=tmp_path),
        f"no Flywheel server answers at {url}",
        "flywheel serve",
    )


def test_help_names_every_noun(tmp_path: Path) -> None:
    result = flywheel("--help", cwd=tmp_path)
    assert result.returncode == 0
    for noun in ("demo", "serve", "records", "runs", "doctor"):
        assert noun in result.stdout


def test_a_wrong_option_is_a_usage_error(tmp_path: Path) -> None:
    assert flywheel("runs", "list", "--limt", "3", cwd=tmp_path).returncode == 2
