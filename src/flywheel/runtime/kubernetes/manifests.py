"""What is created in the cluster for one launch, from the official client's typed objects; nothing is sent.

A job is a Job, a server a Deployment with a Service; both may have a Secret with the launch's environment and
a claim for its cache. All carry the labels of `labels_of`, by which they are found again. The pods hold no
rights, no token and no secret but by reference.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubernetes.client import (
    V1Capabilities,
    V1Container,
    V1ContainerPort,
    V1Deployment,
    V1DeploymentSpec,
    V1DeploymentStrategy,
    V1EmptyDirVolumeSource,
    V1EnvFromSource,
    V1EnvVar,
    V1HostPathVolumeSource,
    V1HTTPGetAction,
    V1Job,
    V1JobSpec,
    V1LabelSelector,
    V1LocalObjectReference,
    V1ObjectMeta,
    V1OwnerReference,
    V1PersistentVolumeClaim,
    V1PersistentVolumeClaimSpec,
    V1PersistentVolumeClaimVolumeSource,
    V1PodFailurePolicy,
    V1PodFailurePolicyOnExitCodesRequirement,
    V1PodFailurePolicyOnPodConditionsPattern,
    V1PodFailurePolicyRule,
    V1PodSecurityContext,
    V1PodSpec,
    V1PodTemplateSpec,
    V1Probe,
    V1ResourceRequirements,
    V1SeccompProfile,
    V1Secret,
    V1SecretEnvSource,
    V1SecurityContext,
    V1Service,
    V1ServicePort,
    V1ServiceSpec,
    V1Toleration,
    V1Volume,
    V1VolumeMount,
    V1VolumeResourceRequirements,
)

from flywheel.config import KubernetesRuntimeConfig
from flywheel.runtime.protocol import LaunchFailed, LaunchSpec

PORT: Final = 8000
"""Where every server listens, in a network of its own."""
CONTAINER: Final = "main"
HOME: Final = "/home/flywheel"
KUEUE_QUEUE: Final = "kueue.x-k8s.io/queue-name"
_STARTUP_S: Final = 3600
_GRACE_S: Final = 30
_LABEL: Final = re.compile(r"[^A-Za-z0-9._-]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Builder:
    """Makes the objects of launches of `owner` whose data is under `folder`."""

    config: KubernetesRuntimeConfig
    owner: str
    folder: Path

    def object_name(self, launch: str) -> str:
        """The DNS-safe name of everything that belongs to the launch; another launch has another."""
        return safe_name(launch, self.config.instance, self.owner)

    @property
    def selector(self) -> str:
        """Finds what this installation has launched, whichever of its services did."""
        return f"flywheel/instance={label_value(self.config.instance)}"

    def job(self, spec: LaunchSpec, secret: str | None) -> V1Job:
        """A Job that starts again where the cluster took its pod away, and never after the program's own
        failure. It is created held (suspended) where a secret is to follow, or where Kueue releases it."""
        taken_away = V1PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
        own_failure = V1PodFailurePolicyOnExitCodesRequirement(operator="NotIn", values=[0])
        rules = [
            V1PodFailurePolicyRule(action="Ignore", on_pod_conditions=[taken_away]),
            V1PodFailurePolicyRule(action="FailJob", on_exit_codes=own_failure),
        ]
        job = V1JobSpec(
            suspend=bool(secret or self.config.kueue_queue),
            parallelism=1,
            completions=1,
            backoff_limit=3,  # For pods that a node refused; they have no exit code.
            pod_failure_policy=V1PodFailurePolicy(rules=rules),
            pod_replacement_policy="Failed",  # Never two at once on one folder.
            template=self._template(spec, secret, restart="Never"),
        )
        return V1Job(api_version="batch/v1", kind="Job", metadata=self._metadata(spec), spec=job)

    def deployment(self, spec: LaunchSpec, secret: str | None) -> V1Deployment:
        """One pod; created without any (0 replicas) where a secret is to follow."""
        selector = V1LabelSelector(match_labels={"flywheel/launch": self.object_name(spec.name)})
        deployment = V1DeploymentSpec(
            replicas=0 if secret else 1,
            selector=selector,
            strategy=V1DeploymentStrategy(type="Recreate"),
            progress_deadline_seconds=_STARTUP_S,
            template=self._template(spec, secret, restart="Always"),
        )
        metadata = self._metadata(spec)
        return V1Deployment(api_version="apps/v1", kind="Deployment", metadata=metadata, spec=deployment)

    def service(self, spec: LaunchSpec, parent: V1Deployment) -> V1Service:
        """The address of the server's pod, whichever it is just now; it goes when `parent` goes."""
        name = self.object_name(spec.name)
        ports = [V1ServicePort(name="http", port=PORT, target_port=spec.port or PORT)]
        body = V1ServiceSpec(selector={"flywheel/launch": name}, ports=ports, type="ClusterIP")
        metadata = self._metadata(spec, parent=parent)
        return V1Service(api_version="v1", kind="Service", metadata=metadata, spec=body)

    def secret(self, name: str, spec: LaunchSpec, parent: V1Job | V1Deployment) -> V1Secret:
        """The launch's environment; it goes when `parent` goes."""
        metadata = self._metadata(spec, parent=parent, name=name)
        body = dict(spec.env)
        return V1Secret(api_version="v1", kind="Secret", metadata=metadata, immutable=True, string_data=body)

    def claim(self, spec: LaunchSpec) -> V1PersistentVolumeClaim | None:
        """The claim of the launch's cache, shared by all that name it, and kept when they have gone."""
        if spec.cache is None:
            return None
        size = V1VolumeResourceRequirements(requests={"storage": spec.cache.size})
        body = V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=size, storage_class_name=self.config.storage_class
        )
        metadata = V1ObjectMeta(
            name=self._claim_name(spec.cache.name),
            labels=self._common("cache"),
            annotations={"flywheel/name": spec.cache.name},
        )
        return V1PersistentVolumeClaim(
            api_version="v1", kind="PersistentVolumeClaim", metadata=metadata, spec=body
        )

    def _common(self, component: str) -> dict[str, str]:
        return {
            # Not the chart's own name: its Services must not find these pods.
            "app.kubernetes.io/name": "flywheel-launch",
            "app.kubernetes.io/instance": label_value(self.config.instance),
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": "flywheel",
            "app.kubernetes.io/managed-by": f"flywheel-{label_value(self.owner)}",
            "flywheel/instance": label_value(self.config.instance),
            "flywheel/owner": label_value(self.owner),
        }

    def _labels(self, spec: LaunchSpec) -> dict[str, str]:
        own = {f"flywheel/{label_value(key)}": label_value(value) for key, value in spec.labels.items()}
        queue = {KUEUE_QUEUE: self.config.kueue_queue} if self.config.kueue_queue else {}
        launch = {"flywheel/launch": self.object_name(spec.name)}
        component = "training" if spec.kind == "job" else "model-server"
        return {**own, **self._common(component), **launch, **queue}

    def _metadata(
        self, spec: LaunchSpec, *, parent: V1Job | V1Deployment | None = None, name: str | None = None
    ) -> V1ObjectMeta:
        annotations = {
            "flywheel/name": spec.name,
            "flywheel/fingerprint": spec.fingerprint,
            "flywheel/labels": json.dumps(dict(spec.labels), sort_keys=True),
        }
        return V1ObjectMeta(
            name=name or self.object_name(spec.name),
            labels=self._labels(spec),
            annotations=annotations,
            owner_references=[_owned_by(parent)] if parent else None,
        )

    def _claim_name(self, cache: str) -> str:
        return safe_name(f"cache-{cache}", self.config.instance, self.owner)

    def _template(self, spec: LaunchSpec, secret: str | None, *, restart: str) -> V1PodTemplateSpec:
        config = self.config
        identity = config.run_as_user
        pod = V1PodSpec(
            restart_policy=restart,
            containers=[self._container(spec, secret)],
            volumes=self._volumes(spec),
            security_context=V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=identity,
                run_as_group=identity,
                fs_group=identity,
                fs_group_change_policy="OnRootMismatch",
                seccomp_profile=V1SeccompProfile(type="RuntimeDefault"),
            ),
            service_account_name=config.service_account,
            automount_service_account_token=False,
            enable_service_links=False,
            image_pull_secrets=[V1LocalObjectReference(name=name) for name in config.image_pull_secrets],
            node_selector=dict(config.node_selector) or None,
            tolerations=[
                V1Toleration(
                    key=each.key,
                    operator=each.operator,
                    value=each.value,
                    effect=each.effect,
                    toleration_seconds=each.toleration_seconds,
                )
                for each in config.tolerations
            ],
            termination_grace_period_seconds=_GRACE_S,
        )
        annotations = {"flywheel/name": spec.name}
        return V1PodTemplateSpec(
            metadata=V1ObjectMeta(labels=self._labels(spec), annotations=annotations), spec=pod
        )

    def _container(self, spec: LaunchSpec, secret: str | None) -> V1Container:
        config = self.config
        requests = {"cpu": config.cpu_request, "memory": config.memory_request}
        limits = {"memory": config.memory_limit} if config.memory_limit else {}
        if spec.gpus:
            limits[config.gpu_resource] = str(spec.gpus)
        sources = [*config.env_secrets, *([secret] if secret else [])]
        return V1Container(
            name=CONTAINER,
            image=spec.image or config.image,
            image_pull_policy=config.image_pull_policy,
            command=list(spec.command) or None,
            working_dir=str(spec.workdir) if spec.files else None,
            env=[V1EnvVar(name=name, value=value) for name, value in _environment(spec).items()],
            env_from=[V1EnvFromSource(secret_ref=V1SecretEnvSource(name=name)) for name in sources],
            ports=[V1ContainerPort(name="http", container_port=spec.port)] if spec.port else None,
            resources=V1ResourceRequirements(requests=requests, limits=limits or None),
            security_context=V1SecurityContext(
                allow_privilege_escalation=False,
                privileged=False,
                read_only_root_filesystem=True,
                capabilities=V1Capabilities(drop=["ALL"]),
            ),
            volume_mounts=self._mounts(spec),
            startup_probe=_probe(spec, spec.health, period=2, failures=_STARTUP_S // 2),
            readiness_probe=_probe(spec, spec.health, period=5, failures=3),
            liveness_probe=_probe(spec, spec.alive, period=10, failures=6),
            termination_message_policy="FallbackToLogsOnError",
        )

    def _volumes(self, spec: LaunchSpec) -> list[V1Volume]:
        volumes = [V1Volume(name=name, empty_dir=V1EmptyDirVolumeSource()) for name in ("tmp", "home")]
        if spec.gpus:  # NCCL and PyTorch's loaders share memory; a container's own 64 MiB do not do.
            volumes.append(V1Volume(name="shm", empty_dir=V1EmptyDirVolumeSource(medium="Memory")))
        if spec.cache:
            claim = V1PersistentVolumeClaimVolumeSource(claim_name=self._claim_name(spec.cache.name))
            volumes.append(V1Volume(name="cache", persistent_volume_claim=claim))
        if spec.files and self.config.volume_claim:
            claim = V1PersistentVolumeClaimVolumeSource(claim_name=self.config.volume_claim)
            volumes.append(V1Volume(name="data", persistent_volume_claim=claim))
        elif spec.files:
            path = V1HostPathVolumeSource(path=str(self.folder), type="Directory")
            volumes.append(V1Volume(name="data", host_path=path))
        return volumes

    def _mounts(self, spec: LaunchSpec) -> list[V1VolumeMount]:
        mounts = [
            V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108 - the pod's own
            V1VolumeMount(name="home", mount_path=HOME),
        ]
        if spec.gpus:
            mounts.append(V1VolumeMount(name="shm", mount_path="/dev/shm"))  # noqa: S108 - the pod's own
        if spec.cache:
            mounts.append(V1VolumeMount(name="cache", mount_path=spec.cache.path))
        if spec.files:  # A server reads; only a training writes.
            reads = spec.kind == "server"
            mounts.append(V1VolumeMount(name="data", mount_path=str(self.folder), read_only=reads))
        return mounts


def check_environment(spec: LaunchSpec) -> None:
    """Raises LaunchFailed for a name that Kubernetes would leave out without a word."""
    for variable in spec.env:
        if not _VARIABLE.fullmatch(variable):
            raise LaunchFailed(spec.name, f"env: {variable!r} is no name of an environment variable")


def safe_name(text: str, *scope: str) -> str:
    """A DNS label of at most 63 characters that begins with a letter; other text or scope, another label."""
    digest = hashlib.sha256("\0".join((*scope, text)).encode()).hexdigest()[:10]
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:44].strip("-")
    if not readable[:1].isalpha():
        readable = f"fw-{readable}".strip("-")
    return f"{readable}-{digest}"


def label_value(text: str) -> str:
    """`text` as a label's value may be: 63 characters, and no others than letters, digits, '.', '_', '-'."""
    return _LABEL.sub("-", text)[:63].strip("._-")


def _owned_by(parent: V1Job | V1Deployment) -> V1OwnerReference:
    return V1OwnerReference(
        api_version=parent.api_version or ("batch/v1" if isinstance(parent, V1Job) else "apps/v1"),
        kind=parent.kind or ("Job" if isinstance(parent, V1Job) else "Deployment"),
        name=parent.metadata.name,
        uid=parent.metadata.uid,
    )


def _environment(spec: LaunchSpec) -> Mapping[str, str]:
    common = {
        "HOME": HOME,
        "USER": "flywheel",  # The user has no name in foreign images, and PyTorch asks for it.
        "XDG_CACHE_HOME": f"{HOME}/.cache",
        "PYTHONUNBUFFERED": "1",
    }
    # An image made for GPUs sees all of a node's devices unless told otherwise.
    return common if spec.gpus else {**common, "CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}


def _probe(spec: LaunchSpec, path: str | None, *, period: int, failures: int) -> V1Probe | None:
    if path is None or spec.port is None:
        return None
    action = V1HTTPGetAction(path=path, port=spec.port)
    return V1Probe(http_get=action, period_seconds=period, timeout_seconds=5, failure_threshold=failures)
