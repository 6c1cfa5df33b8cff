"""An installation on servers: every role its own Deployment, the servers outside the cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from flywheel.config import ElasticsearchRecords
from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore
from helm.charts import CHART
from helm.kubectl import Kubectl, namespace
from relay import relay
from servers import Cluster
from traffic import SHOP, record

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]
ROLES = ("api", "worker", "beat", "datastore", "customizer", "evaluator", "deployments")
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": None}


@pytest.fixture
def reachable(
    cluster: Cluster, elasticsearch_url: str, mongo_url: str, redis_url: str
) -> Iterator[dict[str, Any]]:
    """The chart's values for the three servers, at addresses that pods reach."""
    node = next(iter(cluster.facts["nodes"].values()), None) if cluster.facts else None
    if node is None:
        pytest.skip("needs a cluster whose pods reach this machine: the test bed's")
    with ExitStack() as stack:

        def through(url: str) -> str:
            parts = urlsplit(url)
            port = stack.enter_context(relay(node, (str(parts.hostname), int(parts.port or 0))))
            return parts._replace(netloc=f"{node}:{port}").geturl()

        yield {
            "elasticsearch": {"url": through(elasticsearch_url), "index": "helm"},
            "mongodb": {"url": through(mongo_url), "database": "helm"},
            "redis": {"url": through(redis_url)},
            "config": {"wakeups": {"queue": "helm", "sweep_interval": 5}},
        }


@pytest.fixture
def kubectl(cluster: Cluster) -> Iterator[Kubectl]:
    with namespace(cluster, "wide") as found:
        yield found


def test_every_role_becomes_ready_and_a_run_goes_from_the_api_to_a_worker(
    kubectl: Kubectl, reachable: dict[str, Any], elasticsearch_url: str, tmp_path: Path
) -> None:
    said_again_and_again = [record("hello", id_=f"answer-{number}") for number in range(60)]
    config = ElasticsearchRecords(type="elasticsearch", url=elasticsearch_url, index="helm")
    with closing(ElasticsearchLogStore(config)) as store:
        assert store.add(said_again_and_again).new == 60
    values = tmp_path / "values.yaml"
    sizes = {role: {"resources": SMALL} for role in ROLES} | {
        role: {"resources": SMALL, "replicas": 1} for role in ("api", "worker")
    }
    values.write_text(yaml.safe_dump(sizes | reachable), "utf-8")
    kubectl.helm("install", "wheel", CHART, f"--values={values}", "--wait", "--timeout=3m")
    assert "Succeeded" in kubectl.helm("test", "wheel", "--logs", "--timeout=2m")

    api = kubectl.address("wheel-flywheel-api", 8000)
    assert httpx.get(f"{api}/health/ready", timeout=10).status_code == 200
    asked = {"workload_id": SHOP.workload_id, "client_id": SHOP.client_id}
    run = httpx.post(f"{api}/api/jobs", json=asked, timeout=10).raise_for_status().json()["id"]
    job = ended(f"{api}/api/jobs/{run}")
    assert job["status"] == "failed"
    assert "1 usable records of 60" in job["error"]  # A worker has read what is in Elasticsearch.
    kubectl.helm("uninstall", "wheel", "--wait", "--timeout=1m")
    claims = kubectl("get", "pvc", "--output=name").split()
    kept = ("customizer", "datastore", "deployments", "evaluator")
    assert claims == [f"persistentvolumeclaim/wheel-flywheel-{role}" for role in kept]


def ended(url: str, patience_s: float = 60.0) -> dict[str, Any]:
    """The run when it is over."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        job: dict[str, Any] = httpx.get(url, timeout=10).raise_for_status().json()
        if job["status"] in ("completed", "failed", "cancelled"):
            return job
        time.sleep(0.5)
    raise AssertionError(f"the run is {job['status']} after {patience_s:g} s")
