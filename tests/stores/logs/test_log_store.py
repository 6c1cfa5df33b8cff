"""What every store of records does, and what is special about the SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flywheel.errors import StorageFull
from flywheel.models import Record, Workload
from flywheel.stores.logs import (
    Added,
    EmbeddedLogStore,
    LogStore,
    LogStoreBusy,
    LogStoreDamaged,
    LogStoreTooNew,
)
from traffic import SHOP, answer, record, tracking

OTHER = Workload("shop", "returns")


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    return EmbeddedLogStore(tmp_path / "new" / "records.sqlite")


def test_what_goes_in_comes_out(store: LogStore) -> None:
    put = record("hällo", answer("Hi"), at=1_700_000_000.25, conversation="c1")
    store.add([put])
    (got,) = store.query()
    assert got == put
    assert got.request["messages"][0]["content"] == "hällo"
    assert got.metadata == {"conversation_id": "c1"}


def test_adding_twice_adds_nothing(store: LogStore) -> None:
    log = [tracking(number) for number in range(5)]
    assert store.add(log) == Added(new=5, duplicates=0)
    assert store.add([*log, tracking(9)]) == Added(new=1, duplicates=5)
    assert store.count() == 6


def test_the_same_call_in_another_notation_is_the_same_call(store: LogStore) -> None:
    one = record(answered={"id": "x", "choices": []}, at=1_700_000_000)
    reordered = Record(
        1_700_000_000.4,
        "support",
        "shop",
        b'{ "tools": %s, "messages": [{"content": "hello", "role": "user"}], "model": "teacher" }'
        % one.request_json.split(b'"tools":')[1][:-1],
        b'{"choices": [], "id": "x"}',
        b'{"note": "from the other system"}',
    )
    assert store.add([one, reordered]) == Added(new=1, duplicates=1)


def test_the_same_words_at_another_time_are_another_call(store: LogStore) -> None:
    assert store.add([record(at=1_700_000_000), record(at=1_700_000_001)]).new == 2


def test_newest_first_and_the_other_way(store: LogStore) -> None:
    store.add(tracking(number) for number in (3, 1, 2))
    assert [r.name for r in store.query()] == ["chat-3", "chat-2", "chat-1"]
    assert [r.name for r in store.query(newest_first=False)] == ["chat-1", "chat-2", "chat-3"]
    assert [r.name for r in store.query(limit=1)] == ["chat-3"]


def test_filters(store: LogStore) -> None:
    store.add([tracking(1, at=100.0), tracking(2, at=200.0), record(at=300.0, workload=OTHER)])
    store.add([record(at=300.0, workload=Workload("elsewhere", "support"))])
    assert store.count(SHOP) == 2
    assert store.count(client_id="shop") == 3
    assert [r.name for r in store.query(SHOP, since=100.0, until=200.0)] == ["chat-1"]
    assert [(str(s.workload), s.count, s.first, s.last) for s in store.workloads()] == [
        ("elsewhere/support", 1, 300.0, 300.0),
        ("shop/returns", 1, 300.0, 300.0),
        ("shop/support", 2, 100.0, 200.0),
    ]


def test_delete_is_for_good_and_only_what_was_said(store: LogStore) -> None:
    store.add([tracking(1, at=100.0), tracking(2, at=200.0), record(workload=OTHER)])
    assert store.delete(SHOP, until=200.0) == 1
    assert [r.name for r in store.query(SHOP)] == ["chat-2"]
    assert store.delete() == 2
    assert store.workloads() == []


def test_a_query_sees_the_moment_it_began(store: LogStore) -> None:
    store.add(tracking(number) for number in range(3))
    found = store.query(newest_first=False)
    first = next(found)
    store.add([tracking(9)])
    assert [first.name, *(r.name for r in found)] == ["chat-0", "chat-1", "chat-2"]


def test_an_abandoned_query_holds_nothing(store: LogStore) -> None:
    store.add(tracking(number) for number in range(3))
    found = store.query()
    next(found)
    del found
    assert store.delete() == 3


def test_records_are_taken_as_a_stream(store: LogStore) -> None:
    taken = 0

    def endless() -> Iterator[Record]:
        nonlocal taken
        for number in range(2_500):
            taken += 1
            yield tracking(number)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.add(endless())
    assert store.count() == 2_000  # Two whole batches; the open one is undone.
    assert store.add(tracking(number) for number in range(2_500)) == Added(new=500, duplicates=2_000)


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
