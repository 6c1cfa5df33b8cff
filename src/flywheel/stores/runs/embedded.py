"""Runs in one SQLite file: the store of the embedded size.

The document is kept as JSON beside the few columns that are searched. Write-ahead logging makes a commit
survive `kill -9`; a lease whose process is gone from this machine is free at once, so that a restart does
not wait for it.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import IdempotencyKeyReused, RunNotFound, RunStoreDamaged, StaleRun
from flywheel.stores.runs.protocol import RunPage, RunQuery
from flywheel.stores.sqlite import Database
from flywheel.telemetry.health import Finding

_WHAT = "the state of a run"
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
    cancels INTEGER NOT NULL DEFAULT 0,
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
    """A RunStore on the SQLite file at `path`."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._process = _process_name(os.getpid())
        try:
            self._db = Database(path, _SCHEMA)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise RunStoreDamaged(str(path), str(error)) from error
            raise

    def create(self, run: Run, *, key: str | None = None, fingerprint: str = "") -> Run:
        with self._db.write(_WHAT) as db:
            if key is not None:
                row = self._row("SELECT body, fingerprint FROM runs WHERE idempotency_key = ?", key)
                if row and row[1] != fingerprint:
                    raise IdempotencyKeyReused(key)
                if row:
                    return Run.model_validate_json(row[0])
            db.execute(
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
        with self._db.write(_WHAT) as db:
            cursor = db.execute(
                "UPDATE runs SET revision = ?, status = ?, step = ?, demand = ?, cancels = ?, body = ?"
                " WHERE id = ? AND revision = ? AND (? IS NULL OR lease_owner = ?)",
                (
                    stored.revision,
                    stored.status,
                    stored.step,
                    stored.demand,
                    stored.cancel_requested,
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
        with self._db.write(_WHAT) as db:
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))

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
        with self._db.read() as db:
            (total,) = db.execute(f"SELECT COUNT(*) FROM runs WHERE {where}", values).fetchone()  # noqa: S608 - three fixed names
            rows = db.execute(
                f"SELECT body FROM runs WHERE {where} ORDER BY seq DESC LIMIT ? OFFSET ?",  # noqa: S608 - as above
                [*values, limit, query.offset],
            ).fetchall()
        return RunPage(runs=tuple(Run.model_validate_json(body) for (body,) in rows), total=total)

    def unfinished(self, slots: int) -> tuple[str, ...]:
        return tuple(run_id for run_id, *_ in self._unfinished(slots))

    def neglected(self, slots: int, grace: float) -> tuple[str, ...]:
        now = self._clock().timestamp()
        return tuple(
            run_id
            for run_id, status, owner, until, process in self._unfinished(slots)
            if (
                not (until > now and self._alive(process))
                if owner is not None
                else status == "pending" or until is None or until < now - grace
            )
        )

    def ahead(self, run_id: str) -> int:
        row = self._row(
            "SELECT COALESCE(SUM(demand), 0) FROM runs WHERE step <> 'finished'"
            " AND seq < (SELECT seq FROM runs WHERE id = ?)",
            run_id,
        )
        return int(row[0]) if row else 0

    def lease(self, run_id: str, owner: str, seconds: float) -> float:
        now = self._clock().timestamp()
        with self._db.write(_WHAT) as db:
            row = self._row("SELECT lease_owner, lease_until, lease_process FROM runs WHERE id = ?", run_id)
            if row is None:
                raise RunNotFound(run_id)
            holder, until, process = row
            if holder not in (None, owner) and until > now and self._alive(process):
                return float(until - now)
            db.execute(
                "UPDATE runs SET lease_owner = ?, lease_until = ?, lease_process = ? WHERE id = ?",
                (owner, now + seconds, self._process, run_id),
            )
        return 0.0

    def renew(self, run_id: str, owner: str, seconds: float) -> bool:
        with self._db.write(_WHAT) as db:
            cursor = db.execute(
                "UPDATE runs SET lease_until = ? WHERE id = ? AND lease_owner = ?",
                (self._clock().timestamp() + seconds, run_id, owner),
            )
        return cursor.rowcount == 1

    def release(self, run_id: str, owner: str, again: float | None = None) -> None:
        until = None if again is None else self._clock().timestamp() + again
        with self._db.write(_WHAT) as db:
            db.execute(
                "UPDATE runs SET lease_owner = NULL, lease_until = ?, lease_process = NULL"
                " WHERE id = ? AND lease_owner = ?",
                (until, run_id, owner),
            )

    def rest(self, run_id: str) -> float:
        columns = "step, status, lease_owner, lease_until, lease_process"
        row = self._row(f"SELECT {columns} FROM runs WHERE id = ?", run_id)  # noqa: S608 - fixed names
        if row is None or row[0] == "finished":
            return math.inf
        _, status, owner, until, process = row
        if until is None or not self._alive(process) or (owner is None and status == "pending"):
            return 0.0
        return max(0.0, float(until - self._clock().timestamp()))

    def check(self, *, thorough: bool = False) -> Sequence[Finding]:
        self._row("SELECT 1 FROM runs LIMIT 1")
        return [Finding("runs", True, f"SQLite, {self._db.path}")]

    def close(self) -> None:
        self._db.close()

    def _unfinished(self, slots: int) -> Sequence[tuple[Any, ...]]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT id, status, lease_owner, lease_until, lease_process FROM"
                " (SELECT *, SUM(demand) OVER (ORDER BY seq) - demand AS ahead FROM runs"
                " WHERE step <> 'finished') WHERE status <> 'pending' OR cancels OR ahead < ? ORDER BY seq",
                (slots,),
            ).fetchall()
        return [tuple(row) for row in rows]

    def _alive(self, process: str | None) -> bool:
        if process is None or process == self._process:
            return True
        pid = int(process.split("@")[0])
        return _process_name(pid) == process

    def _row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        with self._db.read() as db:
            row = db.execute(sql, values).fetchone()
            return tuple(row) if row else None


def _process_name(pid: int) -> str:
    """The process with this id, told apart from others that had or will have the same id."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return f"{pid}@gone"
