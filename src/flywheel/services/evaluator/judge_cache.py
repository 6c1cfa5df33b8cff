"""What judges answered before, by the hash of the question, so that a repeated evaluation costs nothing."""

from __future__ import annotations

from pathlib import Path

from flywheel.stores.sqlite import Database

_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;"


class StoredJudgeCache:
    """A `flywheel.evaluation.judge.JudgeCache` in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def get(self, key: str) -> str | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["answer"])

    def put(self, key: str, answer: str) -> None:
        with self._database.write("a judge's answer") as connection:
            connection.execute("INSERT OR REPLACE INTO answers (key, answer) VALUES (?, ?)", (key, answer))

    def close(self) -> None:
        self._database.close()
