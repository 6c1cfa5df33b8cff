"""Programs as Jobs and Deployments of a Kubernetes cluster.

The cluster is the record: names are made from launches' names, so that asking twice creates once, and a later
life of this program finds by label what runs and takes it over. `manifests` says what is created, `causes`
what it means, `mirror` keeps a copy to read from; here is the order of things.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from kubernetes.client import V1DeleteOptions, V1Deployment, V1Job, V1Pod

from flywheel.config import KubernetesRuntimeConfig
from flywheel.errors import ConfigError, Unavailable
from flywheel.log import get_logger
from flywheel.runtime.kubernetes import causes
from flywheel.runtime.kubernetes.checks import reachable
from flywheel.runtime.kubernetes.cluster import (
    TIMEOUT_S,
    ClusterRefused,
    ClusterUnreachable,
    connect,
)
from flywheel.runtime.kubernetes.logs import PodLogs
from flywheel.runtime.kubernetes.manifests import PORT, Builder, check_environment
from flywheel.runtime.kubernetes.mirror import Mirror
from flywheel.runtime.kubernetes.waiting import Waiting
from flywheel.runtime.protocol import (
    Handle,
    LaunchConflict,
    LaunchFailed,
    LaunchSpec,
    NotEnoughGpus,
    Site,
    Status,
)
from flywheel.telemetry.health import Finding

log = get_logger(__name__)

Launched: TypeAlias = V1Job | V1Deployment

_LOOK_S: Final = 0.2
_GRACE_S: Final = 5.0
_LAUNCH_PATIENCE_S: Final = 10.0
"""For the program that had the name before; who launches comes again."""


class StillEnding(Unavailable):
    """The program that had the name before is on its way out."""

    code = "still_ending"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is still being ended by the cluster")


class KubernetesRuntime:
    """Runs the programs of `owner`, one of our services, whose data folder is `folder`.

    Pods see that folder at the same place: through `volume_claim`, or `host_path` where the nodes have it.
    An image that cannot be had within `image_patience_s` is a failure.

    Raises ConfigError when the cluster cannot be entered, or no volume is named.
    """

    def __init__(
        self,
        config: KubernetesRuntimeConfig,
        *,
        folder: Path,
        owner: str,
        image_patience_s: float = 120.0,
        end_patience_s: float = 120.0,
    ) -> None:
        _check_volume(config, folder)
        self._config, self._folder = config, folder.resolve()
        self._builder = Builder(config, owner, self._folder)
        self._owner = owner
        self._end_patience_s = end_patience_s
        self._cluster = connect(config)
        self._logs = PodLogs(self._cluster, self._folder / "runtime" / owner)
        self._waiting = Waiting(self._cluster, image_patience_s)
        self._lock = threading.RLock()
        self._change, self._generation = threading.Condition(), 0
        scope = {"namespace": self._cluster.namespace, "label_selector": self._builder.selector}
        batch, apps, core = self._cluster.batch, self._cluster.apps, self._cluster.core
        self._jobs: Mirror[V1Job] = Mirror("jobs", partial(batch.list_namespaced_job, **scope), self._told)
        self._servers: Mirror[V1Deployment] = Mirror(
            "deployments", partial(apps.list_namespaced_deployment, **scope), self._told
        )
        self._pods: Mirror[V1Pod] = Mirror("pods", partial(core.list_namespaced_pod, **scope), self._told)

    @property
    def site(self) -> Site:
        return Site(
            python="python",
            host="0.0.0.0",  # noqa: S104 - of a pod, which has an address of its own
            port=PORT,
            holds_stdin=False,
            containers=True,
            gpus=self._config.gpus,
        )

    def launch(self, spec: LaunchSpec) -> Handle:
        with self._lock:
            known = self._read(spec.name)
            if known is None:
                self._check_gpus(spec)
                known, started = self._create(spec), True
            else:
                known, started = self._resume(spec, known)
            address = self._complete(spec, known)
        if started:
            log.info("launched", extra={"launch": spec.name, "command": " ".join(spec.command)})
        return Handle(name=spec.name, started=started, address=address)

    def status(self, name: str) -> Status:
        if not self._know_all():
            with suppress(ClusterUnreachable):
                return self._status_of(self._read(name))
            return Status(state="pending", cause="the Kubernetes API server does not answer")
        object_name = self._builder.object_name(name)
        return self._status_of(self._jobs.get(object_name) or self._servers.get(object_name))

    def wait(self, name: str, timeout_s: float) -> Status:
        end = time.monotonic() + timeout_s
        while True:
            seen = self._generation
            status = self.status(name)
            left = end - time.monotonic()
            if status.ended or left <= 0:
                return status
            with self._change:
                if self._generation == seen:
                    self._change.wait(left)

    def logs(self, name: str, tail: int = 200) -> str:
        object_name = self._builder.object_name(name)
        lines: list[str] = []
        with suppress(ClusterUnreachable, ClusterRefused):
            lines = self._logs.read(self._pods_of(name), tail)
        return "\n".join((lines or self._logs.kept(object_name))[-tail:])

    def stop(self, name: str, grace_s: float = 5.0) -> None:
        """End and forget the program. Raises Unavailable when the cluster did not answer for minutes."""
        end = time.monotonic() + self._end_patience_s
        while True:
            try:
                known = self._read(name)
                if known is not None:
                    self._end(name, known, grace_s, self._end_patience_s)
                    log.info("stopped", extra={"launch": name})
            except ClusterUnreachable:
                if time.monotonic() > end:
                    raise
            else:
                return

    def names(self, labels: Mapping[str, str]) -> list[str]:
        return sorted(
            _annotation(each, "name")
            for each in self._launches(self._end_patience_s)
            if self._is_mine(each) and labels.items() <= json.loads(_annotation(each, "labels")).items()
        )

    def reap(self) -> list[str]:
        return []

    def check(self) -> list[Finding]:
        return [reachable(self._cluster)]

    def close(self) -> None:
        for mirror in (self._jobs, self._servers, self._pods):
            mirror.close()
        self._cluster.client.close()

    def _told(self) -> None:
        with self._change:
            self._generation += 1
            self._change.notify_all()

    def _know_all(self) -> bool:
        return self._jobs.synced and self._servers.synced and self._pods.synced

    def _launches(self, patience_s: float) -> list[Launched]:
        """What this installation has in the cluster. Raises ClusterUnreachable where it was never listed."""
        if not (self._jobs.wait_synced(patience_s) and self._servers.wait_synced(patience_s)):
            raise ClusterUnreachable("what runs there could not be listed")
        return [*self._jobs.all(), *self._servers.all()]

    def _is_mine(self, launched: Launched) -> bool:
        return (launched.metadata.labels or {}).get("flywheel/owner") == self._owner

    # Starting

    def _resume(self, spec: LaunchSpec, known: Launched) -> tuple[Launched, bool]:
        """What is there already under the name, or what takes its place; and whether that was started."""
        if known.metadata.deletion_timestamp is not None:
            self._await_gone(spec.name, known, _GRACE_S, _LAUNCH_PATIENCE_S)
            return self._create(spec), True
        status = self._status_of(known)
        same = _annotation(known, "fingerprint") == spec.fingerprint
        if not status.ended and not same:
            raise LaunchConflict(spec.name)
        if not status.ended or (status.state == "succeeded" and same):
            return known, False
        self._end(spec.name, known, _GRACE_S, _LAUNCH_PATIENCE_S)
        self._check_gpus(spec)
        return self._create(spec), True

    def _create(self, spec: LaunchSpec) -> Launched:
        """Create the Job or Deployment; where a secret is to follow, it does not run yet."""
        check_environment(spec)
        namespace = self._cluster.namespace
        secret = f"{self._builder.object_name(spec.name)}-{secrets.token_hex(2)}" if spec.env else None
        self._prepare_folder(spec)
        try:
            if (claim := self._builder.claim(spec)) is not None:
                create_claim = self._cluster.core.create_namespaced_persistent_volume_claim
                self._cluster.ensure(create_claim, namespace, claim)
            created: Launched | None
            if spec.kind == "job":
                job = self._builder.job(spec, secret)
                created = self._cluster.ensure(self._cluster.batch.create_namespaced_job, namespace, job)
            else:
                server = self._builder.deployment(spec, secret)
                create_server = self._cluster.apps.create_namespaced_deployment
                created = self._cluster.ensure(create_server, namespace, server)
        except ClusterRefused as error:
            raise LaunchFailed(spec.name, error.reason) from error
        created = created or self._read(spec.name)
        if created is None:
            raise StillEnding(spec.name)
        self._mirror_of(created).put(created)
        return created

    def _complete(self, spec: LaunchSpec, launched: Launched) -> str | None:
        """Add what follows the Job or Deployment, and let it go; an earlier life may have come halfway.
        Returns the server's address."""
        namespace, held = self._cluster.namespace, _held_secret(launched)
        try:
            if held is not None and not self._let_go(launched):
                secret = self._builder.secret(held, spec, launched)
                self._cluster.ensure(self._cluster.core.create_namespaced_secret, namespace, secret)
                self._release(launched)
            if not isinstance(launched, V1Deployment):
                return None
            service = self._builder.service(spec, launched)
            create, read = (
                self._cluster.core.create_namespaced_service,
                self._cluster.core.read_namespaced_service,
            )
            made = self._cluster.ensure(create, namespace, service)
            made = made or self._cluster.call(read, service.metadata.name, namespace)
        except ClusterRefused as error:
            raise LaunchFailed(spec.name, error.reason) from error
        host = f"{made.metadata.name}.{namespace}.svc" if self._cluster.inside else made.spec.cluster_ip
        return f"http://{host}:{PORT}"

    def _let_go(self, launched: Launched) -> bool:
        """Whether the launch runs, or has run, with its secret."""
        if isinstance(launched, V1Deployment):
            return bool(launched.spec.replicas)
        return not launched.spec.suspend

    def _release(self, launched: Launched) -> None:
        """Let a held launch run; a Job in a queue of Kueue is Kueue's to release."""
        name, namespace = launched.metadata.name, self._cluster.namespace
        released: Launched
        if isinstance(launched, V1Deployment):
            patch = self._cluster.apps.patch_namespaced_deployment
            released = self._cluster.call(patch, name, namespace, {"spec": {"replicas": 1}})
        elif self._config.kueue_queue is None:
            patch_job = self._cluster.batch.patch_namespaced_job
            released = self._cluster.call(patch_job, name, namespace, {"spec": {"suspend": False}})
        else:
            return
        self._mirror_of(released).put(released)

    def _prepare_folder(self, spec: LaunchSpec) -> None:
        if not spec.files:
            return
        try:
            spec.workdir.mkdir(parents=True, exist_ok=True)
            if self._config.host_path and os.geteuid() == 0:
                os.chown(spec.workdir, self._config.run_as_user, self._config.run_as_user)
        except OSError as error:
            raise LaunchFailed(spec.name, str(error)) from error

    def _check_gpus(self, spec: LaunchSpec) -> None:
        """Count what all our services have running against the budget, where there is one."""
        total, resource = self._config.gpus, self._config.gpu_resource
        if total is None or not spec.gpus:
            return
        name = self._builder.object_name(spec.name)
        live = [each for each in self._launches(TIMEOUT_S[1]) if not _over(each)]
        asked = (
            causes.gpus_of(each.spec.template.spec, resource) for each in live if each.metadata.name != name
        )
        free = total - sum(asked)
        if spec.gpus > free:
            raise NotEnoughGpus(spec.name, spec.gpus, max(0, free), total)

    # Looking

    def _read(self, name: str) -> Launched | None:
        """The launch's Job or Deployment as the API server has it now."""
        object_name, namespace = self._builder.object_name(name), self._cluster.namespace
        job: V1Job | None = self._cluster.find(
            self._cluster.batch.read_namespaced_job, object_name, namespace
        )
        if job is not None:
            return job
        read = self._cluster.apps.read_namespaced_deployment
        server: V1Deployment | None = self._cluster.find(read, object_name, namespace)
        return server

    def _mirror_of(self, launched: Launched) -> Mirror[V1Job] | Mirror[V1Deployment]:
        return self._servers if isinstance(launched, V1Deployment) else self._jobs

    def _pods_of(self, name: str) -> list[V1Pod]:
        object_name = self._builder.object_name(name)
        if self._pods.synced:
            pods = self._pods.all()
        else:
            listing = self._cluster.core.list_namespaced_pod
            selector = f"flywheel/launch={object_name}"
            pods = self._cluster.call(listing, self._cluster.namespace, label_selector=selector).items
        return [pod for pod in pods if (pod.metadata.labels or {}).get("flywheel/launch") == object_name]

    def _status_of(self, launched: Launched | None) -> Status:
        if launched is None or launched.metadata.deletion_timestamp is not None:
            return Status(state="absent")
        pods = self._pods_of(_annotation(launched, "name"))
        resource = self._config.gpu_resource
        if isinstance(launched, V1Deployment):
            status = causes.server_status(launched, pods, resource)
        else:
            status = causes.job_status(launched, pods, resource)
        if status.state == "pending":
            return self._waiting.judge(status, str(launched.metadata.uid), pods)
        return status

    # Ending

    def _end(self, name: str, launched: Launched, grace_s: float, patience_s: float) -> None:
        """Keep the log's end, delete, and wait until nothing of it is left. Raises StillEnding."""
        with suppress(ClusterUnreachable):
            self._logs.keep(launched.metadata.name, self._pods_of(name))
        object_name, namespace = launched.metadata.name, self._cluster.namespace
        uid = {"uid": launched.metadata.uid}
        options = V1DeleteOptions(propagation_policy="Foreground", preconditions=uid)
        apps, batch = self._cluster.apps, self._cluster.batch
        server = isinstance(launched, V1Deployment)
        delete = apps.delete_namespaced_deployment if server else batch.delete_namespaced_job
        self._ignore_absent(delete, object_name, namespace, body=options)
        self._await_gone(name, launched, grace_s, grace_s + patience_s)

    def _await_gone(self, name: str, launched: Launched, grace_s: float, patience_s: float) -> None:
        """Raises StillEnding when a node holds on to its pod for longer; the cluster goes on by itself."""
        end, uid = time.monotonic() + patience_s, launched.metadata.uid
        hurried: set[str] = set()
        while (found := self._read(name)) is not None and found.metadata.uid == uid:
            self._hurry(launched.metadata.name, grace_s, hurried)
            if time.monotonic() > end:
                raise StillEnding(name)
            with self._change:
                self._change.wait(_LOOK_S)
        self._mirror_of(launched).forget(launched)

    def _hurry(self, object_name: str, grace_s: float, hurried: set[str]) -> None:
        """Give the pods that are being ended the grace and no more; others would be replaced."""
        delete, namespace = self._cluster.core.delete_namespaced_pod, self._cluster.namespace
        for pod in self._pods_now(object_name):
            uid = str(pod.metadata.uid)
            if pod.metadata.deletion_timestamp is not None and uid not in hurried:
                options = V1DeleteOptions(
                    grace_period_seconds=max(1, round(grace_s)), preconditions={"uid": uid}
                )
                self._ignore_absent(delete, pod.metadata.name, namespace, body=options)
                hurried.add(uid)

    def _ignore_absent(self, act: object, *arguments: object, **options: object) -> None:
        try:
            self._cluster.call(act, *arguments, **options)  # type: ignore[arg-type]
        except ClusterRefused as error:
            if error.http_status not in (404, 409):  # 409: another of that name by now.
                raise

    def _pods_now(self, object_name: str) -> list[V1Pod]:
        listing = self._cluster.core.list_namespaced_pod
        selector = f"flywheel/launch={object_name}"
        pods: list[V1Pod] = self._cluster.call(
            listing, self._cluster.namespace, label_selector=selector
        ).items
        return pods


def _check_volume(config: KubernetesRuntimeConfig, folder: Path) -> None:
    if config.volume_claim and config.host_path:
        raise ConfigError("runtime: volume_claim and host_path are two ways to the data folder; name one")
    if not config.volume_claim and not config.host_path:
        raise ConfigError(
            f"runtime.volume_claim is missing: launched pods need {folder} as this service has it; name the "
            "claim that is mounted there, or set host_path: true where the cluster's nodes see that folder"
        )


def _annotation(launched: Launched, key: str) -> str:
    return str((launched.metadata.annotations or {}).get(f"flywheel/{key}", ""))


def _held_secret(launched: Launched) -> str | None:
    """Name of the launch's own Secret, if it has one; it is the last that the pod takes values from."""
    sources = launched.spec.template.spec.containers[0].env_from or []
    names = [source.secret_ref.name for source in sources if source.secret_ref]
    own = [name for name in names if name.startswith(f"{launched.metadata.name}-")]
    return own[-1] if own else None


def _over(launched: Launched) -> bool:
    """Whether it uses nothing any more: a Deployment's conditions have other names."""
    conditions = (launched.status.conditions or []) if launched.status else []
    return any(each.type in ("Complete", "Failed") and each.status == "True" for each in conditions)
