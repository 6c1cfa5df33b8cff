"""Repositories with their branches, commits and trees: everything about files but their bytes.

One SQLite file. A commit is one transaction, made when the contents it names are on the disk already, so
there is never a commit without its files. Trees are kept as git has them, one record a folder, and shared by
the commits of a repository.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson

from flywheel.nemo.conventions import check_name
from flywheel.services.datastore.commits import Commit, Put, Remove
from flywheel.services.datastore.errors import (
    BadPath,
    BadUpload,
    EntryNotFound,
    NamespaceInUse,
    NamespaceNotFound,
    NameTaken,
    ProtectedBranch,
    RepoExists,
    RepoNotFound,
    RevisionNotFound,
    StaleParent,
)
from flywheel.services.datastore.git import EMPTY_TREE, Entry, File, Folder, Tree, build, commit_oid
from flywheel.stores.files import Blobs
from flywheel.stores.sqlite import Database

RepoType = Literal["dataset", "model"]
RefKind = Literal["branch", "tag"]

MAIN: Final = "main"
_RESERVED: Final = frozenset({"api", "datasets", "models", "spaces"})  # They begin other paths of the hub.

_SCHEMA = """
CREATE TABLE IF NOT EXISTS namespaces (name TEXT PRIMARY KEY, created_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repos (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    type TEXT NOT NULL,
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (type, namespace, name)
);
CREATE TABLE IF NOT EXISTS commits (
    repo INTEGER NOT NULL REFERENCES repos (key) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    parent TEXT,
    tree TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trees (
    repo INTEGER NOT NULL REFERENCES repos (key) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    repo INTEGER NOT NULL REFERENCES repos (key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    oid TEXT NOT NULL,
    PRIMARY KEY (repo, kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (
    repo INTEGER NOT NULL REFERENCES repos (key) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (sha256, repo)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS contents_by_repo ON contents (repo);
CREATE TABLE IF NOT EXISTS unused (sha256 TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class RepoId(NamedTuple):
    """What a repository is called. Its `str` is the end of its address."""

    type: RepoType
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{'datasets/' if self.type == 'dataset' else ''}{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Repo:
    key: int
    uid: str
    id: RepoId
    created_at: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of a repository. Times are ISO 8601 in UTC, with milliseconds and Z."""

    repo: Repo
    oid: str
    parent: str | None
    tree: str
    message: str
    created_at: str

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    oid: str


class Repositories:
    """All repositories; safe to use from any thread."""

    def __init__(self, path: Path, blobs: Blobs) -> None:
        self._database = Database(path, _SCHEMA)
        self._blobs = blobs

    def close(self) -> None:
        self._database.close()

    # Namespaces

    def create_namespace(self, namespace: str) -> str:
        """Returns when it was created. Raises NameTaken."""
        _check_namespace(namespace)
        now = _now().isoformat(timespec="seconds").replace("+00:00", "Z")
        with self._database.write(f"namespace {namespace}") as connection:
            added = connection.execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", (namespace, now))
            if added.rowcount == 0:
                raise NameTaken("namespace", namespace)
        return now

    def namespaces(self) -> dict[str, str]:
        """When each was created."""
        with self._database.read() as connection:
            return dict(
                connection.execute("SELECT name, created_at FROM namespaces ORDER BY name").fetchall()
            )

    def delete_namespace(self, namespace: str) -> None:
        """Raises NamespaceNotFound, and NamespaceInUse while there are repositories in it."""
        with self._database.write(f"the deletion of {namespace}") as connection:
            count = "SELECT count(*) FROM repos WHERE namespace = ?"
            if repos := connection.execute(count, (namespace,)).fetchone()[0]:
                raise NamespaceInUse(namespace, repos)
            gone = connection.execute("DELETE FROM namespaces WHERE name = ?", (namespace,))
            if gone.rowcount == 0:
                raise NamespaceNotFound(namespace)

    # Repositories

    def create(self, id: RepoId) -> Repo:  # noqa: A002
        """A new repository with an empty first commit on `main`, and its namespace if need be.

        Raises RepoExists and BadName.
        """
        _check_namespace(id.namespace)
        check_name("name", id.name)
        if id.name.endswith(".git"):
            raise BadPath(id.name, "a repository's name does not end in .git")
        now = _now()
        with self._database.write(f"repository {id}") as connection:
            seconds = now.isoformat(timespec="seconds").replace("+00:00", "Z")
            connection.execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", (id.namespace, seconds))
            added = connection.execute(
                "INSERT OR IGNORE INTO repos (uid, type, namespace, name, created_at) VALUES (?, ?, ?, ?, ?)",
                (secrets.token_hex(12), *id, _text(now)),
            )
            if added.rowcount == 0:
                raise RepoExists(str(id), str(id))
            repo = self.get(id)
            self._store_trees(repo, {EMPTY_TREE: {}})
            first = self._store_commit(repo, EMPTY_TREE, None, "initial commit", now)
            connection.execute("INSERT INTO refs VALUES (?, 'branch', ?, ?)", (repo.key, MAIN, first.oid))
        return repo

    def get(self, id: RepoId) -> Repo:  # noqa: A002
        """Raises RepoNotFound."""
        query = "SELECT key, uid, created_at FROM repos WHERE type = ? AND namespace = ? AND name = ?"
        with self._database.read() as connection:
            row = connection.execute(query, id).fetchone()
        if row is None:
            raise RepoNotFound(str(id))
        return Repo(row["key"], row["uid"], id, row["created_at"])

    def of_type(self, type: RepoType) -> list[Repo]:  # noqa: A002
        """All repositories of one type, newest first."""
        query = "SELECT * FROM repos WHERE type = ? ORDER BY key DESC"
        with self._database.read() as connection:
            rows = connection.execute(query, (type,)).fetchall()
        return [
            Repo(r["key"], r["uid"], RepoId(type, r["namespace"], r["name"]), r["created_at"]) for r in rows
        ]

    def delete(self, id: RepoId, grace_s: float) -> None:  # noqa: A002
        """Remove the repository, and from the disk what no other one holds. Raises RepoNotFound.

        Contents that were stored within the last `grace_s` seconds may belong to a commit that is being
        made; they are left for a later call.
        """
        with self._database.write(f"the deletion of {id}") as connection:
            repo = self.get(id)
            connection.execute(
                "INSERT OR IGNORE INTO unused SELECT sha256 FROM contents WHERE repo = ?", (repo.key,)
            )
            connection.execute("DELETE FROM repos WHERE key = ?", (repo.key,))
        self._remove_unused(grace_s)

    def sweep(self, abandoned_s: float, grace_s: float) -> None:
        """Remove what was uploaded `abandoned_s` seconds ago and never committed, and what deletes left."""
        with self._database.write("a note of unused contents") as connection:
            known = {row[0] for row in connection.execute("SELECT DISTINCT sha256 FROM contents")}
            strangers = [(sha256,) for sha256 in self._blobs.all(abandoned_s) if sha256 not in known]
            connection.executemany("INSERT OR IGNORE INTO unused VALUES (?)", strangers)
        self._remove_unused(grace_s)

    def _remove_unused(self, grace_s: float) -> None:
        # Under the write lock, so that no commit comes to name a content between the look and the removal.
        with self._database.write("a note of removed contents") as connection:
            connection.execute("DELETE FROM unused WHERE sha256 IN (SELECT sha256 FROM contents)")
            unused = [row[0] for row in connection.execute("SELECT sha256 FROM unused")]
            self._blobs.collect(unused, grace_s)
            gone = [(sha256,) for sha256 in unused if self._blobs.size(sha256) is None]
            connection.executemany("DELETE FROM unused WHERE sha256 = ?", gone)

    # Revisions

    def revision(self, repo: Repo, name: str) -> Revision:
        """The commit that a branch, a tag or a full hash names. Raises RevisionNotFound."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT c.* FROM refs r JOIN commits c ON c.repo = r.repo AND c.oid = r.oid"
                " WHERE r.repo = ? AND r.name = ? ORDER BY r.kind LIMIT 1",
                (repo.key, name),
            ).fetchone()
            row = (
                row
                or connection.execute(
                    "SELECT * FROM commits WHERE repo = ? AND oid = ?", (repo.key, name)
                ).fetchone()
            )
        if row is None:
            raise RevisionNotFound(str(repo.id), name)
        return _revision(repo, row)

    def split(self, repo: Repo, rest: str) -> tuple[Revision, str]:
        """Take apart `REVISION/PATH` of an address, where a revision's name may hold slashes itself.

        Raises RevisionNotFound.
        """
        parts = rest.split("/")
        for end in range(1, len(parts) + 1):
            try:
                return self.revision(repo, "/".join(parts[:end])), "/".join(parts[end:])
            except RevisionNotFound:
                continue
        raise RevisionNotFound(str(repo.id), parts[0])

    def history(self, revision: Revision) -> Iterator[Revision]:
        """The commit, its parent, and so on to the first."""
        yield revision
        while revision.parent:
            revision = self.revision(revision.repo, revision.parent)
            yield revision

    def refs(self, repo: Repo, kind: RefKind) -> list[Ref]:
        query = "SELECT name, oid FROM refs WHERE repo = ? AND kind = ? ORDER BY name"
        with self._database.read() as connection:
            return [Ref(*row) for row in connection.execute(query, (repo.key, kind))]

    def create_ref(self, repo: Repo, kind: RefKind, name: str, start: str) -> None:
        """A branch or tag at the revision `start`. Raises NameTaken, BadName, RevisionNotFound."""
        check_name(kind, name, slashes=True)
        if ".." in name or name.endswith((".", ".lock")):
            raise BadPath(name, f"git refuses '..' in the name of a {kind}, and '.' and '.lock' at its end")
        if len(name) == 40 and set(name) <= set("0123456789abcdef"):
            raise BadPath(name, f"a {kind} cannot be named like a commit")
        with self._database.write(f"{kind} {name}") as connection:
            oid = self.revision(repo, start).oid
            values = (repo.key, kind, name, oid)
            if connection.execute("INSERT OR IGNORE INTO refs VALUES (?, ?, ?, ?)", values).rowcount == 0:
                raise NameTaken(kind, name)

    def delete_ref(self, repo: Repo, kind: RefKind, name: str) -> None:
        """Raises RevisionNotFound, and ProtectedBranch for `main`."""
        if kind == "branch" and name == MAIN:
            raise ProtectedBranch(str(repo.id), name)
        with self._database.write(f"the deletion of {name}") as connection:
            query = "DELETE FROM refs WHERE repo = ? AND kind = ? AND name = ?"
            if connection.execute(query, (repo.key, kind, name)).rowcount == 0:
                raise RevisionNotFound(str(repo.id), name)

    # Trees

    def entry(self, revision: Revision, path: str) -> Entry:
        """What is at `path`; the empty path is the root. Raises EntryNotFound."""
        entry: Entry = Folder(revision.tree)
        for name in path.split("/") if path else ():
            found = self._tree(revision.repo, entry.oid).get(name) if isinstance(entry, Folder) else None
            if found is None:
                raise EntryNotFound(str(revision.repo.id), path)
            entry = found
        return entry

    def list(
        self, revision: Revision, path: str = "", *, recursive: bool = True
    ) -> Iterator[tuple[str, Entry]]:
        """What is in the folder `path`, in the order of paths. Raises EntryNotFound."""
        folder = self.entry(revision, path)
        if not isinstance(folder, Folder):
            raise EntryNotFound(str(revision.repo.id), path, "folder")
        yield from self._walk(revision.repo, folder.oid, f"{path}/" if path else "", recursive)

    def files(self, revision: Revision) -> dict[str, File]:
        """Every file by its path."""
        return {path: entry for path, entry in self.list(revision) if isinstance(entry, File)}

    def _walk(self, repo: Repo, oid: str, prefix: str, recursive: bool) -> Iterator[tuple[str, Entry]]:
        for name, entry in sorted(self._tree(repo, oid).items()):
            yield prefix + name, entry
            if recursive and isinstance(entry, Folder):
                yield from self._walk(repo, entry.oid, f"{prefix}{name}/", recursive)

    def _tree(self, repo: Repo, oid: str) -> Tree:
        query = "SELECT entries FROM trees WHERE repo = ? AND oid = ?"
        with self._database.read() as connection:
            row = connection.execute(query, (repo.key, oid)).fetchone()
        if row is None:  # The repository was deleted meanwhile.
            raise RepoNotFound(str(repo.id))
        return {
            name: File(*fields) if len(fields) > 1 else Folder(*fields)
            for name, fields in orjson.loads(row["entries"]).items()
        }

    # Commits

    def commit(self, repo: Repo, branch: str, wish: Commit) -> Revision:
        """Carry out `wish` on the branch, as a whole or not at all. An empty wish is a commit, too.

        Raises RevisionNotFound, StaleParent, EntryNotFound for what is to be removed and is not there, and
        BadPath where a file and a folder would have the same name.
        """
        with self._database.write(f"commit {wish.summary!r} to {repo.id}") as connection:
            query = "SELECT oid FROM refs WHERE repo = ? AND kind = 'branch' AND name = ?"
            row = connection.execute(query, (repo.key, branch)).fetchone()
            if row is None:
                raise RevisionNotFound(str(repo.id), branch)
            parent = self.revision(repo, row["oid"])
            if wish.parent is not None and wish.parent != parent.oid:
                raise StaleParent(branch, wish.parent, parent.oid)
            files = self._applied(repo, self.files(parent), wish)
            tree, trees = build(files)
            self._store_trees(repo, trees)
            new = self._store_commit(repo, tree, parent.oid, wish.message, _now())
            connection.execute(
                "UPDATE refs SET oid = ? WHERE repo = ? AND kind = 'branch' AND name = ?",
                (new.oid, repo.key, branch),
            )
            contents = [(repo.key, op.file.sha256) for op in wish.operations if isinstance(op, Put)]
            connection.executemany("INSERT OR IGNORE INTO contents VALUES (?, ?)", contents)
        return new

    def _applied(self, repo: Repo, files: dict[str, File], wish: Commit) -> dict[str, File]:
        for operation in wish.operations:
            if isinstance(operation, Remove):
                files = _removed(repo, files, operation)
            elif self._blobs.size(operation.file.sha256) is None:
                raise BadUpload(f"{operation.path}: its content is no longer there; upload it again")
            else:
                files[operation.path] = operation.file
        for path in files:
            parts = path.split("/")
            for end in range(1, len(parts)):
                if (above := "/".join(parts[:end])) in files:
                    raise BadPath(path, f"there is a file {above!r}, which cannot be a folder as well")
        return files

    def _store_trees(self, repo: Repo, trees: dict[str, Tree]) -> None:
        rows = [
            (repo.key, oid, orjson.dumps({name: _fields(entry) for name, entry in tree.items()}))
            for oid, tree in trees.items()
        ]
        with self._database.write(f"trees of {repo.id}") as connection:
            connection.executemany("INSERT OR REPLACE INTO trees VALUES (?, ?, ?)", rows)

    def _store_commit(
        self, repo: Repo, tree: str, parent: str | None, message: str, now: datetime
    ) -> Revision:
        oid = commit_oid(tree, parent, message, now)
        row = (repo.key, oid, parent, tree, message, _text(now))
        with self._database.write(f"commit {message!r} to {repo.id}") as connection:
            connection.execute("INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?)", row)
        return Revision(repo, *row[1:])


def _removed(repo: Repo, files: dict[str, File], remove: Remove) -> dict[str, File]:
    prefix = remove.path + "/"
    kept = {
        path: file
        for path, file in files.items()
        if not (path.startswith(prefix) if remove.folder else path == remove.path)
    }
    if len(kept) == len(files):
        raise EntryNotFound(str(repo.id), remove.path, "folder" if remove.folder else "file")
    return kept


def _fields(entry: Entry) -> list[Any]:
    if isinstance(entry, Folder):
        return [entry.oid]
    return [entry.oid, entry.size, entry.sha256, entry.lfs]


def _revision(repo: Repo, row: Any) -> Revision:
    return Revision(repo, row["oid"], row["parent"], row["tree"], row["message"], row["created_at"])


def _check_namespace(namespace: str) -> None:
    check_name("namespace", namespace)
    if namespace in _RESERVED:
        raise BadPath(namespace, "this begins other addresses of the hub and cannot be a namespace")


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
