"""Git's object names, computed the way git does: the hashes that hub clients see are the real ones.

Pure functions on bytes and names; no repository lives here and git itself is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

AUTHOR: Final = "Flywheel <flywheel@localhost>"
EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree. `oid` is git's hash of the blob, for an LFS file that of its pointer.

    `sha256` and `size` (bytes) are those of the content in either case.
    """

    oid: str
    size: int
    sha256: str
    lfs: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a tree: the hash of a tree."""

    oid: str


Entry = File | Folder
Tree = Mapping[str, Entry]
"""What is in one folder, by name."""


def blob_oid(size: int, chunks: Iterable[bytes]) -> str:
    """The hash of a blob of `size` bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that stands in a repository for an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_file(sha256: str, size: int) -> File:
    pointer = lfs_pointer(sha256, size)
    return File(blob_oid(len(pointer), [pointer]), size, sha256, lfs=True)


def tree_oid(tree: Tree) -> str:
    """The hash of a tree. Git sorts a folder as if its name ended in a slash."""
    lines = []
    for name, entry in sorted(tree.items(), key=lambda item: _sort_key(*item)):
        mode = b"40000" if isinstance(entry, Folder) else b"100644"
        lines.append(mode + b" " + name.encode() + b"\0" + bytes.fromhex(entry.oid))
    return _object("tree", b"".join(lines))


def commit_oid(tree: str, parent: str | None, message: str, when: datetime) -> str:
    """The hash of a commit, made at `when` (with a zone) by `AUTHOR`."""
    stamp = f"{AUTHOR} {int(when.timestamp())} +0000"
    lines = [
        f"tree {tree}",
        *([f"parent {parent}"] if parent else []),
        f"author {stamp}",
        f"committer {stamp}",
    ]
    return _object("commit", "\n".join([*lines, "", message]).encode(errors="replace"))


def build(files: Mapping[str, File]) -> tuple[str, dict[str, Tree]]:
    """The trees that hold `files` (by path): the root's hash, and every tree by its hash."""
    trees: dict[str, Tree] = {}

    def grow(below: Mapping[str, File]) -> str:
        here: dict[str, Entry] = {}
        folders: dict[str, dict[str, File]] = {}
        for path, file in below.items():
            name, _, rest = path.partition("/")
            if rest:
                folders.setdefault(name, {})[rest] = file
            else:
                here[name] = file
        for name, inside in folders.items():
            here[name] = Folder(grow(inside))
        oid = tree_oid(here)
        trees[oid] = here
        return oid

    return grow(files), trees


def _sort_key(name: str, entry: Entry) -> bytes:
    return name.encode() + (b"/" if isinstance(entry, Folder) else b"")


def _object(kind: str, content: bytes) -> str:
    head = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
