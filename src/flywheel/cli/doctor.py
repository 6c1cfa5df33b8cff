"""`flywheel doctor`: what is there, what is missing, and how to mend it."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

import httpx
import typer

from flywheel.cli.client import AsJson, DataDir, recorded_address
from flywheel.cli.console import out, print_json, table
from flywheel.config import Settings, load_settings
from flywheel.errors import FlywheelError
from flywheel.hub import DEMO_STUDENT, resolve_model

FREE_BYTES_WANTED = 2 * 1024**3
"""A student of a few million parameters needs far less; a first hub model needs about this."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is well, what was seen, and how to mend it if not."""

    check: str
    ok: bool
    seen: str
    mend: str = ""


def doctor(
    data: DataDir = Path(".flywheel"),
    config: Annotated[Path | None, typer.Option("--config", help="Configuration file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the installation, the configuration and a running server; exit code 1 if anything is wrong."""
    findings = list(examine(data, config))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [
            (f.check, "ok" if f.ok else "WRONG", f.seen if f.ok else f"{f.seen} → {f.mend}") for f in findings
        ]
        out.print(table(["check", "", "seen"], rows, right=9))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def examine(data: Path, config: Path | None) -> Iterator[Finding]:
    """Every check in turn; a later one does not depend on an earlier one."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")
    yield Finding(
        "sqlite",
        sqlite3.sqlite_version_info >= (3, 35),
        sqlite3.sqlite_version,
        "use a Python with SQLite 3.35 or later",
    )
    for package in ("torch", "transformers", "peft", "safetensors"):
        found = importlib.util.find_spec(package) is not None
        seen = metadata.version(package) if found else "not installed"
        yield Finding(package, found, seen, "pip install 'flywheel[train]'")
    yield _gpus()
    yield _folder(data)
    settings: Settings | None = None
    try:
        settings = load_settings(
            config or (default if (default := Path("config/config.yaml")).is_file() else None)
        )
        names = ", ".join(nim.model_name for nim in settings.nims)
        yield Finding("configuration", True, f"candidates: {names or 'none'}")
    except FlywheelError as error:
        yield Finding("configuration", False, str(error), "correct the file")
    if settings:
        yield from _candidates(settings, data)
        yield from _judge(settings)
        yield from _services(settings)
    yield _server(data)


def _gpus() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("gpu", True, "none: trains and serves on the CPU")
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("gpu", False, f"nvidia-smi fails: {error}", "mend the driver, or train on the CPU")
    return Finding(
        "gpu", True, f"{len(listed.splitlines())} ({listed.splitlines()[0]})" if listed else "none"
    )


def _folder(data: Path) -> Finding:
    at = next(parent for parent in [data.absolute(), *data.absolute().parents] if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=at) as probe:
            probe.write(b"0" * 4096)
    except OSError as error:
        return Finding("data folder", False, f"{data}: {error.strerror}", "choose another with --data")
    free = shutil.disk_usage(at).free
    seen = f"{data}: {free / 1e9:.0f} GB free"
    return Finding(
        "data folder", free > FREE_BYTES_WANTED, seen, "free some disk space, or choose another --data"
    )


def _candidates(settings: Settings, data: Path) -> Iterator[Finding]:
    for nim in settings.nims:
        name = nim.model_path or nim.model_name
        if nim.engine != "local":
            yield Finding(f"candidate {nim.model_name}", True, f"served by {nim.engine}")
        elif name == DEMO_STUDENT or Path(name).exists():
            yield _attempt(f"candidate {nim.model_name}", partial(_resolved, name, data))
        else:
            yield Finding(f"candidate {nim.model_name}", True, "fetched from the hub at its first use")


def _resolved(name: str, cache: Path) -> str:
    return f"found in {resolve_model(name, cache_dir=cache).name}"


def _answer(url: str) -> str:
    return f"{url} answers {httpx.get(url, timeout=10).status_code}"


def _judge(settings: Settings) -> Iterator[Finding]:
    judge = settings.llm_judge_config
    if judge is None or not judge.url:
        yield Finding(
            "judge", True, "none configured: the embedded text-matcher scores tool_calling_correctness"
        )
        return
    url = judge.url

    def probe() -> str:
        key = judge.api_key()
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        body = {"model": judge.model_name, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        answer = httpx.post(url, json=body, headers=headers, timeout=20)
        answer.raise_for_status()
        return f"{judge.model_name} answers"

    yield _attempt(
        f"judge {judge.model_name}", probe, mend="check llm_judge_config: url, model_name, api_key_env"
    )


def _services(settings: Settings) -> Iterator[Finding]:
    nmp = settings.nmp_config
    for name, url in [
        ("nemo_base_url", nmp.nemo_base_url),
        ("datastore_base_url", nmp.datastore_base_url),
        ("nim_base_url", nmp.nim_base_url),
    ]:
        if url:
            yield _attempt(name, partial(_answer, url), mend="start it")


def _server(data: Path) -> Finding:
    address = recorded_address(data)
    if address is None:
        return Finding("server", True, f"none runs in {data}")

    def ask() -> str:
        answer = httpx.get(f"{address}/api/health", timeout=10)
        parts = answer.json()["parts"]
        down = [part["name"] for part in parts if not part["ok"]]
        return f"{address}: {', '.join(down)} DOWN" if down else f"{address}: {len(parts)} parts are well"

    return _attempt(
        "server", ask, mend="it recorded its address and does not answer: start it again with flywheel serve"
    )


def _attempt(check: str, look: Callable[[], str], mend: str = "see the message") -> Finding:
    try:
        return Finding(check, True, look())
    except (httpx.HTTPError, FlywheelError, ValueError, KeyError) as error:
        return Finding(check, False, str(error) or type(error).__name__, mend)
