"""What programs wrote: read from their pods while these are there, and kept in a file when they go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kubernetes.client import V1Pod
from kubernetes.client.exceptions import ApiException

from flywheel.runtime.kubernetes.cluster import Cluster, ClusterRefused, ClusterUnreachable
from flywheel.runtime.kubernetes.manifests import CONTAINER

KEPT_LINES: Final = 2000
"""Lines of a program's log that outlive it."""
_BYTES: Final = 4_000_000


class PodLogs:
    """Logs of the pods of one launch each; those that are kept lie in `folder`, by the launch's object."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder

    def read(self, pods: Sequence[V1Pod], tail: int) -> list[str]:
        """The last lines of the newest pod, with those of the container that ran in it before.

        Raises ClusterUnreachable, ClusterRefused.
        """
        if not pods:
            return []
        pod = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
        restarted = any(status.restart_count for status in pod.status.container_statuses or [])
        lines: list[str] = []
        for previous in (True, False) if restarted else (False,):
            with suppress(ClusterRefused):  # The container has not begun.
                lines += self._read(pod, tail, previous=previous)
        return lines

    def keep(self, object_name: str, pods: Sequence[V1Pod]) -> None:
        """Write the end of the log down; what cannot be read or written is lost."""
        with suppress(ClusterUnreachable, ClusterRefused, OSError):
            if lines := self.read(pods, KEPT_LINES):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file(object_name).write_text("\n".join(lines), "utf-8")

    def kept(self, object_name: str) -> list[str]:
        try:
            return self._file(object_name).read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _read(self, pod: V1Pod, tail: int, *, previous: bool) -> list[str]:
        raw = self._cluster.once(
            self._bytes,
            pod.metadata.name,
            self._cluster.namespace,
            container=CONTAINER,
            previous=previous,
            tail_lines=tail,
            limit_bytes=_BYTES,
        )
        return raw.decode("utf-8", errors="replace").splitlines()

    def _bytes(self, *arguments: Any, **options: Any) -> bytes:
        """The log as it is: the client would read a log that looks like JSON as JSON."""
        read = self._cluster.core.read_namespaced_pod_log
        response = read(*arguments, _preload_content=False, **options)
        try:
            if response.status != 200:
                raise ApiException(status=response.status, reason=response.reason)
            return bytes(response.data)
        finally:
            response.release_conn()

    def _file(self, object_name: str) -> Path:
        return self._folder / f"{object_name}.log"
