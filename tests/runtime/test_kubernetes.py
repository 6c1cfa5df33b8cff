"""Pods: started once, taken over by the next life, started again where the cluster took them, then gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client

from flywheel.config import KubernetesRuntimeConfig
from flywheel.runtime import LaunchConflict, LaunchSpec
from flywheel.runtime.kubernetes import KubernetesRuntime
from flywheel.runtime.kubernetes.cluster import connect
from servers import Cluster

pytestmark = pytest.mark.enable_socket

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
SERVE = """
import http.server, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'here')
http.server.ThreadingHTTPServer(('0.0.0.0', 8000), Answer).serve_forever()
"""
STEPS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
done, go = pathlib.Path('done'), pathlib.Path('go')
for step in range(len(done.read_text()) if done.exists() else 0, 4):
    while step == 2 and not go.exists():
        time.sleep(0.05)
    with done.open('a') as file:
        file.write(str(step))
    print('step', step, flush=True)
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that pods may enter; pytest's own are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="flywheel-pods-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class World:
    """A namespace of the cluster, and runtimes in it."""

    def __init__(self, cluster: Cluster, data: Path, namespace: str) -> None:
        self.cluster, self.data, self.namespace = cluster, data, namespace
        self.lives: list[KubernetesRuntime] = []
        self.api = connect(self.config())

    def config(self, **more: Any) -> KubernetesRuntimeConfig:
        fields: dict[str, Any] = {
            "type": "kubernetes",
            "kubeconfig": self.cluster.kubeconfig,
            "namespace": self.namespace,
            "image": "flywheel:test",
            "host_path": True,
            "cpu_request": "100m",
            "memory_request": "32Mi",
        }
        return KubernetesRuntimeConfig.model_validate({**fields, **more})

    def life(
        self, *, owner: str = "customizer", image_patience_s: float = 60, **more: Any
    ) -> KubernetesRuntime:
        runtime = KubernetesRuntime(
            self.config(**more), folder=self.data, owner=owner, image_patience_s=image_patience_s
        )
        self.lives.append(runtime)
        return runtime

    def spec(self, code: str, name: str = "one", **more: Any) -> LaunchSpec:
        fields = {"kind": "job", "workdir": self.data / "work", "command": ("python", "-c", code), **more}
        return LaunchSpec(name=name, **fields)

    def server(self, name: str = "web", **more: Any) -> LaunchSpec:
        return self.spec(SERVE, name, kind="server", port=8000, health="/", alive="/", **more)

    def pods(self) -> list[client.V1Pod]:
        return self.api.core.list_namespaced_pod(self.namespace).items

    def pod(self) -> client.V1Pod:
        (pod,) = [pod for pod in self.pods() if pod.metadata.deletion_timestamp is None]
        return pod

    def lever(self, do: str) -> None:
        if self.cluster.control is None:
            pytest.skip("needs the test bed's levers for faults")
        order = {"do": do, "pod": f"{self.namespace}/{self.pod().metadata.name}"}
        httpx.post(f"{self.cluster.control}/control", json=order).raise_for_status()

    def left(self) -> list[str]:
        """Everything in the namespace that is not Kubernetes' own."""
        core, apps, batch, name = self.api.core, self.api.apps, self.api.batch, self.namespace
        listed = [
            *core.list_namespaced_pod(name).items,
            *core.list_namespaced_service(name).items,
            *core.list_namespaced_secret(name).items,
            *apps.list_namespaced_deployment(name).items,
            *apps.list_namespaced_replica_set(name).items,
            *batch.list_namespaced_job(name).items,
        ]
        return [each.metadata.name for each in listed]


@pytest.fixture
def world(cluster: Cluster, data: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    namespace = f"test-{abs(hash(request.node.name)) % 10**8}-{os.getpid()}"
    world = World(cluster, data, namespace)
    world.api.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    yield world
    for runtime in world.lives:
        runtime.close()
    world.api.core.delete_namespace(namespace)
    world.api.client.close()


def until(met: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for the cluster to get somewhere; there is nothing to subscribe to."""
    tick, end = threading.Event(), time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        tick.wait(0.05)


def test_a_job_that_ends_well_has_succeeded_and_is_not_run_again(world: World) -> None:
    runtime = world.life()
    job = world.spec("open('ran', 'a').write('x'); print('hello')")

    assert runtime.launch(job).started
    assert runtime.wait("one", 30).state == "succeeded"
    assert not runtime.launch(job).started

    assert runtime.logs("one") == "hello"
    assert (world.data / "work/ran").read_text() == "x"
    runtime.stop("one")
    assert runtime.status("one").state == "absent"
    assert runtime.logs("one") == "hello"
    assert runtime.names({}) == []
    until(lambda: world.left() == [])


def test_a_job_that_fails_says_how_and_may_be_started_again(world: World) -> None:
    runtime = world.life()
    job = world.spec("print('oh'); raise SystemExit(3)")
    runtime.launch(job)

    status = runtime.wait("one", 30)

    assert (status.state, status.exit_code, status.cause) == ("failed", 3, "exit code 3")
    assert runtime.logs("one") == "oh"
    assert len(world.pods()) == 1
    assert runtime.launch(job).started


def test_one_name_runs_once(world: World) -> None:
    runtime = world.life()
    assert runtime.launch(world.spec(SLEEP)).started
    assert not runtime.launch(world.spec(SLEEP)).started
    with pytest.raises(LaunchConflict):
        runtime.launch(world.spec("print(2)"))


def test_a_server_answers_is_taken_over_and_ends(world: World) -> None:
    first = world.life(owner="deployments")
    handle = first.launch(world.server(labels={"service": "deployments", "model": "ns/student@v1"}))
    assert handle.address is not None
    until(lambda: first.status("web").state == "running")
    until(lambda: answers(handle.address))
    first.close()

    second = world.life(owner="deployments")
    assert second.reap() == []
    assert second.names({"model": "ns/student@v1"}) == ["web"]
    assert second.names({"model": "other"}) == []
    again = second.launch(world.server(labels={"service": "deployments", "model": "ns/student@v1"}))
    assert (again.started, again.address) == (False, handle.address)
    assert answers(handle.address)

    second.stop("web")
    until(lambda: world.left() == [])


def answers(address: str | None) -> bool:
    try:
        return httpx.get(f"{address}/", timeout=2).text == "here"
    except httpx.TransportError:
        return False
