"""Why a launch waits, where its own objects do not say; and when waiting has become a failure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from kubernetes.client import V1Pod

from flywheel.runtime.kubernetes import causes
from flywheel.runtime.kubernetes.cluster import Cluster, ClusterRefused, ClusterUnreachable
from flywheel.runtime.protocol import Status

_HOPELESS: Final = causes.IMAGE_TROUBLE | causes.SETUP_TROUBLE
_EVENTS_EVERY_S: Final = 2.0


class Waiting:
    """Remembers since when each pod lacks what will hardly come: an image, a Secret."""

    def __init__(self, cluster: Cluster, patience_s: float) -> None:
        self._cluster, self._patience_s = cluster, patience_s
        self._since: dict[str, float] = {}
        self._events: dict[str, tuple[float, str | None]] = {}

    def judge(self, status: Status, uid: str, pods: Sequence[V1Pod]) -> Status:
        """`status`, which is pending, of the launch `uid`, with a cause; failed when patience is over."""
        if self._hopeless(status, pods):
            return status.model_copy(update={"state": "failed"})
        if status.cause is None:
            return status.model_copy(update={"cause": self._warning(status.life or uid)})
        return status

    def _hopeless(self, status: Status, pods: Sequence[V1Pod]) -> bool:
        for pod in pods:
            # Between two tries the reason is gone for a moment; the clock goes on.
            if pod.metadata.uid == status.life and causes.waiting_reason(pod) in _HOPELESS:
                since = self._since.setdefault(str(status.life), time.monotonic())
                return time.monotonic() - since > self._patience_s
        return False

    def _warning(self, uid: str) -> str | None:
        """The newest warning of the cluster about the object `uid`; asked for now and then."""
        asked, cause = self._events.get(uid, (float("-inf"), None))
        if time.monotonic() - asked < _EVENTS_EVERY_S:
            return cause
        listing, selector = self._cluster.core.list_namespaced_event, f"involvedObject.uid={uid}"
        with suppress(ClusterUnreachable, ClusterRefused):
            found = self._cluster.once(listing, self._cluster.namespace, field_selector=selector)
            cause = causes.events_cause(found.items)
        self._events[uid] = (time.monotonic(), cause)
        return cause
