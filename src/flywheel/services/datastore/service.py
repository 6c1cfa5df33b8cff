"""The datastore's state: entities, repositories and their contents, all in one folder.

Nothing runs in the background. Whatever was acknowledged is on the disk, so a start after `kill -9` has only
to remove what was being written then.
"""

from __future__ import annotations

from pathlib import Path

from flywheel.services.datastore.repositories import Repositories
from flywheel.stores.entities import Entities
from flywheel.stores.files import Blobs

_ABANDONED_S = 24 * 3600.0


class DatastoreService:
    """One datastore in `data_dir`, which no other process uses at the same time.

    `grace_s`: contents stored within the last so many seconds are never removed, as a commit may be about to
    name them. `blobs`: where contents are kept, by default in `data_dir`.
    """

    def __init__(self, data_dir: Path, *, grace_s: float = 3600.0, blobs: Blobs | None = None) -> None:
        self.grace_s = grace_s
        self.blobs = blobs or Blobs(data_dir / "blobs")
        self.entities = Entities(data_dir / "entities.db")
        self.repositories = Repositories(data_dir / "repositories.db", self.blobs)

    def start(self) -> None:
        """Clear away what uploads left that never ended."""
        self.blobs.discard_incoming()
        self.repositories.sweep(_ABANDONED_S, self.grace_s)

    def stop(self) -> None:
        self.repositories.close()
        self.entities.close()

    def check(self) -> None:
        """Raises what is wrong if the datastore cannot read its state."""
        self.repositories.namespaces()
        self.entities.all("namespaces")
