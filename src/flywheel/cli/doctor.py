"""`flywheel doctor`: what is there, what is missing, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flywheel.checkup import attempt, backends, machine
from flywheel.cli.client import AsJson, DataDir
from flywheel.cli.console import out, print_json, table
from flywheel.client import Client
from flywheel.client.finding import recorded_address
from flywheel.config import Settings, load_settings
from flywheel.errors import FlywheelError
from flywheel.opening import open_records, open_runs
from flywheel.stores.logs.embedded import FILE_NAME as RECORDS_FILE
from flywheel.telemetry.health import Check, Finding


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
    for check in machine(data).values():
        yield from check()
    default = Path("config/config.yaml")
    settings: Settings | None = None
    try:
        settings = load_settings(config or (default if default.is_file() else None))
    except FlywheelError as error:
        yield Finding("configuration", False, str(error), "correct the file")
    if settings:
        records, runs = _records(settings, data), _runs(settings, data)
        for check in backends(settings, data, records=records, runs=runs).values():
            yield from check()
    yield from _running(data)


def _records(settings: Settings, data: Path) -> Check:
    def check() -> Sequence[Finding]:
        if settings.records.type == "embedded" and not (data / RECORDS_FILE).exists():
            return [Finding("records", True, f"none in {data} yet")]
        with closing(open_records(settings, data)) as store:
            return store.check(thorough=True)

    return check


def _runs(settings: Settings, data: Path) -> Check:
    def check() -> Sequence[Finding]:
        if settings.runs.type == "embedded" and not (data / "runs.sqlite").exists():
            return [Finding("runs", True, f"none in {data} yet")]
        with closing(open_runs(settings, data)) as store:
            return store.check(thorough=True)

    return check


def _word(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    return "WRONG" if finding.blocks else "ADVICE"


def _text(finding: Finding) -> str:
    return finding.seen if finding.ok or not finding.mend else f"{finding.seen} → {finding.mend}"


def _running(data: Path) -> list[Finding]:
    """The server that recorded its address in the folder."""
    address = recorded_address(data)
    if address is None:
        return [Finding("server", True, f"none runs in {data}")]

    def ask() -> list[Finding]:
        with Client(address, timeout=10, retries=0) as client:
            found = client.health.ready()
        wrong = [f"{each.check}: {each.seen}" for each in found.not_ready]
        seen = f"{address}: {'; '.join(wrong) or 'ready'}"
        return [Finding("server", not wrong, seen, "see what it names, or its log")]

    return attempt(
        "server", ask, "it recorded its address and does not answer: start it again with flywheel serve"
    )
