"""Records in one SQLite file: the store of the embedded size.

Not on `flywheel.stores.sqlite`, which has one connection behind a lock: here a query streams for seconds
while an import or the gateway writes. So every operation opens its own connection (0.1 ms), and write-ahead
logging lets readers see the state in which they began. A commit survives `kill -9`; a power cut may take the
last moments of it, which importing again repairs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Unpack

from flywheel.errors import StorageFull
from flywheel.models import Record, Workload, conversation_in
from flywheel.stores.logs.errors import LogStoreBusy, LogStoreDamaged, LogStoreTooNew
from flywheel.stores.logs.protocol import DAY, Added, Filter, TimeBucket, WorkloadSummary
from flywheel.telemetry.health import Finding

FILE_NAME = "records.sqlite"
"""The file's name in a data folder."""

_APPLICATION_ID = 0x464C5957  # "FLYW", in the file's header: SQLite files of others are left alone.
_SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    workload_id TEXT NOT NULL,
    timestamp REAL NOT NULL,
    request BLOB NOT NULL,
    response BLOB NOT NULL,
    metadata BLOB NOT NULL
) STRICT;
CREATE INDEX records_workload ON records (client_id, workload_id, timestamp);
CREATE INDEX records_time ON records (timestamp);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""
_COLUMNS = "timestamp, workload_id, client_id, request, response, metadata"
_INSERT = (
    "INSERT INTO records (key, client_id, workload_id, timestamp, request, response, metadata)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
)
_BATCH = 1_000  # Records per transaction.


class EmbeddedLogStore:
    """A LogStore on the SQLite file at `path`, which is made where there is none.

    Raises LogStoreDamaged, LogStoreTooNew, LogStoreBusy (after waiting `timeout` seconds for another process)
    and StorageFull, also where the file would grow beyond `max_bytes`. Safe to use from any thread.
    """

    def __init__(self, path: Path, *, timeout: float = 30.0, max_bytes: int | None = None) -> None:
        self.path = path
        self._timeout = timeout
        self._max_bytes = max_bytes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogStoreDamaged(str(path), error.strerror or str(error)) from error
        with self._connection() as db:
            if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                self._create(db)
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise LogStoreTooNew(str(path), version, _SCHEMA_VERSION)

    def add(self, records: Iterable[Record]) -> Added:
        new = total = 0
        source = iter(records)
        with self._connection() as db:
            while batch := list(islice(source, _BATCH)):
                before = db.total_changes
                rows = [
                    (
                        record.key,
                        record.client_id,
                        record.workload_id,
                        record.timestamp,
                        record.request_json,
                        record.response_json,
                        record.metadata_json,
                    )
                    for record in batch
                ]
                try:
                    db.execute("BEGIN IMMEDIATE")
                    db.executemany(_INSERT, rows)
                    db.execute("COMMIT")
                except sqlite3.Error as error:
                    if _class(error) == sqlite3.SQLITE_FULL:
                        raise StorageFull(f"everything after the first {total:,} records") from error
                    raise
                new += db.total_changes - before
                total += len(batch)
        return Added(new=new, duplicates=total - new)

    def query(
        self,
        workload: Workload | None = None,
        *,
        newest_first: bool = True,
        limit: int | None = None,
        **where: Unpack[Filter],
    ) -> Iterator[Record]:
        wanted, values = _where(workload, where)
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT {_COLUMNS} FROM records WHERE {wanted} ORDER BY timestamp {order}, seq {order} LIMIT ?"  # noqa: S608
        with self._connection() as db:
            for row in db.execute(sql, [*values, -1 if limit is None else limit]):
                yield Record(*row)

    def count(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int:
        wanted, values = _where(workload, where)
        with self._connection() as db:
            return int(db.execute(f"SELECT COUNT(*) FROM records WHERE {wanted}", values).fetchone()[0])  # noqa: S608

    def workloads(self) -> list[WorkloadSummary]:
        with self._connection() as db:
            rows = db.execute(
                "SELECT client_id, workload_id, COUNT(*), MIN(timestamp), MAX(timestamp)"
                " FROM records GROUP BY client_id, workload_id ORDER BY client_id, workload_id"
            ).fetchall()
        return [WorkloadSummary(Workload(client, name), *numbers) for client, name, *numbers in rows]

    def histogram(
        self,
        workload: Workload | None = None,
        *,
        interval_s: int = DAY,
        **where: Unpack[Filter],
    ) -> list[TimeBucket]:
        wanted, values = _where(workload, where)
        number = f"CAST(timestamp / {float(interval_s)} AS INTEGER)"
        sql = f"SELECT {number}, COUNT(*) FROM records WHERE {wanted} GROUP BY 1 ORDER BY 1"  # noqa: S608
        with self._connection() as db:
            rows = db.execute(sql, values).fetchall()
        return [TimeBucket(float(number * interval_s), count) for number, count in rows]

    def delete(
        self,
        workload: Workload | None = None,
        **where: Unpack[Filter],
    ) -> int:
        wanted, values = _where(workload, where)
        with self._connection() as db:
            db.execute("PRAGMA secure_delete = ON")  # Customers' words are overwritten, not just unlinked.
            gone = db.execute(f"DELETE FROM records WHERE {wanted}", values).rowcount  # noqa: S608
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def check(self, *, thorough: bool = False) -> list[Finding]:
        with self._connection() as db:
            db.execute("SELECT 1 FROM records LIMIT 1").fetchone()
        return [Finding("records", True, f"SQLite, {self.path}")]

    def close(self) -> None:
        """Nothing stays open between calls; here because other stores have something to close."""

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        made = (
            db.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID
        )  # By another process, now.
        if not made:
            if db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]:
                raise LogStoreDamaged(str(self.path), "it is an SQLite file of another program")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own; what SQLite cannot do is translated, what was begun is undone."""
        try:
            with closing(
                sqlite3.connect(
                    self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False
                )
            ) as db:
                db.execute("PRAGMA synchronous = NORMAL")
                db.create_function("conversation_in", 1, conversation_in, deterministic=True)
                if self._max_bytes is not None:
                    (page,) = db.execute("PRAGMA page_size").fetchone()
                    db.execute(f"PRAGMA max_page_count = {self._max_bytes // page}")
                yield db
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> Exception:
        match _class(error):
            case sqlite3.SQLITE_FULL:
                return StorageFull("the change")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return LogStoreBusy(str(self.path), self._timeout)
            case _:
                return LogStoreDamaged(str(self.path), str(error))


def _class(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # The low byte; the others hold the details.


def _where(workload: Workload | None, where: Filter) -> tuple[str, list[str | float]]:
    conditions: dict[str, str | float | None] = {
        "client_id = ?": workload.client_id if workload else where.get("client_id"),
        "workload_id = ?": workload.workload_id if workload else None,
        "timestamp >= ?": where.get("since"),
        "timestamp < ?": where.get("until"),
        "conversation_in(metadata) = ?": where.get("conversation_id"),
    }
    used = {sql: value for sql, value in conditions.items() if value is not None}
    return " AND ".join(used) or "1", list(used.values())
