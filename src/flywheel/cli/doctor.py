"""`flywheel doctor`: what is there, what is missing, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated

import httpx
import typer

from flywheel.cli.backends import attempt, candidates, judge, servers, services, telemetry
from flywheel.cli.client import AsJson, DataDir, recorded_address
from flywheel.cli.console import out, print_json, table
from flywheel.config import Settings, load_settings
from flywheel.errors import FlywheelError
from flywheel.runtime.gpus import VARIABLE, usable_gpus
from flywheel.telemetry.health import Finding
from flywheel.vitals import folder_check

COMFORTABLE_BYTES = 2 * 1024**3
"""A student of a few million parameters needs far less; a first hub model needs about this."""


def doctor(
    data: DataDir = Path(".flywheel"),
    config: Annotated[Path | None, typer.Option("--config", help="Configuration file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the installation, the configuration and every server in it; exit code 1 if anything is wrong.

    What is not quite right, but does not stop the work, is shown as ADVICE.
    """
    findings = list(examine(data, config))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.check, _word(finding), _text(finding)) for finding in findings]
        out.print(table(["check", "", "seen"], rows, right=9))
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def examine(data: Path, config: Path | None) -> Iterator[Finding]:
    """Every check in turn; a later one does not depend on an earlier one."""
    yield from _installation()
    yield _gpus()
    yield from _folder(data)
    default = Path("config/config.yaml")
    settings: Settings | None = None
    try:
        settings = load_settings(config or (default if default.is_file() else None))
    except FlywheelError as error:
        yield Finding("configuration", False, str(error), "correct the file")
    if settings:
        names = ", ".join(nim.model_name for nim in settings.nims)
        yield Finding("configuration", True, f"candidates: {names or 'none'}")
        yield from servers(settings, data)
        yield from candidates(settings, data)
        yield judge(settings)
        yield from services(settings)
        yield from telemetry(settings)
    yield _running(data)


def _word(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    return "WRONG" if finding.blocks else "ADVICE"


def _text(finding: Finding) -> str:
    return finding.seen if finding.ok or not finding.mend else f"{finding.seen} → {finding.mend}"


def _installation() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")
    known, wanted = sqlite3.sqlite_version, (3, 35)
    mend = "use a Python with SQLite 3.35 or later"
    yield Finding("sqlite", sqlite3.sqlite_version_info >= wanted, known, mend)
    for package in ("torch", "transformers", "peft", "safetensors"):
        found = importlib.util.find_spec(package) is not None
        seen = metadata.version(package) if found else "not installed"
        yield Finding(package, found, seen, "pip install 'flywheel[train]'")


def _gpus() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("gpu", True, "none: trains and serves on the CPU")
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("gpu", False, f"nvidia-smi fails: {error}", "mend the driver, or train on the CPU")
    lines, usable = listed.splitlines(), usable_gpus(None)
    if len(usable) < len(lines):
        shown = f"{len(usable)} of {len(lines)}, by {VARIABLE}={os.environ.get(VARIABLE, '')}"
        return Finding("gpu", True, shown)
    return Finding("gpu", True, f"{len(lines)} ({lines[0]})" if lines else "none")


def _folder(data: Path) -> Iterator[Finding]:
    yield from (found := folder_check(data)())
    at = next(parent for parent in [data.absolute(), *data.absolute().parents] if parent.exists())
    free = shutil.disk_usage(at).free
    if all(each.ok for each in found) and free < COMFORTABLE_BYTES:
        seen = f"{free / 1e9:.1f} GB free: enough for the demo's student, not for a model of the hub"
        yield Finding("disk", False, seen, "free some disk space, or choose another --data", blocks=False)


def _running(data: Path) -> Finding:
    """The server that recorded its address in the folder."""
    address = recorded_address(data)
    if address is None:
        return Finding("server", True, f"none runs in {data}")

    def ask() -> Finding:
        answer = httpx.get(f"{address}/health/ready", timeout=10)
        wrong = [f"{each['check']}: {each['seen']}" for each in answer.json()["not_ready"]]
        seen = f"{address}: {'; '.join(wrong) or 'ready'}"
        return Finding("server", not wrong, seen, "see what it names, or its log")

    return attempt(
        "server", ask, "it recorded its address and does not answer: start it again with flywheel serve"
    )
