"""The chart and a real API server: it takes every object, and an installation lives through its changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from helm import schemas
from helm.charts import CHART, HERE, Complaint, objects, run, template
from helm.kubectl import Kubectl, namespace
from servers import Cluster

CASES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Iterator[Kubectl]:
    with namespace(cluster, "flow") as found:
        yield found


@pytest.fixture(scope="module")
def known(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Schemas of everything that this API server knows."""
    folder = tmp_path_factory.mktemp("schemas")
    schemas.write(json.loads(kubectl("get", "--raw", "/openapi/v2")), folder)
    return folder


def conform(text: str, known: Path) -> str:
    location = f"{known}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    skipped = (
        "-skip",
        "ServiceMonitor,PodMonitor",
    )  # The Prometheus operator's, which the API server does not know.
    return run("kubeconform", "-strict", *skipped, "-schema-location", location, "-summary", given=text)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_what_kubernetes_knows(case: str, kubectl: Kubectl, known: Path) -> None:
    rendered = template(f"--values={HERE / 'values' / f'{case}.yaml'}")
    assert "Invalid: 0, Errors: 0" in conform(rendered, known)
    # The API server wants a pod's account to exist, which a dry run does not make.
    ours = [each for each in objects(rendered) if each["kind"] not in ("ServiceMonitor", "PodMonitor", "Pod")]
    said = kubectl("apply", "--dry-run=server", "--filename=-", given=yaml.safe_dump_all(ours))
    assert said.count("(server dry run)") == len(ours)


def test_the_schemas_find_a_misspelt_field(known: Path) -> None:
    rendered = template(f"--values={HERE / 'values' / 'embedded.yaml'}")
    with pytest.raises(Complaint, match="additional"):
        conform(rendered.replace("terminationGracePeriodSeconds", "terminationGracePeriod"), known)


def test_an_embedded_installation_keeps_its_data_through_upgrade_rollback_and_uninstall(
    kubectl: Kubectl,
) -> None:
    def entities() -> str:
        return f"{kubectl.address('wheel-flywheel-embedded', 8001)}/v1/namespaces"

    def pod() -> str:
        (found,) = kubectl("get", "pods", "--field-selector=status.phase=Running", "--output=name").split()
        return found

    def kept() -> bool:
        return httpx.get(f"{entities()}/kept", timeout=10).is_success

    install = ("wheel", CHART, "--wait", "--timeout=2m", "--set=mode=embedded")
    kubectl.helm("install", *install, "--set=embedded.resources.requests.memory=256Mi")
    httpx.post(entities(), json={"id": "kept"}, timeout=10).raise_for_status()
    first = pod()
    kubectl.helm("upgrade", *install, "--reuse-values", "--set=config.logging_config.level=DEBUG")
    second = pod()
    assert (second != first, kept()) == (True, True)
    assert "level: DEBUG" in kubectl.get("configmap", "wheel-flywheel", ".data.config\\.yaml")

    kubectl.helm("upgrade", *install, "--reuse-values")
    assert pod() == second, "an upgrade that changes nothing rolls nothing"

    kubectl.helm("rollback", "wheel", "1", "--wait", "--timeout=2m")
    assert (pod() != second, kept()) == (True, True)
    assert "Succeeded" in kubectl.helm("test", "wheel", "--logs", "--timeout=1m")

    kubectl.helm("uninstall", "wheel", "--wait", "--timeout=1m")
    assert kubectl.get("pvc", "wheel-flywheel-embedded", ".status.phase") == "Bound"
    kubectl.helm("install", *install)
    assert kept()
    kubectl.helm("uninstall", "wheel", "--wait", "--timeout=1m")
