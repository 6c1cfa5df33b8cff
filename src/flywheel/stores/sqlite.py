"""SQLite as every store here uses it: one connection behind a lock, WAL, full durability, clear errors.

A transaction that was left without an error is on the disk: neither `kill -9` nor a power cut undoes it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flywheel.errors import StorageFull


class Database:
    """One SQLite file, usable from any thread. `schema` is SQL that may be run again on every start."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(schema)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries; what they see does not change inside."""
        with self._lock, self._transaction("BEGIN"):
            yield self._connection

    @contextmanager
    def write(self, what: str) -> Iterator[sqlite3.Connection]:
        """The connection, for a change that happens as a whole or not at all.

        Raises StorageFull, naming `what` was to be stored, when the disk is full.
        """
        with self._lock:
            try:
                with self._transaction("BEGIN IMMEDIATE"):
                    yield self._connection
            except sqlite3.OperationalError as e:
                if e.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise StorageFull(what) from e
                raise

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        if self._connection.in_transaction:  # Within another one of this thread: that one decides.
            yield
            return
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()
