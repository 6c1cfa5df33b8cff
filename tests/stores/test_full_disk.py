"""A disk that takes no more: one clear error, nothing lost, and on it goes when there is space again.

SQLite is told the size beyond which a file must not grow; it fails then as it does on a full disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from flywheel.cli.importing import import_files
from flywheel.errors import StorageFull
from flywheel.orchestrator.workflow import advance
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.runs.embedded import EmbeddedRunStore
from flywheel.stores.sqlite import Database
from run_world import make_records, make_world
from traffic import tracking


def fill(store: EmbeddedRunStore) -> None:
    with store._db.read() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")


def repeat(act: Callable[[], object]) -> None:
    """Until the last free bytes inside the file are used up."""
    for _ in range(50):
        act()


def free(store: EmbeddedRunStore) -> None:
    with store._db.read() as db:
        db.execute("PRAGMA max_page_count = 1000000")


def test_a_run_that_cannot_be_stored_is_not_lost_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    world = make_world(tmp_path, make_records(tmp_path))
    run_id = world.start()
    store = world.context.runs
    assert isinstance(store, EmbeddedRunStore)
    fill(store)
    with pytest.raises(StorageFull, match="the state of a run was not stored; free some space"):
        repeat(lambda: advance(run_id, world.context))
    with pytest.raises(StorageFull):
        repeat(world.start)
    stuck = world.run(run_id)
    assert stuck.step != "finished"
    free(store)
    assert world.finish(run_id).status == "completed"
    assert world.nemo.open_jobs == []
    world.close()


def test_a_store_that_cannot_even_be_made_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection = real(*args, **kwargs)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 1")
        return connection  # type: ignore[no-any-return]

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StorageFull, match=r"runs\.sqlite was not stored"):
        Database(tmp_path / "runs.sqlite", "CREATE TABLE a (b); CREATE TABLE c (d);")


def test_an_import_says_how_far_it_came_and_completes_when_it_is_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with log.open("wb") as file:
        for number in range(6_000):
            each = tracking(number)
            wire = {
                "timestamp": each.timestamp,
                "workload_id": each.workload_id,
                "client_id": each.client_id,
                "request": each.request,
                "response": each.response,
            }
            file.write(msgspec.json.encode(wire) + b"\n")
    small = EmbeddedLogStore(tmp_path / "records.sqlite", max_bytes=2_000_000)
    with pytest.raises(StorageFull, match=r"everything after the first \d,000 records was not stored"):
        import_files([log], small)
    kept = small.count()
    assert 0 < kept < 6_000
    again = import_files([log], EmbeddedLogStore(tmp_path / "records.sqlite"))
    assert (again.duplicates, again.new) == (kept, 6_000 - kept)
