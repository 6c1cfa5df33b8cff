"""The door to the API server: access, timeouts, retries of what may be repeated, its errors in our words."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from kubernetes import config as access
from kubernetes.client import ApiClient, AppsV1Api, BatchV1Api, Configuration, CoreV1Api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from flywheel.config import KubernetesRuntimeConfig
from flywheel.errors import ConfigError, FlywheelError, Unavailable

Result = TypeVar("Result")

TIMEOUT_S: Final = (3.0, 6.0)
"""To connect, and to the next bytes of an answer."""
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


class ClusterUnreachable(Unavailable):
    """The API server does not answer, or is too busy to."""

    code = "cluster_unreachable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the Kubernetes API server does not answer: {reason}")


class ClusterRefused(FlywheelError):
    """The API server understood and said no."""

    code = "cluster_refused"

    def __init__(self, http_status: int, reason: str) -> None:
        self.http_status, self.reason = http_status, reason
        super().__init__(f"the Kubernetes API server refused ({http_status}): {reason}")


@dataclass(frozen=True)
class Cluster:
    """Typed clients for one namespace. `inside`: this program runs in the cluster, and knows its names."""

    client: ApiClient
    namespace: str
    inside: bool
    pauses_s: Sequence[float] = (0.2, 0.5, 1.0, 2.0)

    @property
    def batch(self) -> BatchV1Api:
        return BatchV1Api(self.client)

    @property
    def apps(self) -> AppsV1Api:
        return AppsV1Api(self.client)

    @property
    def core(self) -> CoreV1Api:
        return CoreV1Api(self.client)

    def call(self, act: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """`act` with timeouts, tried again while the server is away: everything sent here may be repeated,
        because names are chosen by us. Raises ClusterUnreachable, ClusterRefused."""
        for pause in self.pauses_s:
            try:
                return self.once(act, *arguments, **options)
            except ClusterUnreachable:
                time.sleep(pause)
        return self.once(act, *arguments, **options)

    def once(self, act: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """`act` with timeouts, tried once."""
        try:
            return act(*arguments, _request_timeout=TIMEOUT_S, **options)
        except ApiException as error:
            if error.status in _PASSING or not error.status:
                raise ClusterUnreachable(f"{error.status} {_message(error)}") from error
            raise ClusterRefused(error.status, _message(error)) from error
        except (HTTPError, OSError) as error:
            raise ClusterUnreachable(type(error).__name__) from error

    def find(self, act: Callable[..., Result], *arguments: Any) -> Result | None:
        """What `act` reads; None where there is no such thing."""
        try:
            return self.call(act, *arguments)
        except ClusterRefused as error:
            if error.http_status == 404:
                return None
            raise

    def ensure(self, act: Callable[..., Result], *arguments: Any) -> Result | None:
        """What `act` creates; None where it is there already."""
        try:
            return self.call(act, *arguments)
        except ClusterRefused as error:
            if error.http_status == 409:
                return None
            raise


def connect(config: KubernetesRuntimeConfig) -> Cluster:
    """The cluster that the settings mean: that of this pod, or a kubeconfig's. Raises ConfigError."""
    settings = Configuration()
    inside = config.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if inside:
            access.load_incluster_config(client_configuration=settings)
            namespace = config.namespace or (_SERVICE_ACCOUNT / "namespace").read_text().strip()
        else:
            file = str(config.kubeconfig) if config.kubeconfig else None
            access.load_kube_config(file, context=config.context, client_configuration=settings)
            namespace = config.namespace or _namespace(file, config.context)
    except (access.ConfigException, OSError) as error:
        outside = f"runtime.kubeconfig: {config.kubeconfig or 'the usual one'}"
        where = "the pod's service account" if inside else outside
        raise ConfigError(f"{where}: no access to a Kubernetes cluster: {error}") from error
    settings.retries = 0
    return Cluster(ApiClient(settings), namespace, inside)


def _namespace(file: str | None, context: str | None) -> str:
    contexts, current = access.list_kube_config_contexts(file)
    chosen = next((each for each in contexts if each["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")


def _message(error: ApiException) -> str:
    """What the server says, without the headers that the client's own text has in it."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
