"""The NeMo services' entities: JSON documents in named collections of one SQLite file.

A document is found by its id or by namespace and name, and listed by a `ListQuery`. The store stamps
`created_at` and `updated_at`; everything else in a document is its service's business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from flywheel.errors import Conflict, NotFound
from flywheel.nemo.conventions import ListQuery, Page, timestamp
from flywheel.stores.sqlite import Database

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entities (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    doc BLOB NOT NULL,
    UNIQUE (collection, id),
    UNIQUE (collection, namespace, name)
);
"""


class EntityNotFound(NotFound):
    def __init__(self, collection: str, key: str) -> None:
        self.collection, self.key = collection, key
        super().__init__(f"there is no {key!r} among the {collection}")


class EntityExists(Conflict):
    def __init__(self, collection: str, key: str) -> None:
        self.collection, self.key = collection, key
        super().__init__(f"{key!r} already exists among the {collection}")


class Entities:
    """Collections of documents, each with `id`, `namespace` and `name`; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def create(self, collection: str, doc: Document) -> Document:
        """Store `doc` and return it as stored. Raises EntityExists."""
        now = timestamp()
        doc = {**doc, "created_at": doc.get("created_at") or now, "updated_at": doc.get("updated_at") or now}
        key = _key(doc)
        with self._database.write(f"{collection} {key}") as connection:
            try:
                connection.execute(
                    "INSERT INTO entities (collection, id, namespace, name, doc) VALUES (?, ?, ?, ?, ?)",
                    (collection, doc["id"], doc["namespace"], doc["name"], orjson.dumps(doc)),
                )
            except sqlite3.IntegrityError as e:
                raise EntityExists(collection, key) from e
        return doc

    def get(self, collection: str, namespace: str, name: str) -> Document:
        """Raises EntityNotFound."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT doc FROM entities WHERE collection = ? AND namespace = ? AND name = ?",
                (collection, namespace, name),
            ).fetchone()
        if row is None:
            raise EntityNotFound(collection, f"{namespace}/{name}".lstrip("/"))
        return _parse(row)

    def get_by_id(self, collection: str, id: str) -> Document:  # noqa: A002 - the word of the wire
        """Raises EntityNotFound."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT doc FROM entities WHERE collection = ? AND id = ?", (collection, id)
            ).fetchone()
        if row is None:
            raise EntityNotFound(collection, id)
        return _parse(row)

    def update(self, collection: str, id: str, change: Callable[[Document], Document]) -> Document:  # noqa: A002
        """Replace the document by `change(document)`, which nobody else can come between.

        `change` runs while the store is locked: it is quick and calls no one. The id and `created_at` stay.
        Raises EntityNotFound, and EntityExists if the document takes another's name.
        """
        with self._database.write(f"{collection} {id}") as connection:
            old = self.get_by_id(collection, id)
            doc = {**change(dict(old)), "id": id, "created_at": old["created_at"], "updated_at": timestamp()}
            try:
                connection.execute(
                    "UPDATE entities SET namespace = ?, name = ?, doc = ? WHERE collection = ? AND id = ?",
                    (doc["namespace"], doc["name"], orjson.dumps(doc), collection, id),
                )
            except sqlite3.IntegrityError as e:
                raise EntityExists(collection, _key(doc)) from e
        return doc

    def delete(self, collection: str, id: str) -> Document:  # noqa: A002 - the word of the wire
        """Remove the document and return what it was. Raises EntityNotFound."""
        with self._database.write(f"{collection} {id}") as connection:
            doc = self.get_by_id(collection, id)
            connection.execute("DELETE FROM entities WHERE collection = ? AND id = ?", (collection, id))
        return doc

    def all(self, collection: str) -> list[Document]:
        """Every document of the collection, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT doc FROM entities WHERE collection = ? ORDER BY seq", (collection,)
            ).fetchall()
        return [_parse(row) for row in rows]

    def list(self, collection: str, query: ListQuery) -> Page[Document]:
        """The page of the collection that `query` asks for."""
        return query.select(self.all(collection))

    def close(self) -> None:
        self._database.close()


def _key(doc: Document) -> str:
    return f"{doc['namespace']}/{doc['name']}".lstrip("/")  # A namespace lives in none itself.


def _parse(row: sqlite3.Row) -> Document:
    doc: Document = orjson.loads(row["doc"])
    return doc
