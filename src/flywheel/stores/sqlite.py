"""SQLite as every store here uses it: one connection behind a lock, WAL, full durability, clear errors.

A transaction that was left without an error is on the disk: neither `kill -9` nor a power cut undoes it.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flywheel.errors import StorageFull


@contextmanager
def _full(what: str) -> Iterator[None]:
    """StorageFull, naming `what`, where the disk takes no more."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # The second is a full disk under the small file that readers and writers share beside the store's.
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
            raise StorageFull(what) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(what) from error
        raise


class Database:
    """One SQLite file, usable from any thread. `schema` is SQL that may be run again on every start.

    Raises StorageFull where there is no space to make it.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        with _full(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
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
        with self._lock, _full(what), self._transaction("BEGIN IMMEDIATE"):
            yield self._connection

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
