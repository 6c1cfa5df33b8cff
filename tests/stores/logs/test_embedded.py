"""What is special about records in an SQLite file."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flywheel.errors import StorageFull
from flywheel.stores.logs import EmbeddedLogStore, LogStoreBusy, LogStoreDamaged, LogStoreTooNew
from traffic import tracking


def test_a_second_store_on_the_file_sees_the_records(tmp_path: Path) -> None:
    EmbeddedLogStore(tmp_path / "r").add([tracking(1)])
    assert EmbeddedLogStore(tmp_path / "r").count() == 1


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100, "utf-8")
    with pytest.raises(LogStoreDamaged, match=r"notes\.txt is not a usable store of records"):
        EmbeddedLogStore(path)
    assert path.read_text("utf-8").startswith("not a database")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE records (theirs)")
    db.close()
    with pytest.raises(LogStoreDamaged, match="of another program"):
        EmbeddedLogStore(path)


def test_a_newer_schema_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "r"
    EmbeddedLogStore(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(LogStoreTooNew, match="schema version 7, this Flywheel knows up to 1"):
        EmbeddedLogStore(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogStoreDamaged, match="not a usable store"):
        EmbeddedLogStore(tmp_path / "file" / "r")


def test_a_locked_file_says_so(tmp_path: Path) -> None:
    store = EmbeddedLogStore(tmp_path / "r", timeout=0.05)
    holder = sqlite3.connect(tmp_path / "r", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogStoreBusy, match="locked by another process"):
        store.add([tracking(1)])
    assert store.count() == 0
    holder.execute("ROLLBACK")
    holder.close()
    assert store.add([tracking(1)]).new == 1


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    small = EmbeddedLogStore(tmp_path / "r", max_bytes=1_500_000)
    with pytest.raises(StorageFull, match=r"everything after the first \d,000 records"):
        small.add(tracking(number) for number in range(10_000))
    kept = small.count()
    assert kept >= 1_000
    assert EmbeddedLogStore(tmp_path / "r").add(tracking(n) for n in range(3_000)).duplicates == min(
        kept, 3_000
    )


def test_many_open_a_new_store_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda number: _with_one(tmp_path / "r", number), range(16)))
    assert {store.count() for store in stores} == {16}


def _with_one(path: Path, number: int) -> EmbeddedLogStore:
    store = EmbeddedLogStore(path)
    store.add([tracking(number)])
    return store
