"""The same turn of the wheel in a cluster: `helm install`, a training as a Job, a server as a Deployment."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import yaml

from e2e.wheel import ASKED, CONFIG, DEADLINE_S, Job, same_turn, teacher_log
from helm.charts import CHART
from helm.kubectl import Kubectl, namespace
from relay import relay
from servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.enable_socket]
ROLES = ("api", "worker", "beat", "datastore", "customizer", "evaluator", "deployments")
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": None}


def test_the_scores_are_those_of_one_process(
    embedded: Job, cluster: Cluster, elasticsearch_url: str, mongo_url: str, redis_url: str, tmp_path: Path
) -> None:
    node = next(iter(cluster.facts["nodes"].values()), None) if cluster.facts else None
    if node is None:
        pytest.skip("needs a cluster whose pods reach this machine: the test bed's")
    name = f"turn-{uuid4().hex[:8]}"
    _import(tmp_path, elasticsearch_url, name)
    with ExitStack() as stack:

        def through(url: str) -> str:
            parts = urlsplit(url)
            port = stack.enter_context(relay(node, (str(parts.hostname), int(parts.port or 0))))
            return parts._replace(netloc=f"{node}:{port}").geturl()

        sizes: dict[str, Any] = {role: {"resources": SMALL} for role in ROLES}
        sizes["api"]["replicas"], sizes["worker"]["replicas"] = 1, 2
        own = yaml.safe_load(CONFIG)
        own.pop("wakeups")
        values = {
            **sizes,
            "elasticsearch": {"url": through(elasticsearch_url), "index": name},
            "mongodb": {"url": through(mongo_url), "database": name},
            "redis": {"url": through(redis_url)},
            "config": {
                **own,
                "wakeups": {"queue": name, "sweep_interval": 5},
                "runtime": {"gpus": 0, "cpu_request": "10m", "memory_request": "64Mi"},
            },
        }
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values), "utf-8")
        kubectl = stack.enter_context(namespace(cluster, name))
        kubectl.helm("install", "wheel", CHART, f"--values={file}", "--wait", "--timeout=4m")
        job, launched = _turn(kubectl)
        assert launched == {"Deployment", "Job"}
        assert job["status"] == "completed", (job["error"], kubectl("get", "pods", "--output=wide"))
        same_turn(job, embedded)
        assert not _launched(kubectl), "what was launched is gone"


def _import(folder: Path, url: str, index: str) -> None:
    config = folder / "records.yaml"
    config.write_text(f'records: {{type: elasticsearch, url: "{url}", index: "{index}"}}\n', "utf-8")
    log = teacher_log(folder, 300)
    command = [sys.executable, "-m", "flywheel", "records", "import", str(log), "--config", str(config)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def _turn(kubectl: Kubectl) -> tuple[Job, set[str]]:
    """A run from its POST to its end, and the kinds of objects that the services launched meanwhile."""
    api = kubectl.address("wheel-flywheel-api", 8000)
    run_id = httpx.post(f"{api}/api/jobs", json=ASKED, timeout=30).raise_for_status().json()["id"]
    seen: set[str] = set()
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        seen |= _launched(kubectl)
        job: Job = httpx.get(f"{api}/api/jobs/{run_id}", timeout=30).raise_for_status().json()
        if job["status"] not in ("queued", "running"):
            return job, seen
        time.sleep(1)
    raise AssertionError(f"the run is not over after {DEADLINE_S:g} s: {job}")


def _launched(kubectl: Kubectl) -> set[str]:
    selector = "--selector=app.kubernetes.io/name=flywheel-launch"
    kinds = kubectl("get", "jobs,deployments", selector, "--output=jsonpath={.items[*].kind}")
    return set(kinds.split())
