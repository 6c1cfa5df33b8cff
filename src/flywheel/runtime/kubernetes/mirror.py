"""A copy in memory of the objects that carry our labels, kept current by a watch.

It lists, watches from there, and lists again after an error, after `410 Gone`, and every few minutes. While
the API server is away the copy stays as it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from kubernetes.client.exceptions import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from flywheel.log import get_logger
from flywheel.runtime.kubernetes.cluster import TIMEOUT_S

log = get_logger(__name__)

Item = TypeVar("Item")
_WATCH_S: Final = 30
_RELIST_S: Final = 300.0
_PAUSE_S: Final = 1.0


class Mirror(Generic[Item]):
    """The thread that mirrors what `listing` lists; `changed` is called after every change."""

    def __init__(self, kind: str, listing: Callable[..., Any], changed: Callable[[], None]) -> None:
        self._kind, self._listing, self._changed = kind, listing, changed
        self._items: dict[str, Item] = {}
        self._gone: set[str] = set()
        self._lock = threading.Lock()
        self._synced, self._over = threading.Event(), threading.Event()
        self._watch = Watch()
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind}", daemon=True)
        self._thread.start()

    @property
    def synced(self) -> bool:
        """Whether the first list has come."""
        return self._synced.is_set()

    def wait_synced(self, timeout_s: float) -> bool:
        return self._synced.wait(timeout_s)

    def all(self) -> list[Item]:
        with self._lock:
            return list(self._items.values())

    def get(self, name: str) -> Item | None:
        with self._lock:
            return self._items.get(name)

    def put(self, item: Item) -> None:
        """Enter what this program has just created or read, unless the watch knows something newer."""
        with self._lock:
            known = self._items.get(_meta(item).name)
            if known is None or _version(item) > _version(known):
                self._items[_meta(item).name] = item
        self._changed()

    def forget(self, item: Item) -> None:
        """Strike out what is known to be deleted; late news of it are not believed."""
        with self._lock:
            self._gone.add(_meta(item).uid)
            known = self._items.get(_meta(item).name)
            if known is not None and _meta(known).uid == _meta(item).uid:
                del self._items[_meta(item).name]
        self._changed()

    def close(self) -> None:
        self._over.set()
        with suppress(Exception):
            self._watch.stop()
        self._thread.join(2)

    def _run(self) -> None:
        version: str | None = None
        relist_at, told = 0.0, False
        while not self._over.is_set():
            try:
                if version is None or time.monotonic() > relist_at:
                    version, relist_at = self._list(), time.monotonic() + _RELIST_S
                version = self._follow(version)
                told = False
            except ApiException as error:
                version = None
                if error.status != 410:
                    told = self._tell(told, f"{error.status} {error.reason}")
            except (HTTPError, OSError, AttributeError) as error:
                # AttributeError: `stop` closes the client's connection under a read.
                version = None
                told = self._tell(told, type(error).__name__)

    def _tell(self, told: bool, reason: str) -> bool:
        """Say once that the copy grows old, and wait a little."""
        if not told and not self._over.is_set():
            log.warning("the cluster cannot be watched", extra={"kind": self._kind, "reason": reason})
        self._over.wait(_PAUSE_S)
        return True

    def _list(self) -> str:
        listed = self._listing(_request_timeout=TIMEOUT_S)
        with self._lock:
            fresh = [item for item in listed.items if _meta(item).uid not in self._gone]
            # What was created after the list was made is about to come by the watch.
            newer = [item for item in self._items.values() if _version(item) > _version(listed)]
            self._items = {_meta(item).name: item for item in (*fresh, *newer)}
            self._gone &= {_meta(item).uid for item in listed.items}
        self._synced.set()
        self._changed()
        return str(listed.metadata.resource_version)

    def _follow(self, version: str) -> str:
        """Watch for half a minute; the version to go on from."""
        events = self._watch.stream(
            self._listing,
            resource_version=version,
            timeout_seconds=_WATCH_S,
            allow_watch_bookmarks=True,
            _request_timeout=(TIMEOUT_S[0], _WATCH_S + 5.0),
        )
        for event in events:
            if self._over.is_set():
                break
            version = str(event["raw_object"]["metadata"]["resourceVersion"])
            if event["type"] == "BOOKMARK":
                continue
            item = event["object"]
            with self._lock:
                if event["type"] == "DELETED":
                    known = self._items.get(_meta(item).name)
                    if known is not None and _meta(known).uid == _meta(item).uid:
                        del self._items[_meta(item).name]
                elif _meta(item).uid not in self._gone:
                    self._items[_meta(item).name] = item
            self._changed()
        return version


def _meta(item: Any) -> Any:
    return item.metadata


def _version(item: Any) -> int:
    """Kubernetes calls it opaque; it is a number everywhere, and only decides between two copies of ours."""
    text = str(_meta(item).resource_version or "")
    return int(text) if text.isdigit() else 0
