"""Schedules in one SQLite file: the store of the embedded size."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from flywheel.stores.schedules.document import Decided, Schedule
from flywheel.stores.schedules.errors import ScheduleNotFound, ScheduleStoreDamaged, StaleSchedule
from flywheel.stores.schedules.protocol import HISTORY_KEPT, HistoryPage, SchedulePage, ScheduleQuery
from flywheel.stores.sqlite import Database

FILE_NAME = "schedules.sqlite"
"""The file's name in a data folder."""
_WHAT = "a schedule"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS schedules (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    workload_id TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id TEXT NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS decisions_schedule ON decisions (schedule_id, seq);
"""


class EmbeddedScheduleStore:
    """A ScheduleStore on the SQLite file at `path`. Raises ScheduleStoreDamaged."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = Database(path, _SCHEMA)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise ScheduleStoreDamaged(str(path), str(error)) from error
            raise

    def create(self, schedule: Schedule) -> Schedule:
        with self._db.write(_WHAT) as db:
            db.execute(
                "INSERT INTO schedules (id, revision, client_id, workload_id, enabled, body)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    schedule.id,
                    schedule.revision,
                    schedule.client_id,
                    schedule.workload_id,
                    schedule.enabled,
                    schedule.model_dump_json(),
                ),
            )
        return schedule

    def load(self, schedule_id: str) -> Schedule:
        with self._db.read() as db:
            row = db.execute("SELECT body FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
        if row is None:
            raise ScheduleNotFound(schedule_id)
        return Schedule.model_validate_json(row[0])

    def apply(self, schedule: Schedule, change: Schedule) -> Schedule:
        stored = change.but(revision=schedule.revision + 1)
        with self._db.write(_WHAT) as db:
            cursor = db.execute(
                "UPDATE schedules SET revision = ?, enabled = ?, body = ? WHERE id = ? AND revision = ?",
                (stored.revision, stored.enabled, stored.model_dump_json(), schedule.id, schedule.revision),
            )
            if cursor.rowcount == 0:
                if db.execute("SELECT 1 FROM schedules WHERE id = ?", (schedule.id,)).fetchone() is None:
                    raise ScheduleNotFound(schedule.id)
                raise StaleSchedule(schedule.id, schedule.revision)
        return stored

    def delete(self, schedule_id: str) -> None:
        with self._db.write(_WHAT) as db:
            if db.execute("DELETE FROM schedules WHERE id = ?", (schedule_id,)).rowcount == 0:
                raise ScheduleNotFound(schedule_id)

    def list(self, query: ScheduleQuery = ScheduleQuery()) -> SchedulePage:  # noqa: B008 - a frozen value
        wanted = {
            "client_id": query.client_id,
            "workload_id": query.workload_id,
            "enabled": query.enabled,
        }
        used = {name: value for name, value in wanted.items() if value is not None}
        where, values = " AND ".join(f"{name} = ?" for name in used) or "1", list(used.values())
        limit = -1 if query.limit is None else query.limit
        with self._db.read() as db:
            count = f"SELECT COUNT(*) FROM schedules WHERE {where}"  # noqa: S608 - three fixed names
            (total,) = db.execute(count, values).fetchone()
            rows = db.execute(
                f"SELECT body FROM schedules WHERE {where} ORDER BY seq LIMIT ? OFFSET ?",  # noqa: S608 - as above
                [*values, limit, query.offset],
            ).fetchall()
        return SchedulePage(
            schedules=tuple(Schedule.model_validate_json(body) for (body,) in rows), total=total
        )

    def note(self, schedule_id: str, decided: Decided) -> None:
        with self._db.write("a decision of a schedule") as db:
            if db.execute("SELECT 1 FROM schedules WHERE id = ?", (schedule_id,)).fetchone() is None:
                return  # Deleted meanwhile, and its history with it.
            db.execute(
                "INSERT INTO decisions (schedule_id, body) VALUES (?, ?)",
                (schedule_id, decided.model_dump_json()),
            )
            db.execute(
                "DELETE FROM decisions WHERE schedule_id = ?1 AND seq <= (SELECT seq FROM decisions"
                " WHERE schedule_id = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                (schedule_id, HISTORY_KEPT),
            )

    def history(self, schedule_id: str, *, offset: int = 0, limit: int | None = None) -> HistoryPage:
        with self._db.read() as db:
            (total,) = db.execute(
                "SELECT COUNT(*) FROM decisions WHERE schedule_id = ?", (schedule_id,)
            ).fetchone()
            rows = db.execute(
                "SELECT body FROM decisions WHERE schedule_id = ? ORDER BY seq DESC LIMIT ? OFFSET ?",
                (schedule_id, -1 if limit is None else limit, offset),
            ).fetchall()
        return HistoryPage(
            decisions=tuple(Decided.model_validate_json(body) for (body,) in rows), total=total
        )

    def close(self) -> None:
        self._db.close()
