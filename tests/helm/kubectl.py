"""kubectl and helm on one cluster, in one namespace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helm.charts import run
from servers import Cluster


class Kubectl:
    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._access = (f"--kubeconfig={kubeconfig}", f"--namespace={namespace}")

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        return run("kubectl", *self._access, "--request-timeout=30s", *arguments, given=given)

    def helm(self, *arguments: str | Path) -> str:
        """Waits for what has to become ready as long as `arguments` say, at most four minutes."""
        return run("helm", *self._access, *arguments, timeout=240)

    def get(self, kind: str, name: str, path: str) -> str:
        return self("get", kind, name, "--output", f"jsonpath={{{path}}}")

    def address(self, service: str, port: int) -> str:
        """Where a Service is for those who stand outside the cluster, on its machine."""
        return f"http://{self.get('service', service, '.spec.clusterIP')}:{port}"


@contextmanager
def namespace(cluster: Cluster, name: str) -> Iterator[Kubectl]:
    """A namespace of its own, for as long as the body runs."""
    found = Kubectl(cluster.kubeconfig, name)
    found("create", "namespace", name)
    try:
        yield found
    finally:
        found("delete", "namespace", name, "--wait=false")
