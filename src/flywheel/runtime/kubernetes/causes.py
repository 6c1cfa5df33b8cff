"""What the cluster's objects say, in our words: where a launch stands, and why. Pure functions.

A program's own end is `failed`; that a node or its pod was taken away is `pending`, because the cluster
starts the program again. What cannot start yet is `pending` with what it waits for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from kubernetes.client import CoreV1Event, V1ContainerStatus, V1Deployment, V1Job, V1Pod

from flywheel.runtime.kubernetes.manifests import CONTAINER, KUEUE_QUEUE
from flywheel.runtime.protocol import Status

IMAGE_TROUBLE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
)
SETUP_TROUBLE: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_SHORT: Final = re.compile(r"(?P<nodes>\d+/\d+) nodes are available: (?P<why>.*)")


def job_status(job: V1Job, pods: Sequence[V1Pod], gpu_resource: str) -> Status:
    """Where the Job stands, from itself and its pods."""
    conditions = (
        {c.type: c for c in (job.status.conditions or []) if c.status == "True"} if job.status else {}
    )
    if "Complete" in conditions:
        return Status(state="succeeded", exit_code=0)
    if failed := conditions.get("Failed"):
        ended = [end for pod in _by_age(pods) if (end := _end_of(pod)) is not None]
        return ended[-1] if ended else Status(state="failed", cause=failed.message or failed.reason)
    if job.spec.suspend:
        queue = (job.metadata.labels or {}).get(KUEUE_QUEUE)
        return Status(state="pending", cause=f"waiting in queue {queue!r}" if queue else "being created")
    live = [pod for pod in _by_age(pods) if pod.metadata.deletion_timestamp is None]
    if live:
        return _pod_status(live[-1], gpu_resource)
    leaving = [pod for pod in _by_age(pods) if pod.status.phase in ("Running", "Pending")]
    cause = "its pod is being taken away, and will be started again" if leaving else None
    return Status(state="pending", cause=cause)


def server_status(deployment: V1Deployment, pods: Sequence[V1Pod], gpu_resource: str) -> Status:
    """Where the Deployment's one pod stands. A program that ended has failed, though the cluster starts it
    again: that is its owner's decision, who must know of it."""
    live = [pod for pod in _by_age(pods) if pod.metadata.deletion_timestamp is None]
    standing = [pod for pod in live if pod.status.phase in ("Pending", "Running")]
    if standing:
        pod = standing[-1]
        ended = _last_end(pod)
        return ended or _pod_status(pod, gpu_resource)
    for condition in (deployment.status.conditions or []) if deployment.status else []:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return Status(state="pending", cause=refusal(condition.message or condition.reason))
    return Status(state="pending", cause=_eviction(live[-1]) if live else None)


def waiting_reason(pod: V1Pod) -> str | None:
    """Kubernetes' own word for what keeps the pod's container from running."""
    main = _main(pod)
    waiting = main.state.waiting if main is not None and main.state else None
    return waiting.reason if waiting else None


def events_cause(events: Sequence[CoreV1Event]) -> str | None:
    """The newest warning in people's words."""
    warnings = [event for event in events if event.type == "Warning"]
    if not warnings:
        return None
    newest = max(warnings, key=_when)
    return refusal(newest.message or newest.reason)


def refusal(message: str) -> str:
    """A controller's refusal without the generated name of the pod in front."""
    return re.sub(r'^Error creating: pods? "[^"]*" is forbidden: ', "not allowed to start: ", message)


def unschedulable(message: str, gpus: int, gpu_resource: str) -> str:
    """The scheduler's sentence, shortened; where GPUs are short, how many are wanted."""
    said = _SHORT.match(message)
    if said is None:
        return f"Unschedulable: {message}"
    why = said["why"].split(" preemption:")[0].rstrip(". ")
    if gpus and f"Insufficient {gpu_resource}" in why:
        return f"Unschedulable: {said['nodes']} nodes have {gpus} {gpu_resource} free"
    return f"Unschedulable: {said['nodes']} nodes are fit: {why}"


def gpus_of(pod_spec: object, gpu_resource: str) -> int:
    """GPUs that a pod's first container asks for."""
    containers = getattr(pod_spec, "containers", None) or []
    resources = containers[0].resources if containers else None
    return int(str((resources.limits or {}).get(gpu_resource, 0))) if resources else 0


def _pod_status(pod: V1Pod, gpu_resource: str) -> Status:
    life = str(pod.metadata.uid)
    match pod.status.phase:
        case "Running":
            return Status(state="running", life=life)
        case "Succeeded":  # Its Job is about to say so.
            return Status(state="running", life=life)
        case "Failed":  # Its Job has not decided yet; where this is the program's own end, it will say so.
            return Status(state="pending", cause=_eviction(pod), life=life)
    return Status(state="pending", cause=_pending_cause(pod, gpu_resource), life=life)


def _pending_cause(pod: V1Pod, gpu_resource: str) -> str | None:
    queue = (pod.metadata.labels or {}).get(KUEUE_QUEUE)
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            if condition.reason == "SchedulingGated" and queue:
                return f"waiting in queue {queue!r}"
            gpus = gpus_of(pod.spec, gpu_resource)
            return unschedulable(condition.message or condition.reason or "", gpus, gpu_resource)
    main = _main(pod)
    waiting = main.state.waiting if main is not None and main.state else None
    if main is None or waiting is None:
        return None
    if waiting.reason in IMAGE_TROUBLE:
        return f"image {pod.spec.containers[0].image!r} cannot be had: {waiting.message or waiting.reason}"
    if waiting.reason in SETUP_TROUBLE:
        return f"{waiting.reason}: {waiting.message}"
    return None


def _end_of(pod: V1Pod) -> Status | None:
    """How the pod's program ended, if it did."""
    main = _main(pod)
    end = main.state.terminated if main is not None and main.state else None
    if end is not None and end.exit_code:
        # Kubelets before 1.26, and those that were restarted, set no DisruptionTarget.
        taken = bool(pod.status.reason) or end.reason == "ContainerStatusUnknown"
        cause = (_eviction(pod) if taken else None) or _cause_of(end, pod)
        return Status(state="failed", exit_code=end.exit_code, cause=cause, taken=taken)
    if pod.status.phase == "Failed":
        return Status(state="failed", cause=_eviction(pod), taken=True)
    return None


def _last_end(pod: V1Pod) -> Status | None:
    """How a server's program ended that the kubelet has started or is going to start again."""
    main = _main(pod)
    if main is None:
        return None
    for state in (main.state, main.last_state):
        if state and (end := state.terminated):
            return Status(state="failed", exit_code=end.exit_code, cause=_cause_of(end, pod))
    return None


def _cause_of(end: object, pod: V1Pod) -> str:
    code, reason = getattr(end, "exit_code", None), getattr(end, "reason", None)
    if reason == "OOMKilled":
        resources = pod.spec.containers[0].resources
        limit = (resources.limits or {}).get("memory") if resources else None
        return f"OOMKilled: it needed more memory than {limit or 'its node had'}"
    if reason in ("ContainerCannotRun", "StartError"):
        return f"{reason}: {getattr(end, 'message', None) or 'the command cannot be started'}"
    return f"exit code {code}"


def _eviction(pod: V1Pod) -> str | None:
    """Why the cluster took the pod away."""
    for condition in pod.status.conditions or []:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"Evicted: {condition.message or condition.reason}; it is started again"
    if pod.status.reason:
        return f"{pod.status.reason}: {pod.status.message or 'no more is known'}"
    return None


def _main(pod: V1Pod) -> V1ContainerStatus | None:
    return next((c for c in pod.status.container_statuses or [] if c.name == CONTAINER), None)


def _by_age(pods: Sequence[V1Pod]) -> list[V1Pod]:
    return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))


def _when(event: CoreV1Event) -> datetime:
    moments = (event.last_timestamp, event.event_time, event.metadata.creation_timestamp)
    return next((moment for moment in moments if moment is not None), datetime.min.replace(tzinfo=UTC))
