"""Runs in one SQLite file: the store of the embedded size.

The document is kept as JSON beside the few columns that are searched. Write-ahead logging makes a commit
survive `kill -9`; a lease whose process is gone from this machine is free at once, so that a restart does
not wait for it.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flywheel.models import Workload
from flywheel.stores.runs.brief import VERSION, Brief, EvaluationEntry, brief_of, entries_of
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import IdempotencyKeyReused, RunNotFound, RunStoreDamaged, StaleRun
from flywheel.stores.runs.protocol import (
    BriefPage,
    Changes,
    EvaluationPage,
    EvaluationQuery,
    RunHead,
    RunPage,
    RunQuery,
)
from flywheel.stores.runs.standing import Decided, Standing, leading, standing
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
    lease_process TEXT,
    changed INTEGER NOT NULL DEFAULT 0,
    brief TEXT,
    evaluations TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS marks (last INTEGER NOT NULL) STRICT;
INSERT INTO marks SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM marks);
CREATE INDEX IF NOT EXISTS runs_open ON runs (seq, demand) WHERE step <> 'finished';
CREATE INDEX IF NOT EXISTS runs_workload ON runs (workload_id, client_id, seq);
"""
_METRIC, _VALUE = "json_extract(brief, '$.decision.metric')", "json_extract(brief, '$.decision.value')"
_INDEXES = f"""
CREATE INDEX IF NOT EXISTS runs_changed ON runs (changed);
CREATE INDEX IF NOT EXISTS runs_leading ON runs (workload_id, client_id, seq, {_METRIC}, {_VALUE})
    WHERE {_VALUE} IS NOT NULL;
"""
"""Those of added columns."""
_ADDED = {"changed": "INTEGER NOT NULL DEFAULT 0", "brief": "TEXT", "evaluations": "TEXT"}
"""Columns that files of earlier versions lack."""


class EmbeddedRunStore:
    """A RunStore on the SQLite file at `path`."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._process = _process_name(os.getpid())
        try:
            self._db = Database(path, _SCHEMA)
            self._upgrade()
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
                " idempotency_key, fingerprint, brief, evaluations, changed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    *_shown(run),
                    _next_mark(db),
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
                "UPDATE runs SET revision = ?, status = ?, step = ?, demand = ?, cancels = ?, body = ?,"
                " brief = ?, evaluations = ?, changed = ?"
                " WHERE id = ? AND revision = ? AND (? IS NULL OR lease_owner = ?)",
                (
                    stored.revision,
                    stored.status,
                    stored.step,
                    stored.demand,
                    stored.cancel_requested,
                    stored.model_dump_json(),
                    *_shown(stored),
                    _next_mark(db),
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
        bodies, total = self._page("body", query)
        return RunPage(runs=tuple(Run.model_validate_json(body) for body in bodies), total=total)

    def briefs(self, query: RunQuery = RunQuery()) -> BriefPage:  # noqa: B008 - a frozen value
        found, total = self._page("brief", query)
        return BriefPage(runs=tuple(Brief.model_validate_json(brief) for brief in found), total=total)

    def evaluations(self, query: EvaluationQuery = EvaluationQuery()) -> EvaluationPage:  # noqa: B008 - frozen
        wanted = {
            "runs.workload_id": query.workload_id,
            "runs.client_id": query.client_id,
            "json_extract(each.value, '$.model_name')": query.model_name,
            "json_extract(each.value, '$.eval_type')": query.eval_type,
        }
        where, values = _where(wanted)
        source = f"FROM runs, json_each(runs.evaluations) AS each WHERE {where}"
        times = (f"json_extract(each.value, '$.{name}')" for name in ("finished_at", "started_at"))
        at = f"COALESCE({', '.join(times)}, '')"
        with self._db.read() as db:
            (total,) = db.execute(f"SELECT COUNT(*) {source}", values).fetchone()
            rows = db.execute(
                f"SELECT each.value {source} ORDER BY {at} DESC, runs.seq DESC, each.key LIMIT ? OFFSET ?",
                [*values, _limit(query.limit), query.offset],
            ).fetchall()
        return EvaluationPage(
            evaluations=tuple(EvaluationEntry.model_validate_json(value) for (value,) in rows), total=total
        )

    def changed(self, since: str | None) -> Changes:
        with self._db.read() as db:
            (last,) = db.execute("SELECT last FROM marks").fetchone()
            after = int(since) if since and since.isascii() and since.isdecimal() else last
            rows = db.execute(
                "SELECT id, revision FROM runs WHERE changed > ? ORDER BY changed", (min(after, last),)
            ).fetchall()
        return Changes(runs=tuple((run_id, revision) for run_id, revision in rows), mark=str(last))

    def standings(self, workloads: Collection[Workload] | None = None) -> Mapping[Workload, Standing]:
        wanted, names = "1", list[str]()
        if workloads is not None:
            wanted = f"(workload_id, client_id) IN (VALUES {', '.join(['(?, ?)'] * len(workloads))})"
            names = [name for each in workloads for name in (each.workload_id, each.client_id)]
            if not names:
                return {}
        with self._db.read() as db:
            newest = f"SELECT MAX(seq) FROM runs WHERE {wanted} GROUP BY workload_id, client_id"  # noqa: S608 - fixed words
            last = _briefs(db, newest, names)
            columns = f"client_id, workload_id, {_METRIC}, {_VALUE}, seq"
            decided = db.execute(f"SELECT {columns} FROM runs WHERE {_VALUE} IS NOT NULL AND {wanted}", names)  # noqa: S608 - as above
            chosen = leading(Decided(Workload(*row[:2]), *row[2:]) for row in decided)
            best = _briefs(db, "SELECT value FROM json_each(?)", [json.dumps(list(chosen.values()))])
        return {workload: standing(run, best.get(workload)) for workload, run in last.items()}

    def heads(self, workload: Workload, limit: int) -> tuple[RunHead, ...]:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT id, revision, status, step IN ('finished', 'erase') FROM runs"
                " WHERE workload_id = ? AND client_id = ? ORDER BY seq DESC LIMIT ?",
                (workload.workload_id, workload.client_id, limit),
            ).fetchall()
        return tuple(
            RunHead(id=each[0], revision=each[1], status=each[2], finished=bool(each[3])) for each in rows
        )

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

    def _page(self, column: str, query: RunQuery) -> tuple[Sequence[str], int]:
        """One column of the runs that match, newest first, and how many match in all."""
        wanted = {"workload_id": query.workload_id, "client_id": query.client_id, "status": query.status}
        where, values = _where(wanted)
        with self._db.read() as db:
            (total,) = db.execute(f"SELECT COUNT(*) FROM runs WHERE {where}", values).fetchone()  # noqa: S608 - fixed names
            rows = db.execute(
                f"SELECT {column} FROM runs WHERE {where} ORDER BY seq DESC LIMIT ? OFFSET ?",  # noqa: S608 - as above
                [*values, _limit(query.limit), query.offset],
            ).fetchall()
        return [row[0] for row in rows], total

    def _upgrade(self) -> None:
        """Give a file of an earlier version what it lacks."""
        with self._db.write(_WHAT) as db:
            there = {row[1] for row in db.execute("PRAGMA table_info(runs)")}
            for name, kind in _ADDED.items():
                if name not in there:
                    db.execute(f"ALTER TABLE runs ADD COLUMN {name} {kind}")
            for statement in _INDEXES.split(";"):
                db.execute(statement)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            old = "brief IS NULL" if version == VERSION else "1"
            for (run_id,) in db.execute(f"SELECT id FROM runs WHERE {old}").fetchall():  # noqa: S608 - fixed
                (body,) = db.execute("SELECT body FROM runs WHERE id = ?", (run_id,)).fetchone()
                shown = _shown(Run.model_validate_json(body))
                db.execute("UPDATE runs SET brief = ?, evaluations = ? WHERE id = ?", (*shown, run_id))
            db.execute(f"PRAGMA user_version = {VERSION}")

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


def _next_mark(db: sqlite3.Connection) -> int:
    db.execute("UPDATE marks SET last = last + 1")
    (last,) = db.execute("SELECT last FROM marks").fetchone()
    return int(last)


def _briefs(db: sqlite3.Connection, seqs: str, values: Sequence[str]) -> dict[Workload, Brief]:
    """The runs whose places the query `seqs` selects, which are of different workloads."""
    rows = db.execute(f"SELECT brief FROM runs WHERE seq IN ({seqs})", values)  # noqa: S608 - our own queries
    found = [Brief.model_validate_json(brief) for (brief,) in rows]
    return {Workload(run.client_id, run.workload_id): run for run in found}


def _shown(run: Run) -> tuple[str, str]:
    """What lists show of the run: its brief and its evaluations, as JSON."""
    entries = ",".join(entry.model_dump_json() for entry in entries_of(run))
    return brief_of(run).model_dump_json(), f"[{entries}]"


def _where(wanted: Mapping[str, str | None]) -> tuple[str, list[str]]:
    """A condition with its values; what is None is not asked for."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in asked) or "1", list(asked.values())


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def _process_name(pid: int) -> str:
    """The process with this id, told apart from others that had or will have the same id."""
    try:
        return f"{pid}@{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return f"{pid}@gone"
