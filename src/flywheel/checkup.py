"""A thorough look at an installation: the machine, the configuration, and every server that it names.

One list of checks for `flywheel doctor`, which makes them in turn, and for a running server
(`GET /api/health?thorough=true`), which makes them side by side. Nothing here changes anything, nothing waits
longer than a few seconds for a server that does not answer, and no finding holds a secret: the doors' errors
do not, and what others say is masked.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import httpx

from flywheel.config import CeleryWakeups, KubernetesRuntimeConfig, LlmJudgeConfig, NimConfig, Settings
from flywheel.errors import FlywheelError
from flywheel.hidden import scrub
from flywheel.hub import where_from
from flywheel.orchestrator.judge import answering
from flywheel.runtime.gpus import VARIABLE, usable_gpus
from flywheel.telemetry.health import Check, Finding
from flywheel.vitals import folder_check, service_check

COMFORTABLE_BYTES = 2 * 1024**3
"""A student of a few million parameters needs far less; a first hub model needs about this."""


def attempt(
    check: str, look: Callable[[], Iterable[Finding]], mend: str = "see the message"
) -> list[Finding]:
    """What `look` finds, without any secret; what it raises is a finding too."""
    try:
        found = list(look())
    except (httpx.HTTPError, FlywheelError, ValueError, KeyError) as error:
        found = [Finding(check, False, str(error) or type(error).__name__, mend)]
    return [replace(each, seen=scrub(each.seen), mend=scrub(each.mend)) for each in found]


def machine(data: Path) -> dict[str, Check]:
    """Checks of what is installed here, and of the data folder."""
    return {"installation": _installation, "gpu": _gpus, "data folder": lambda: _folder(data)}


def backends(
    settings: Settings,
    data: Path,
    *,
    records: Check,
    runs: Check,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Check]:
    """Checks of everything that the configuration names; `records` and `runs` look at the two stores.

    None of them raises anything.
    """
    found: dict[str, Check] = {
        "configuration": lambda: [_configuration(settings)],
        "records": lambda: attempt("records", records, "correct the block records, or mend what it names"),
        "runs": lambda: attempt("runs", runs, "correct the block runs, or mend what it names"),
    }
    if isinstance(wakeups := settings.wakeups, CeleryWakeups):
        found["redis"] = lambda: attempt("redis", lambda: _wakeups(wakeups), "correct the block wakeups")
    if isinstance(runtime := settings.runtime, KubernetesRuntimeConfig):
        found["cluster"] = lambda: attempt("cluster", lambda: _cluster(runtime), "correct the block runtime")
    for nim in settings.nims:
        found[f"candidate {nim.model_name}"] = lambda nim=nim: _candidate(nim, data)  # type: ignore[misc]
    found["judge"] = lambda: _judge(settings.llm_judge_config, environment)
    for name, url in _elsewhere(settings).items():
        found[name] = lambda name=name, url=url: attempt(name, service_check(name, url))  # type: ignore[misc]
    if collector := settings.telemetry.otlp_endpoint:
        found["telemetry"] = lambda: _telemetry(collector)
    return found


def _installation() -> list[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    known, wanted = sqlite3.sqlite_version, (3, 35)
    mend = "use a Python with SQLite 3.35 or later"
    found = [
        Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later"),
        Finding("sqlite", sqlite3.sqlite_version_info >= wanted, known, mend),
    ]
    for package in ("torch", "transformers", "peft", "safetensors"):
        there = importlib.util.find_spec(package) is not None
        seen = metadata.version(package) if there else "not installed"
        found.append(Finding(package, there, seen, "pip install 'flywheel[train]'"))
    return found


def _gpus() -> list[Finding]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [Finding("gpu", True, "none: trains and serves on the CPU")]
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        return [Finding("gpu", False, f"nvidia-smi fails: {error}", "mend the driver, or train on the CPU")]
    lines, usable = listed.splitlines(), usable_gpus(None)
    if len(usable) < len(lines):
        shown = f"{len(usable)} of {len(lines)}, by {VARIABLE}={os.environ.get(VARIABLE, '')}"
        return [Finding("gpu", True, shown)]
    return [Finding("gpu", True, f"{len(lines)} ({lines[0]})" if lines else "none")]


def _folder(data: Path) -> list[Finding]:
    found = list(folder_check(data)())
    at = next(parent for parent in [data.absolute(), *data.absolute().parents] if parent.exists())
    free = shutil.disk_usage(at).free
    if all(each.ok for each in found) and free < COMFORTABLE_BYTES:
        seen = f"{free / 1e9:.1f} GB free: enough for the demo's student, not for a model of the hub"
        mend = "free some disk space, or choose another --data"
        found.append(Finding("disk", False, seen, mend, blocks=False))
    return found


def _configuration(settings: Settings) -> Finding:
    names = ", ".join(nim.model_name for nim in settings.nims)
    return Finding("configuration", True, f"candidates: {names or 'none'}")


def _wakeups(config: CeleryWakeups) -> Iterable[Finding]:
    try:
        from flywheel.orchestrator.broker import examine  # noqa: PLC0415 - optional
    except ImportError:
        return [Finding("redis", False, "no client is installed", "pip install 'flywheel[servers]'")]
    return examine(config)


def _cluster(config: KubernetesRuntimeConfig) -> Iterable[Finding]:
    try:
        from flywheel.runtime.kubernetes.checks import examine  # noqa: PLC0415 - optional, and slow
    except ImportError:
        return [Finding("cluster", False, "no client is installed", "pip install 'flywheel[servers]'")]
    return examine(config)


def _candidate(nim: NimConfig, data: Path) -> list[Finding]:
    """Whether the files of the model can be had."""
    check = f"candidate {nim.model_name}"
    if nim.engine != "local":
        return [Finding(check, True, f"served by {nim.engine}")]
    name, cache = nim.model_path or nim.model_name, data / "models"
    return attempt(check, lambda: [Finding(check, True, where_from(name, cache_dir=cache))])


def _judge(config: LlmJudgeConfig | None, environment: Mapping[str, str]) -> list[Finding]:
    """Whether the judge answers one short question."""
    if config is not None and config.deployed:
        return [Finding("judge", True, f"{config.model_name}, which each run deploys for itself")]
    if config is None or not config.url:
        seen = "none configured: the embedded text-matcher scores tool_calling_correctness"
        return [Finding("judge", True, seen)]
    check, url = f"judge {config.model_name}", config.url
    return attempt(
        check,
        lambda: [Finding(check, True, f"{answering(config, url, environment).model_name} answers")],
        "check llm_judge_config: url, model_name, api_key_env",
    )


def _elsewhere(settings: Settings) -> dict[str, str]:
    """The addresses of NeMo services that run elsewhere, each once, by the setting that names it."""
    nmp = settings.nmp_config
    addresses = {
        name: url
        for name in reversed(type(nmp).model_fields)
        if name.endswith("_base_url") and (url := getattr(nmp, name))
    }
    first = {url: name for name, url in addresses.items()}
    return {name: url for url, name in reversed(first.items())}


def _telemetry(url: str) -> list[Finding]:
    """Whether the collector takes an empty batch of spans."""

    def send() -> list[Finding]:
        headers = {"content-type": "application/x-protobuf"}
        answer = httpx.post(f"{url}/v1/traces", content=b"", headers=headers, timeout=5)
        # One that wants credentials gets them from the exporter, which reads them from the environment.
        fine = answer.is_success or answer.status_code in (401, 403)
        return [
            Finding("telemetry", fine, f"{url} answers {answer.status_code}", "check telemetry.otlp_endpoint")
        ]

    found = attempt("telemetry", send, "check telemetry.otlp_endpoint, or set it to null")
    return [replace(each, blocks=False) for each in found]
