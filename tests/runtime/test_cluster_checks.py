"""What the doctor sees in a real cluster: with all rights, with few, and without one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from kubernetes import client

from flywheel.config import KubernetesRuntimeConfig
from flywheel.runtime.kubernetes.checks import RIGHTS, examine
from flywheel.runtime.kubernetes.cluster import connect
from flywheel.telemetry.health import Finding
from servers import Cluster

DECISION = Path(__file__).parents[2] / "docs" / "decisions" / "0010-kubernetes-runtime.md"

Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(cluster: Cluster) -> Look:
    def found(**changes: object) -> dict[str, Finding]:
        fields = {"type": "kubernetes", "kubeconfig": cluster.kubeconfig, **changes}
        return {each.check: each for each in examine(KubernetesRuntimeConfig.model_validate(fields))}

    return found


def test_the_rights_that_are_checked_are_those_that_are_documented() -> None:
    rows = [
        line.split("|")[1:4] for line in DECISION.read_text("utf-8").splitlines() if line.startswith("| ")
    ]
    documented = {
        (group.strip().replace("(core)", ""), resource.strip()): tuple(verbs.strip().split(", "))
        for group, resource, verbs in rows
        if group.strip() != "group"
    }
    assert documented == RIGHTS


def test_a_cluster_with_gpus_is_well(look: Look) -> None:
    found = look()
    assert found["cluster"].ok
    assert found["cluster"].seen.startswith("Kubernetes v1.")
    assert found["cluster rights"].ok
    assert found["cluster GPUs"].seen == "4 nvidia.com/gpu on 2 of 2 nodes"


def test_what_is_not_there_is_named(look: Look) -> None:
    found = look(volume_claim="no-such-claim", storage_class="no-such-class", gpu_resource="amd.com/gpu")
    assert "there is no 'no-such-claim'" in found["volume claim"].seen
    assert found["volume claim"].wrong
    assert "there is no 'no-such-class'" in found["storage class"].seen
    assert not found["storage class"].wrong
    assert found["cluster GPUs"].seen == "0 amd.com/gpu on 0 of 2 nodes"
    assert not found["cluster GPUs"].ok


def test_an_account_with_few_rights_is_told_which_are_missing(
    cluster: Cluster, look: Look, tmp_path: Path
) -> None:
    api = connect(KubernetesRuntimeConfig(type="kubernetes", kubeconfig=cluster.kubeconfig))
    namespace = f"few-{uuid4().hex[:8]}"
    meta = client.V1ObjectMeta(name="few")
    api.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    api.core.create_namespaced_service_account(namespace, client.V1ServiceAccount(metadata=meta))
    rule = client.V1PolicyRule(api_groups=["batch"], resources=["jobs"], verbs=["get", "list", "watch"])
    access = client.RbacAuthorizationV1Api(api.client)
    access.create_namespaced_role(namespace, client.V1Role(metadata=meta, rules=[rule]))
    binding = client.V1RoleBinding(
        metadata=meta,
        role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="few"),
        subjects=[client.RbacV1Subject(kind="ServiceAccount", name="few", namespace=namespace)],
    )
    access.create_namespaced_role_binding(namespace, binding)
    asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
    token = api.core.create_namespaced_service_account_token("few", namespace, asked).status.token
    settings = yaml.safe_load(cluster.kubeconfig.read_text())
    settings["users"] = [{"name": each["name"], "user": {"token": token}} for each in settings["users"]]
    few = tmp_path / "few.yaml"
    few.write_text(yaml.safe_dump(settings))
    try:
        found = look(kubeconfig=few, namespace=namespace, volume_claim="unseen")
    finally:
        api.core.delete_namespace(namespace)
        api.client.close()
    assert found["cluster rights"].wrong
    missing = found["cluster rights"].seen
    assert "create jobs" in missing
    assert "list pods" in missing
    assert "get pods/log" in missing
    assert "get jobs" not in missing
    for check in ("cluster GPUs", "storage class", "volume claim"):
        assert (found[check].ok, found[check].seen) == (True, "unseen: this account may not look")
    told = str(found)
    assert token not in told
    assert base64.b64encode(token.encode()).decode() not in told


def test_a_cluster_that_is_away_is_one_finding(cluster: Cluster, look: Look, tmp_path: Path) -> None:
    settings = yaml.safe_load(cluster.kubeconfig.read_text())
    for each in settings["clusters"]:
        each["cluster"]["server"] = "https://127.0.0.1:9"
    away = tmp_path / "away.yaml"
    away.write_text(yaml.safe_dump(settings))
    found = look(kubeconfig=away)
    assert list(found) == ["cluster"]
    assert "does not answer" in found["cluster"].seen
    assert "runtime.kubeconfig" in found["cluster"].mend
