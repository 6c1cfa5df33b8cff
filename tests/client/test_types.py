"""What type checkers see: one definition, and yet each client has its own types."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

PROGRAM = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from flywheel.client import Async, AsyncClient, Client, Run, RunSummary, Sync
from flywheel.client.documents import Health, Losses, Sample


def blocking(client: Client) -> None:
    run: Run = client.runs.get("x")
    assert_type(run.wait(timeout=3.0, progress=True), Run[Sync])
    assert_type(run.losses(), list[Losses])
    assert_type(run.samples("base-eval"), Iterator[Sample])
    assert_type(client.runs.list(limit=3), Iterator[RunSummary[Sync]])
    assert_type(client.health.get(), Health)
    client.runs.get(7)


async def awaited(client: AsyncClient) -> None:
    run = await client.runs.get("x")
    assert_type(run, Run[Async])
    assert_type(await run.refresh(), Run[Async])
    assert_type(run.samples("base-eval"), AsyncIterator[Sample])
    async for each in client.runs.list():
        assert_type(each, RunSummary[Async])
    assert_type(await client.health.get(), Health)
    run.wait(timeout="soon")
"""


@pytest.mark.slow
def test_both_clients_are_typed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    told, problems, _ = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(program)])
    assert problems == ""
    errors = [line for line in told.splitlines() if ": error:" in line]
    assert [line.partition(": error: ")[2] for line in errors] == [
        'Argument 1 has incompatible type "int"; expected "str"  [arg-type]',
        'Argument "timeout" has incompatible type "str"; expected "float | None"  [arg-type]',
    ], told
