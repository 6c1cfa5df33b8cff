"""What `flywheel doctor` looks at in a cluster: whether it answers, lets us work, and has what it takes.

Looking changes nothing. What a service account may not even look at (nodes, claims) is said to be unseen;
least privilege is no fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kubernetes.client import (
    AuthorizationV1Api,
    StorageV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    VersionApi,
)

from flywheel.config import KubernetesRuntimeConfig
from flywheel.errors import FlywheelError
from flywheel.runtime.kubernetes.cluster import Cluster, ClusterRefused, connect
from flywheel.telemetry.health import Finding

RIGHTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("batch", "jobs"): ("get", "list", "watch", "create", "patch", "delete"),
    ("apps", "deployments"): ("get", "list", "watch", "create", "patch", "delete"),
    ("", "pods"): ("get", "list", "watch", "delete"),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list",),
    ("", "services"): ("get", "create"),
    ("", "secrets"): ("create",),
    ("", "persistentvolumeclaims"): ("create",),
}
"""What the runtime does in its namespace: API group and resource, and the verbs."""
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


def examine(config: KubernetesRuntimeConfig) -> Iterator[Finding]:
    """Every finding about the cluster of `config`, as the account that asks sees it."""
    cluster = connect(config)
    try:
        try:
            yield reachable(cluster)
        except FlywheelError as error:
            mend = "see that the API server runs, and that runtime.kubeconfig and runtime.context are right"
            yield Finding("cluster", False, str(error), mend)
            return
        yield rights(cluster)
        yield _seen("cluster GPUs", lambda: _gpus(cluster, config))
        yield _seen("storage class", lambda: _storage_class(cluster, config))
        if config.volume_claim:
            claim = config.volume_claim
            yield _seen("volume claim", lambda: _claim(cluster, claim))
    finally:
        cluster.client.close()


def reachable(cluster: Cluster) -> Finding:
    """Whether the API server answers. Raises ClusterUnreachable, ClusterRefused."""
    version = cluster.once(VersionApi(cluster.client).get_code).git_version
    where = f"{cluster.client.configuration.host}, namespace {cluster.namespace}"
    return Finding("cluster", True, f"Kubernetes {version} at {where}")


def rights(cluster: Cluster) -> Finding:
    """Whether the account may do what the runtime does, right by right."""
    asked = AuthorizationV1Api(cluster.client).create_self_subject_access_review
    missing: list[str] = []
    for (group, resource), verbs in RIGHTS.items():
        name, _, part = resource.partition("/")
        for verb in verbs:
            attributes = V1ResourceAttributes(
                namespace=cluster.namespace, group=group, resource=name, subresource=part, verb=verb
            )
            spec = V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            if not cluster.call(asked, V1SelfSubjectAccessReview(spec=spec)).status.allowed:
                missing.append(f"{verb} {resource}")
    seen = f"lacks {', '.join(missing)}" if missing else "all that the runtime needs"
    mend = f"bind a Role with these rights in {cluster.namespace} to the service account (the chart has one)"
    return Finding("cluster rights", not missing, seen, mend)


def _seen(check: str, look: Callable[[], Finding]) -> Finding:
    """The finding, or that one may not look, which is no fault."""
    try:
        return look()
    except ClusterRefused as error:
        if error.http_status == 403:
            return Finding(check, True, "unseen: this account may not look")
        return Finding(check, False, str(error), "see the message", blocks=False)
    except FlywheelError as error:
        return Finding(check, False, str(error), "see the message", blocks=False)


def _gpus(cluster: Cluster, config: KubernetesRuntimeConfig) -> Finding:
    nodes = cluster.call(cluster.core.list_node).items
    per_node = [int((node.status.allocatable or {}).get(config.gpu_resource, "0")) for node in nodes]
    seen = f"{sum(per_node)} {config.gpu_resource} on {sum(n > 0 for n in per_node)} of {len(nodes)} nodes"
    mend = "install the device plugin, or correct runtime.gpu_resource; candidates with gpus: 0 need none"
    return Finding("cluster GPUs", sum(per_node) > 0, seen, mend, blocks=False)


def _storage_class(cluster: Cluster, config: KubernetesRuntimeConfig) -> Finding:
    classes: list[Any] = cluster.call(StorageV1Api(cluster.client).list_storage_class).items
    names = [each.metadata.name for each in classes]
    if config.storage_class:
        mend = f"correct runtime.storage_class; this cluster has {', '.join(names) or 'none'}"
        there = config.storage_class in names
        seen = config.storage_class if there else f"there is no {config.storage_class!r}"
        return Finding("storage class", there, seen, mend, blocks=False)
    default = [
        each.metadata.name
        for each in classes
        if (each.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true"
    ]
    mend = "name one as runtime.storage_class: caches of models (pvc_size) are claimed from it"
    return Finding("storage class", bool(default), ", ".join(default) or "no default", mend, blocks=False)


def _claim(cluster: Cluster, name: str) -> Finding:
    mend = "correct runtime.volume_claim: launched pods mount this service's data folder by it"
    try:
        claim = cluster.call(cluster.core.read_namespaced_persistent_volume_claim, name, cluster.namespace)
    except ClusterRefused as error:
        if error.http_status == 404:
            return Finding("volume claim", False, f"there is no {name!r} in {cluster.namespace}", mend)
        raise
    modes = ", ".join(claim.spec.access_modes or ())
    return Finding(
        "volume claim", claim.status.phase != "Lost", f"{name}: {claim.status.phase}, {modes}", mend
    )
