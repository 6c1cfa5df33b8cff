"""Runs in one SQLite file: the store of the embedded size.

The document is kept as JSON beside the few columns that are searched. Write-ahead logging makes a commit
survive `kill -9`; a lease whose process is gone from this machine is free at once, so that a restart does
not wait for it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flywheel.errors import StorageFull
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import IdempotencyKeyReused, RunNotFound, RunStoreDamaged, StaleRun
from flywheel.stores.runs.protocol import RunPage, RunQuery

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    workload_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    status TEXT NOT NULL,
    step TEXT NOT NULL,
    demand INTEGER NOT NULL,
    body TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    fingerprint TEXT NOT NULL DEFAULT '',
    lease_owner TEXT,
    lease_until REAL,
    lease_process TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS runs_open ON runs (seq, demand) WHERE step <> 'finished';
CREATE INDEX IF NOT EXISTS runs_workload ON runs (workload_id, client_id, seq);
"""


class EmbeddedRunStore:
    """A RunStore on the SQLite file at `path`; its folder must exist."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._process = _process_name(os.getpid())
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
        except BaseException:
            self._db.close()
            raise

    def create(self, run: Run, *, key: str | None = None, fingerprint: str = "") -> Run:
        with self._transaction():
            if key is not None:
                row = self._row("SELECT body, fingerprint FROM runs WHERE idempotency_key = ?", key)
                if row and row[1] != fingerprint:
                    raise IdempotencyKeyReused(key)
                if row:
                    return Run.model_validate_json(row[0])
            self._db.execute(
                "INSERT INTO runs (id, revision, workload_id, client_id, status, step, demand, body,"
                " idempotency_key, fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run.id,
                    run.revision,
                    run.workload_id,
                    run.client_id,
                    run.status,
                    run.step,
                    run.demand,
                    run.model_dump_json(),
                    key,
                    fingerprint,
                ),
            )
        return run

    def load(self, run_id: str) -> Run:
        row = self._row("SELECT body FROM runs WHERE id = ?", run_id)
        if row is None:
            raise RunNotFound(run_id)
        return Run.model_validate_json(row[0])

    def apply(self, run: Run, change: Run, *, owner: str | None = None) -> Run:
        stored = change.but(revision=run.revision + 1)
        with self._transaction():
            cursor = self._db.execute(
                "UPDATE runs SET revision = ?, status = ?, step = ?, demand = ?, body = ?"
                " WHERE id = ? AND revision = ? AND (? IS NULL OR lease_owner = ?)",
                (
                    stored.revision,
                    stored.status,
                    stored.step,
                    stored.demand,
                    stored.model_dump_json(),
                    run.id,
                    run.revision,
                    owner,
                    owner,
                ),
            )
            if cursor.rowcount == 0:
                if self._row("SELECT 1 FROM runs WHERE id = ?", run.id) is None:
                    raise RunNotFound(run.id)
                raise StaleRun(run.id, run.revision)
        return stored

    def delete(self, run_id: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def list(self, query: RunQuery = RunQuery()) -> RunPage:  # noqa: B008 - a frozen value
        wanted = {
            "workload_id": query.workload_id,
            "client_id": query.client_id,
            "status": query.status,
        }
        names = [name for name, value in wanted.items() if value is not None]
        values = [wanted[name] for name in names]
        where = " AND ".join(f"{name} = ?" for name in names) or "1"
        limit = -1 if query.limit is None else query.limit
        with self._reading():
            (total,) = self._db.execute(f"SELECT COUNT(*) FROM runs WHERE {where}", values).fetchone()  # noqa: S608 - three fixed names
            rows = self._db.execute(
                f"SELECT body FROM runs WHERE {where} ORDER BY seq DESC LIMIT ? OFFSET ?",  # noqa: S608 - as above
                [*values, limit, query.offset],
            ).fetchall()
        return RunPage(runs=tuple(Run.model_validate_json(body) for (body,) in rows), total=total)

    def unfinished(self) -> tuple[str, ...]:
        with self._reading():
            rows = self._db.execute("SELECT id FROM runs WHERE step <> 'finished' ORDER BY seq").fetchall()
        return tuple(run_id for (run_id,) in rows)

    def ahead(self, run_id: str) -> int:
        row = self._row(
            "SELECT COALESCE(SUM(demand), 0) FROM runs WHERE step <> 'finished'"
            " AND seq < (SELECT seq FROM runs WHERE id = ?)",
            run_id,
        )
        return int(row[0]) if row else 0

    def lease(self, run_id: str, owner: str, seconds: float) -> float:
        now = self._clock().timestamp()
        with self._transaction():
            row = self._row("SELECT lease_owner, lease_until, lease_process FROM runs WHERE id = ?", run_id)
            if row is None:
                raise RunNotFound(run_id)
            holder, until, process = row
            if holder not in (None, owner) and until > now and self._alive(process):
                return float(until - now)
            self._db.execute(
                "UPDATE runs SET lease_owner = ?, lease_until = ?, lease_process = ? WHERE id = ?",
                (owner, now + seconds, self._process, run_id),
            )
        return 0.0

    def renew(self, run_id: str, owner: str, seconds: float) -> bool:
        with self._transaction():
            cursor = self._db.execute(
                "UPDATE runs SET lease_until = ? WHERE id = ? AND lease_owner = ?",
                (self._clock().timestamp() + seconds, run_id, owner),
            )
        return cursor.rowcount == 1

    def release(self, run_id: str, owner: str) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET lease_owner = NULL, lease_until = NULL, lease_process = NULL"
                " WHERE id = ? AND lease_owner = ?",
                (run_id, owner),
            )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _alive(self, process: str | None) -> bool:
        if process is None or process == self._process:
            return True
        pid = int(process.split("@")[0])
        return _process_name(pid) == process

    def _row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        with self._reading():
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
            return row

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, self._translated():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                raise StorageFull(f"the state of a run in {self._path.name}") from error
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise RunStoreDamaged(str(self._path), str(error)) from error
            raise


def _process_name(pid: int) -> str:
    """The process with this id, told apart from others that had or will have the same id."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return f"{pid}@gone"
