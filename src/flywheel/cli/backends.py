"""What `flywheel doctor` finds out about the servers that the configuration names, each at its own door.

Nothing here changes anything, nothing waits longer than a few seconds for a server that does not answer, and
no finding holds a secret: the doors' errors do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx

from flywheel.app import open_records, open_runs
from flywheel.config import CeleryWakeups, KubernetesRuntimeConfig, NimConfig, Settings
from flywheel.errors import FlywheelError
from flywheel.hub import where_from
from flywheel.orchestrator.judge import probed
from flywheel.stores.logs.embedded import FILE_NAME as RECORDS_FILE
from flywheel.telemetry.health import Finding
from flywheel.vitals import service_check


def attempt(check: str, look: Callable[[], Finding], mend: str = "see the message") -> Finding:
    """What `look` finds; what it raises is a finding too."""
    try:
        return look()
    except (httpx.HTTPError, FlywheelError, ValueError, KeyError) as error:
        return Finding(check, False, str(error) or type(error).__name__, mend)


def servers(settings: Settings, data: Path) -> Iterator[Finding]:
    """Stores, wake-ups and runtime."""
    yield from _records(settings, data)
    yield from _runs(settings, data)
    if isinstance(settings.wakeups, CeleryWakeups):
        yield from _wakeups(settings.wakeups)
    if isinstance(settings.runtime, KubernetesRuntimeConfig):
        yield from _cluster(settings.runtime)


def _records(settings: Settings, data: Path) -> Iterator[Finding]:
    if settings.records.type == "embedded" and not (data / RECORDS_FILE).exists():
        yield Finding("records", True, f"none in {data} yet")
        return
    try:
        with closing(open_records(settings, data)) as store:
            yield from store.check(thorough=True)
    except FlywheelError as error:
        yield Finding("records", False, str(error), "correct the block records, or mend what it names")


def _runs(settings: Settings, data: Path) -> Iterator[Finding]:
    if settings.runs.type == "embedded" and not (data / "runs.sqlite").exists():
        yield Finding("runs", True, f"none in {data} yet")
        return
    try:
        with closing(open_runs(settings, data)) as store:
            yield from store.check(thorough=True)
    except FlywheelError as error:
        yield Finding("runs", False, str(error), "correct the block runs, or mend what it names")


def _wakeups(config: CeleryWakeups) -> Iterator[Finding]:
    try:
        from flywheel.orchestrator.broker import examine  # noqa: PLC0415 - optional
    except ImportError:
        yield Finding("redis", False, "no client is installed", "pip install 'flywheel[servers]'")
        return
    try:
        yield from examine(config)
    except FlywheelError as error:
        yield Finding("redis", False, str(error), "correct the block wakeups")


def _cluster(config: KubernetesRuntimeConfig) -> Iterator[Finding]:
    try:
        from flywheel.runtime.kubernetes.checks import examine  # noqa: PLC0415 - optional, and slow
    except ImportError:
        yield Finding("cluster", False, "no client is installed", "pip install 'flywheel[servers]'")
        return
    try:
        yield from examine(config)
    except FlywheelError as error:
        yield Finding("cluster", False, str(error), "correct the block runtime")


def candidates(settings: Settings, data: Path) -> Iterator[Finding]:
    """Whether the files of each model can be had."""
    for nim in settings.nims:
        check = f"candidate {nim.model_name}"
        if nim.engine != "local":
            yield Finding(check, True, f"served by {nim.engine}")
        else:
            yield attempt(check, lambda nim=nim, check=check: _model(check, nim, data))  # type: ignore[misc]


def _model(check: str, nim: NimConfig, data: Path) -> Finding:
    return Finding(check, True, where_from(nim.model_path or nim.model_name, cache_dir=data / "models"))


def judge(settings: Settings) -> Finding:
    """Whether the judge answers one short question."""
    config = settings.llm_judge_config
    if config is None or not config.url:
        return Finding(
            "judge", True, "none configured: the embedded text-matcher scores tool_calling_correctness"
        )

    def ask() -> Finding:
        return Finding(f"judge {config.model_name}", True, f"{probed(config, os.environ).model_name} answers")

    return attempt(f"judge {config.model_name}", ask, "check llm_judge_config: url, model_name, api_key_env")


def services(settings: Settings) -> Iterator[Finding]:
    """The NeMo services that run elsewhere."""
    nmp = settings.nmp_config
    seen: set[str] = set()
    for name in type(nmp).model_fields:
        url = getattr(nmp, name)
        if name.endswith("_base_url") and url and url not in seen:
            seen.add(url)
            yield from service_check(name, url)()


def telemetry(settings: Settings) -> Iterator[Finding]:
    """Whether the collector takes an empty batch of spans."""
    url = settings.telemetry.otlp_endpoint
    if url is None:
        return

    def send() -> Finding:
        headers = {"content-type": "application/x-protobuf"}
        answer = httpx.post(f"{url}/v1/traces", content=b"", headers=headers, timeout=5)
        # One that wants credentials gets them from the exporter, which reads them from the environment.
        fine = answer.is_success or answer.status_code in (401, 403)
        seen = f"{url} answers {answer.status_code}"
        return Finding("telemetry", fine, seen, "check telemetry.otlp_endpoint", blocks=False)

    found = attempt("telemetry", send, "check telemetry.otlp_endpoint, or set it to null")
    yield Finding(found.check, found.ok, found.seen, found.mend, blocks=False)
