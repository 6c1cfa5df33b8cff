"""What the cluster's objects say, in our words: names, causes, GPUs. Without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from flywheel.runtime.kubernetes import causes
from flywheel.runtime.kubernetes.manifests import label_value, safe_name

GPU = "nvidia.com/gpu"
VAIN = " preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."


def pod(phase: str = "Pending", *, minute: int = 0, **status: Any) -> client.V1Pod:
    container = client.V1Container(name="main", image="x:1")
    container.resources = client.V1ResourceRequirements(limits={GPU: "1"})
    created = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    metadata = client.V1ObjectMeta(name=f"pod-{minute}", uid=f"uid-{minute}", creation_timestamp=created)
    return client.V1Pod(
        metadata=metadata,
        spec=client.V1PodSpec(containers=[container]),
        status=client.V1PodStatus(phase=phase, **status),
    )


def condition(kind: str, status: str, **more: str) -> client.V1PodCondition:
    return client.V1PodCondition(type=kind, status=status, **more)


def main(**state: Any) -> list[client.V1ContainerStatus]:
    return [
        client.V1ContainerStatus(
            name="main",
            image="x:1",
            image_id="",
            ready=False,
            restart_count=0,
            state=client.V1ContainerState(**state),
        )
    ]


def ended(code: int) -> client.V1ContainerStateTerminated:
    return client.V1ContainerStateTerminated(exit_code=code)


def job(*conditions: str, suspend: bool = False, labels: dict[str, str] | None = None) -> client.V1Job:
    found = [client.V1JobCondition(type=c, status="True", reason="BackoffLimitExceeded") for c in conditions]
    template = client.V1PodTemplateSpec(spec=client.V1PodSpec(containers=[client.V1Container(name="main")]))
    return client.V1Job(
        metadata=client.V1ObjectMeta(name="one", labels=labels),
        spec=client.V1JobSpec(suspend=suspend, template=template),
        status=client.V1JobStatus(conditions=found),
    )


@pytest.mark.parametrize(
    ("message", "gpus", "said"),
    [
        (
            f"0/3 nodes are available: 1 node(s) had untolerated taint {{a: b}}, 2 Insufficient {GPU}.{VAIN}",
            1,
            "Unschedulable: 0/3 nodes have 1 nvidia.com/gpu free",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: none.",
            1,
            "Unschedulable: 0/3 nodes are fit: 3 node(s) didn't match Pod's node affinity/selector",
        ),
        ("no nodes available to schedule pods", 0, "Unschedulable: no nodes available to schedule pods"),
    ],
)
def test_the_schedulers_sentence(message: str, gpus: int, said: str) -> None:
    assert causes.unschedulable(message, gpus, GPU) == said


def test_a_job_without_a_pod_is_pending() -> None:
    assert causes.job_status(job(), [], GPU).state == "pending"


def test_the_newest_pod_counts() -> None:
    first = pod("Failed", reason="Evicted", message="The node was low on resource")
    status = causes.job_status(job(), [pod("Running", minute=1), first], GPU)
    assert (status.state, status.life) == ("running", "uid-1")


def test_an_evicted_pod_whose_job_goes_on_is_pending_with_the_cause() -> None:
    taken = condition("DisruptionTarget", "True", message="Taint manager: deleting due to NoExecute taint")
    status = causes.job_status(job(), [pod("Failed", conditions=[taken])], GPU)

    assert status.state == "pending"
    assert status.cause == "Evicted: Taint manager: deleting due to NoExecute taint; it is started again"


@pytest.mark.parametrize(
    ("pods", "code", "cause", "taken"),
    [
        ([], None, "BackoffLimitExceeded", False),
        (
            [
                pod(
                    "Failed",
                    container_statuses=main(terminated=ended(3)),
                )
            ],
            3,
            "exit code 3",
            False,
        ),
        ([pod("Failed", reason="NodeLost", message="gone")], None, "NodeLost: gone", True),
    ],
)
def test_why_a_job_failed(pods: list[client.V1Pod], code: int | None, cause: str, taken: bool) -> None:
    status = causes.job_status(job("Failed"), pods, GPU)
    assert (status.state, status.exit_code, status.cause, status.taken) == ("failed", code, cause, taken)


def test_a_pod_behind_kueues_gate_names_its_queue() -> None:
    gated = pod(conditions=[condition("PodScheduled", "False", reason="SchedulingGated")])
    gated.metadata.labels = {"kueue.x-k8s.io/queue-name": "students"}
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta())
    spec = client.V1DeploymentSpec(selector=client.V1LabelSelector(), template=template)
    server = client.V1Deployment(spec=spec, status=client.V1DeploymentStatus())

    status = causes.server_status(server, [gated], GPU)

    assert (status.state, status.cause) == ("pending", "waiting in queue 'students'")


def test_a_secret_that_is_missing_is_named() -> None:
    waiting = client.V1ContainerStateWaiting(
        reason="CreateContainerConfigError", message='secret "ngc" not found'
    )
    status = causes.job_status(job(), [pod(container_statuses=main(waiting=waiting))], GPU)
    assert status.cause == 'CreateContainerConfigError: secret "ngc" not found'


@pytest.mark.parametrize("name", ["cust-AbC", "1.2_3", "---", "x" * 128, "a.b", "a-b", "A-B", "ä"])
def test_names_are_labels_of_dns_and_different(name: str) -> None:
    made = safe_name(name, "flywheel", "customizer")

    assert len(made) <= 58
    assert made[0].isalpha()
    assert made == made.lower().strip("-")
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    others = {safe_name(name + "x", "flywheel", "customizer"), safe_name(name, "flywheel", "deployments")}
    assert made not in others


@pytest.mark.parametrize(
    ("text", "value"), [("meta/llama-3", "meta-llama-3"), ("x" * 80, "x" * 63), ("//", ""), ("a b\n", "a-b")]
)
def test_labels_hold_what_they_may(text: str, value: str) -> None:
    assert label_value(text) == value
