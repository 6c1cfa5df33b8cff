"""The real services on a cluster: the demo's student served by a Deployment and trained by a Job."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from kubernetes import client

from flywheel.app import create_app
from flywheel.config import Settings, parse
from flywheel.hub import DEMO_STUDENT, Hub, resolve_model
from flywheel.nemo.customization import CustomizationClient
from flywheel.nemo.datastore import hub_endpoint
from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.nemo.inference import InferenceClient
from flywheel.opening import Addresses
from flywheel.runtime.kubernetes.cluster import Cluster as Door
from flywheel.runtime.kubernetes.cluster import connect
from servers import Cluster
from services.customizer.parts import until
from tiny_model import tool_row

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]

NAMESPACE = "wheel"
ROLES = frozenset({"datastore", "customizer", "deployments"})
DEPLOYMENT = {
    "name": "student",
    "namespace": "ns",
    "custom_fields": {"flywheel_run": "run-1"},
    "config": {"model": "flywheel/student"},
}
JOB: dict[str, Any] = {
    "config": "flywheel/student@v1.0.0+local",
    "dataset": "ns/data",
    "namespace": "ns",
    "output_model": "ns/customized-flywheel-student",
    "custom_fields": {"flywheel_run": "run-1"},
    "hyperparameters": {
        "finetuning_type": "lora",
        "epochs": 1,
        "batch_size": 4,
        "log_every_n_steps": 1,
        "lora": {"adapter_dim": 8},
    },
}


class Life:
    """Data store, customizer and deployments of one process, whose programs run in pods."""

    def __init__(self, settings: Settings, data: Path, stack: ExitStack) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        wheel = create_app(settings, ROLES, data_dir=data, addresses=Addresses(*urls))
        for app, listener in zip((wheel.api, wheel.nemo, wheel.models), sockets, strict=True):
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
            thread.start()
            stack.callback(listener.close)
            stack.callback(thread.join, 10)
            stack.callback(setattr, server, "should_exit", True)
        wheel.start()
        stack.callback(wheel.stop)
        self.hub = Hub(hub_endpoint(urls[1]))
        self.entities, self.customizer = EntityStoreClient(urls[1]), CustomizationClient(urls[1])
        self.deployments, self.models = DeploymentClient(urls[1]), InferenceClient(urls[2])
        for each in (self.entities, self.customizer, self.deployments, self.models):
            stack.callback(each.close)
        self.proxy = urls[2]

    def ask(self, model: str) -> str:
        body = {"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "Where is A1?"}]}
        answer = httpx.post(f"{self.proxy}/v1/chat/completions", json=body, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["model"])

    def train(self) -> str:
        lines = "".join(json.dumps(tool_row(n)) + "\n" for n in range(20)).encode()
        self.hub.upload(
            "ns/data",
            {"training/a.jsonl": lines, "validation/b.jsonl": lines},
            repo_type="dataset",
            message="-",
        )
        self.entities.create_dataset(
            {"name": "data", "namespace": "ns", "files_url": "hf://datasets/ns/data"}
        )
        return self.customizer.create_job(JOB).id


@pytest.fixture
def door(cluster: Cluster) -> Iterator[Door]:
    settings = parse(Settings, {"runtime": runtime(cluster)}, where="test").runtime
    door = connect(settings)  # type: ignore[arg-type]
    door.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    yield door
    door.core.delete_namespace(NAMESPACE)
    door.client.close()


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="flywheel-pods-"))
    folder.chmod(0o755)
    student = resolve_model(DEMO_STUDENT, cache_dir=folder)
    shutil.copytree(student, folder / "student")  # Where pods find it, wherever this checkout lies.
    yield folder
    shutil.rmtree(folder)


def runtime(cluster: Cluster) -> dict[str, Any]:
    return {
        "type": "kubernetes",
        "kubeconfig": str(cluster.kubeconfig),
        "namespace": NAMESPACE,
        "image": "flywheel:test",
        "host_path": True,
        "gpus": 0,
        "cpu_request": "100m",
        "memory_request": "64Mi",
    }


@contextmanager
def life(cluster: Cluster, data: Path) -> Iterator[Life]:
    student = {
        "model_name": "flywheel/student",
        "model_path": str(data / "student"),
        "context_length": 512,
        "customization_enabled": True,
    }
    settings = parse(Settings, {"runtime": runtime(cluster), "nims": [student]}, where="test")
    with ExitStack() as stack:
        yield Life(settings, data, stack)


def test_the_student_is_served_and_trained_by_pods_over_a_restart_of_the_services(
    cluster: Cluster, door: Door, data: Path
) -> None:
    with life(cluster, data) as first:
        first.deployments.create(DEPLOYMENT)
        job = first.train()
        until(lambda: first.models.serves("flywheel/student"), 120)
        assert first.ask("flywheel/student") == "flywheel/student"
        until(lambda: door.batch.list_namespaced_job(NAMESPACE).items, 60)
    (server,) = door.apps.list_namespaced_deployment(NAMESPACE).items

    with life(cluster, data) as second:
        until(lambda: second.customizer.job_status(job).finished, 200)
        assert second.customizer.job_status(job).status == "completed"
        adapter = f"ns/customized-flywheel-student@{job}"
        until(lambda: second.models.serves(adapter), 60)
        assert second.ask(adapter) == adapter
        (same,) = door.apps.list_namespaced_deployment(NAMESPACE).items
        assert same.metadata.uid == server.metadata.uid
        assert server.metadata.labels["flywheel/run"] == "run-1"
        until(lambda: not door.batch.list_namespaced_job(NAMESPACE).items, 30)

        # Elsewhere, it has no adapter until it is loaded again.
        (pod,) = door.core.list_namespaced_pod(NAMESPACE).items
        door.core.delete_namespaced_pod(pod.metadata.name, NAMESPACE)
        until(lambda: not second.models.serves(adapter), 60)
        until(lambda: second.models.serves(adapter), 120)
        assert second.ask(adapter) == adapter

        second.deployments.delete("ns", "student")
        until(lambda: not door.core.list_namespaced_pod(NAMESPACE).items, 60)
        until(lambda: not door.apps.list_namespaced_deployment(NAMESPACE).items)
