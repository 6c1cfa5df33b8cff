"""Pods: started once, taken over by the next life, started again where the cluster took them, then gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from kubernetes import client

from flywheel.config import KubernetesRuntimeConfig
from flywheel.errors import ConfigError
from flywheel.runtime import Cache, LaunchConflict, LaunchFailed, LaunchSpec, NotEnoughGpus
from flywheel.runtime.kubernetes import KubernetesRuntime
from flywheel.runtime.kubernetes.checks import RIGHTS
from flywheel.runtime.kubernetes.cluster import ClusterUnreachable, connect
from flywheel.runtime.kubernetes.manifests import Builder
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

    def evict(self) -> None:
        """By the API, as a drain, a preemption or a node's pressure does."""
        name = self.pod().metadata.name
        body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
        self.api.core.create_namespaced_pod_eviction(name, self.namespace, body)

    def lever(self, do: str) -> None:
        if self.cluster.control is None:
            pytest.skip("needs the test bed's levers for faults")
        order = {"do": do, "pod": f"{self.namespace}/{self.pod().metadata.name}"}
        httpx.post(f"{self.cluster.control}/control", json=order).raise_for_status()

    def clear(self) -> None:
        """End everything soon: sleepers are deaf, and hold GPUs that the next test wants."""
        core, name = self.api.core, self.namespace
        self.api.batch.delete_collection_namespaced_job(name, propagation_policy="Background")
        self.api.apps.delete_collection_namespaced_deployment(name, propagation_policy="Background")

        def gone() -> bool:
            core.delete_collection_namespaced_pod(name, grace_period_seconds=1)
            return not self.pods()

        until(gone)

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
    world.clear()
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
    job = world.spec("""open('ran', 'a').write('x'); print('{"hello": 1}')""")

    assert runtime.launch(job).started
    assert runtime.wait("one", 30).state == "succeeded"
    assert not runtime.launch(job).started

    assert runtime.logs("one") == '{"hello": 1}'
    assert (world.data / "work/ran").read_text() == "x"
    runtime.stop("one")
    assert runtime.status("one").state == "absent"
    assert runtime.logs("one") == '{"hello": 1}'
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


def test_stop_ends_a_deaf_program_after_the_grace(world: World) -> None:
    runtime = world.life()
    runtime.launch(world.spec("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP))
    until(lambda: runtime.logs("one") == "up")
    began = time.monotonic()

    runtime.stop("one", grace_s=1)

    assert time.monotonic() - began < 10
    assert world.pods() == []


def test_a_running_job_is_taken_over_by_the_next_life(world: World) -> None:
    first = world.life()
    first.launch(world.spec(STEPS))
    until(lambda: (world.data / "work/done").exists())
    first.close()

    second = world.life()
    assert second.names({}) == ["one"]
    assert not second.launch(world.spec(STEPS)).started
    (world.data / "work/go").touch()
    assert second.wait("one", 30).state == "succeeded"

    assert (world.data / "work/done").read_text() == "0123"


def test_another_owner_sees_none_of_it(world: World) -> None:
    world.life(owner="deployments").launch(world.server("one"))

    other = world.life(owner="customizer")

    assert other.names({}) == []
    assert other.status("one").state == "absent"


def test_an_evicted_job_goes_on_from_its_checkpoint(world: World) -> None:
    runtime = world.life()
    runtime.launch(world.spec(STEPS))
    until(lambda: done(world) == "01")
    (first,) = {pod.metadata.uid for pod in world.pods()}

    world.evict()
    until(lambda: first not in {pod.metadata.uid for pod in world.pods()} or len(world.pods()) == 2)
    (world.data / "work/go").touch()
    status = runtime.wait("one", 60)

    assert status.state == "succeeded"
    assert done(world) == "0123"


def test_a_job_that_a_kubelet_ended_without_a_word_of_disruption_says_that_it_was_taken(world: World) -> None:
    runtime = world.life()
    runtime.launch(world.spec(STEPS))
    until(lambda: done(world) == "01")

    world.lever("evict")
    status = runtime.wait("one", 30)
    assert (status.state, status.taken) == ("failed", True)
    assert status.cause == "Evicted: The node was low on resource: memory."

    (world.data / "work/go").touch()
    assert runtime.launch(world.spec(STEPS)).started
    assert runtime.wait("one", 30).state == "succeeded"
    assert done(world) == "0123"


def test_a_pod_that_the_cluster_takes_is_a_new_life_of_its_server(world: World) -> None:
    runtime = world.life()
    handle = runtime.launch(world.server())
    until(lambda: runtime.status("web").state == "running" and answers(handle.address))
    first = runtime.status("web").life

    world.evict()

    until(lambda: runtime.status("web").life not in (None, first))
    until(lambda: runtime.status("web").state == "running" and answers(handle.address))


def test_a_server_that_ends_by_itself_has_failed_and_may_be_started_again(world: World) -> None:
    runtime = world.life()
    runtime.launch(world.spec("print('no weights'); raise SystemExit(2)", "web", kind="server", port=8000))

    status = runtime.wait("web", 30)
    assert (status.state, status.exit_code, status.cause) == ("failed", 2, "exit code 2")
    assert "no weights" in runtime.logs("web")

    handle = runtime.launch(world.server())
    assert handle.started
    until(lambda: answers(handle.address))


def test_an_image_that_does_not_exist_is_named_and_fails_after_a_while(world: World) -> None:
    runtime = world.life(image_patience_s=1.5)
    runtime.launch(world.spec(SLEEP, image="registry.example/none:1"))

    until(lambda: "'registry.example/none:1' cannot be had" in str(runtime.status("one").cause))
    assert runtime.status("one").state == "pending"

    status = runtime.wait("one", 30)
    assert status.state == "failed"
    assert "'registry.example/none:1' cannot be had" in str(status.cause)


def test_what_finds_no_gpu_waits_with_the_cause_and_starts_when_one_is_free(world: World) -> None:
    runtime = world.life()
    for name in ("a", "b"):
        runtime.launch(world.spec(SLEEP, name, gpus=2))
    until(lambda: all(runtime.status(name).state == "running" for name in ("a", "b")))

    runtime.launch(world.spec("print('mine')", "c", gpus=1))
    until(lambda: runtime.status("c").cause)
    status = runtime.status("c")
    assert status.state == "pending"
    assert status.cause == "Unschedulable: 0/2 nodes have 1 nvidia.com/gpu free"

    runtime.stop("a", grace_s=1)
    assert runtime.wait("c", 30).state == "succeeded"


def test_a_budget_of_gpus_is_kept_by_all_services_together(world: World) -> None:
    training, serving = world.life(gpus=3), world.life(owner="deployments", gpus=3)
    serving.launch(world.server(gpus=2))
    until(lambda: refused(training, world.spec(SLEEP, gpus=2)))

    with pytest.raises(NotEnoughGpus, match="needs 2 GPUs, 1 of 3 are free") as refusal:
        training.launch(world.spec(SLEEP, gpus=2))
    assert refusal.value.ever
    with pytest.raises(NotEnoughGpus) as never:
        training.launch(world.spec(SLEEP, gpus=4))
    assert not never.value.ever

    assert training.launch(world.spec("print('fits')", gpus=1)).started
    assert training.wait("one", 30).state == "succeeded"
    serving.stop("web", grace_s=1)
    until(lambda: not refused(training, world.spec(SLEEP, "two", gpus=3)))


def refused(runtime: KubernetesRuntime, spec: LaunchSpec) -> bool:
    try:
        runtime.launch(spec)
    except NotEnoughGpus:
        return True
    return False


def test_out_of_memory_is_called_by_its_name_and_not_repeated(world: World) -> None:
    runtime = world.life(memory_limit="300Mi")
    runtime.launch(world.spec(SLEEP))
    until(lambda: runtime.logs("one") == "up")

    world.lever("oom")

    status = runtime.wait("one", 30)
    assert status.state == "failed"
    assert status.cause == "OOMKilled: it needed more memory than 300Mi"
    assert len(world.pods()) == 1


def test_a_quota_is_the_cause_of_waiting(world: World) -> None:
    body = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    world.api.core.create_namespaced_resource_quota(world.namespace, body)
    runtime = world.life()
    runtime.launch(world.spec("print('at last')"))
    runtime.launch(world.server())

    for name in ("one", "web"):
        until(lambda name=name: "exceeded quota: few" in str(runtime.status(name).cause))
        assert runtime.status(name).state == "pending"

    world.api.core.delete_namespaced_resource_quota("few", world.namespace)
    assert runtime.wait("one", 60).state == "succeeded"


def test_a_job_in_a_queue_of_kueue_is_held_and_says_so(world: World) -> None:
    runtime = world.life(kueue_queue="students")
    runtime.launch(world.spec(SLEEP, env={"HF_TOKEN": "hunter2"}))

    assert runtime.status("one").cause == "waiting in queue 'students'"
    assert world.pods() == []
    (job,) = world.api.batch.list_namespaced_job(world.namespace).items
    assert job.metadata.labels["kueue.x-k8s.io/queue-name"] == "students"

    patch = {"spec": {"suspend": False}}  # As Kueue does.
    world.api.batch.patch_namespaced_job(job.metadata.name, world.namespace, patch)
    until(lambda: runtime.status("one").state == "running")


def test_secrets_are_in_secrets_only_and_go_with_their_launch(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "flywheel")
    runtime = world.life()
    show = "import os; print(os.environ['HF_TOKEN'][::-1])"
    spec = world.spec(show, env={"HF_TOKEN": "hunter2"})
    runtime.launch(spec)
    assert runtime.wait("one", 30).state == "succeeded"

    assert runtime.logs("one") == "2retnuh"
    jobs, pods = world.api.batch.list_namespaced_job(world.namespace), world.pods()
    assert "hunter2" not in json.dumps(world.api.client.sanitize_for_serialization([jobs.items, pods]))
    assert "hunter2" not in repr(spec)
    (secret,) = world.api.core.list_namespaced_secret(world.namespace).items
    assert [owner.kind for owner in secret.metadata.owner_references] == ["Job"]
    assert not [p for p in world.data.rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]

    server = world.server(env={"HF_TOKEN": "hunter2"})
    handle = runtime.launch(server)
    until(lambda: answers(handle.address))
    for name in ("one", "web"):
        runtime.stop(name, grace_s=1)
    until(lambda: world.left() == [])
    assert "hunter2" not in caplog.text


def test_a_launch_that_a_kill_left_halfway_is_completed(world: World) -> None:
    """The Job is there and held, its Secret is not: as after kill -9 between the two."""
    spec = world.spec("import os; print(os.environ['HF_TOKEN'])", env={"HF_TOKEN": "hunter2"})
    builder = Builder(world.config(), "customizer", world.data)
    held = builder.job(spec, builder.object_name("one") + "-abcd")
    (world.data / "work").mkdir()
    world.api.batch.create_namespaced_job(world.namespace, held)

    runtime = world.life()
    assert not runtime.launch(spec).started

    assert runtime.wait("one", 30).state == "succeeded"
    assert runtime.logs("one") == "hunter2"


def test_a_variable_without_a_proper_name_is_refused(world: World) -> None:
    with pytest.raises(LaunchFailed, match="'A B' is no name of an environment variable"):
        world.life().launch(world.spec(SLEEP, env={"A B": "1"}))
    assert world.left() == []


def test_a_cache_outlives_its_servers(world: World) -> None:
    cache = Cache(name="meta/llama", path="/opt/cache", size="1Mi")
    runtime = world.life()
    code = "open('/opt/cache/seen', 'a').write('x'); print(open('/opt/cache/seen').read())"
    for name, seen in (("one", "x"), ("two", "xx")):
        runtime.launch(world.spec(code, name, cache=cache))
        assert runtime.wait(name, 30).state == "succeeded"
        assert runtime.logs(name) == seen
        runtime.stop(name)


def test_pods_have_no_rights_and_no_root(world: World) -> None:
    runtime = world.life()
    code = """
import os, pathlib
print(os.getuid(), pathlib.Path('/var/run/secrets/kubernetes.io').exists())
for place in ('/etc/mine', '/tmp/mine', os.environ['HOME'] + '/mine', 'mine'):
    try:
        pathlib.Path(place).write_text('x'); print('writes')
    except OSError:
        print('may not')
"""
    runtime.launch(world.spec(code))
    assert runtime.wait("one", 30).state == "succeeded"

    assert runtime.logs("one").splitlines() == ["10001 False", "may not", "writes", "writes", "writes"]


def test_a_server_may_read_the_data_and_not_change_it(world: World) -> None:
    runtime = world.life()
    code = "open('mine', 'w')"
    runtime.launch(world.spec(code, "web", kind="server", port=8000))

    assert runtime.wait("web", 30).state == "failed"
    assert "Read-only file system" in runtime.logs("web")


def test_an_api_server_that_is_away_for_30_seconds_changes_nothing(world: World) -> None:
    with front(world.cluster) as (kubeconfig, wire):
        runtime = world.life(kubeconfig=kubeconfig)
        runtime.launch(world.spec(STEPS))
        until(lambda: runtime.status("one").state == "running")

        wire.cut()
        back = threading.Timer(30, wire.mend)
        back.start()
        with pytest.raises(ClusterUnreachable):
            runtime.launch(world.spec("print('later')", "two"))
        assert runtime.status("one").state == "running"
        (world.data / "work/go").touch()
        assert runtime.wait("one", 60).state == "succeeded"
        until(lambda: launched(runtime, world.spec("print('later')", "two")))
        assert runtime.wait("two", 30).state == "succeeded"
        back.join()

    assert done(world) == "0123"
    assert len(world.pods()) == 2


def test_a_stop_waits_for_an_api_server_that_is_away(world: World) -> None:
    with front(world.cluster) as (kubeconfig, wire):
        runtime = world.life(kubeconfig=kubeconfig)
        runtime.launch(world.spec(SLEEP))
        until(lambda: runtime.status("one").state == "running")

        wire.cut()
        back = threading.Timer(5, wire.mend)
        back.start()
        runtime.stop("one", grace_s=1)
        back.join()

    until(lambda: world.left() == [])


def launched(runtime: KubernetesRuntime, spec: LaunchSpec) -> bool:
    try:
        runtime.launch(spec)
    except ClusterUnreachable:
        return False
    return True


def launcher(world: World) -> None:
    """A service account `launcher` that has the documented rights and no others."""
    core, namespace, name = world.api.core, world.namespace, {"metadata": {"name": "launcher"}}
    core.create_namespaced_service_account(namespace, name)
    access = client.RbacAuthorizationV1Api(world.api.client)
    access.create_namespaced_role(namespace, {**name, "rules": documented_rights()})
    subject = {"kind": "ServiceAccount", "name": "launcher", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "launcher"}
    access.create_namespaced_role_binding(namespace, {**name, "roleRef": role, "subjects": [subject]})


INSIDE = """
import pathlib, sys, time, urllib.request
from flywheel.config import KubernetesRuntimeConfig
from flywheel.runtime import LaunchSpec
from flywheel.runtime.kubernetes import KubernetesRuntime
data = pathlib.Path('/data')
config = KubernetesRuntimeConfig(type='kubernetes', image='flywheel:test', volume_claim='data',
                                 cpu_request='100m', memory_request='32Mi')
runtime = KubernetesRuntime(config, folder=data, owner='customizer')
write = ('python', '-c', "open('here', 'w').write('from the job')")
runtime.launch(LaunchSpec(name='one', kind='job', command=write, workdir=data / 'work'))
print(runtime.wait('one', 30).state, (data / 'work/here').read_text())
spec = LaunchSpec(name='web', kind='server', command=('python', '-c', sys.argv[1]), workdir=data, port=8000,
                  health='/', env={'A': '1'})
address = runtime.launch(spec).address
for _ in range(200):
    try:
        print(address, urllib.request.urlopen(address, timeout=2).read())
        break
    except OSError:
        time.sleep(0.1)
runtime.stop('one')
runtime.stop('web')
print(runtime.names({}))
runtime.close()
"""


def test_inside_the_cluster_it_uses_its_account_its_claim_and_names(world: World) -> None:
    core, namespace = world.api.core, world.namespace
    launcher(world)
    storage = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}
    core.create_namespaced_persistent_volume_claim(namespace, {"metadata": {"name": "data"}, "spec": storage})
    main = {
        "name": "main",
        "image": "flywheel:test",
        "command": ["python", "-c", INSIDE, SERVE],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "serviceAccountName": "launcher",
        "restartPolicy": "Never",
        "securityContext": {"runAsUser": 10001, "fsGroup": 10001},
        "containers": [main],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    core.create_namespaced_pod(namespace, {"metadata": {"name": "service"}, "spec": spec})

    def ended() -> bool:
        return core.read_namespaced_pod("service", namespace).status.phase in ("Succeeded", "Failed")

    until(ended, 60)
    said = core.read_namespaced_pod_log("service", namespace).splitlines()
    assert said[0] == "succeeded from the job", said
    assert re.fullmatch(rf"http://web-[0-9a-f]{{10}}\.{namespace}\.svc:8000 b'here'", said[1])
    assert said[2] == "[]"


def test_the_documented_rights_are_enough(world: World) -> None:
    core, namespace = world.api.core, world.namespace
    launcher(world)
    token = core.create_namespaced_service_account_token("launcher", namespace, {"spec": {}}).status.token
    kubeconfig = world.data / "kubeconfig"
    settings = yaml.safe_load(world.cluster.kubeconfig.read_text())
    settings["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(settings))

    runtime = world.life(kubeconfig=kubeconfig)
    cache = Cache(name="m", path="/opt/cache", size="1Mi")
    runtime.launch(world.spec("print('hello')", env={"A": "1"}, cache=cache))
    assert runtime.wait("one", 30).state == "succeeded"
    assert runtime.logs("one") == "hello"
    handle = runtime.launch(world.server(env={"A": "1"}))
    until(lambda: answers(handle.address))
    assert runtime.names({}) == ["one", "web"]
    runtime.launch(world.spec(SLEEP, "three", image="none:1"))
    until(lambda: runtime.status("three").cause)
    for launch in ("one", "web", "three"):
        runtime.stop(launch, grace_s=1)
    until(lambda: [left for left in world.left() if "launcher" not in left] == [])
    with pytest.raises(client.ApiException, match="Forbidden"):
        runtime._cluster.core.list_namespaced_secret(namespace)


def documented_rights() -> list[dict[str, Any]]:
    """The table of docs/decisions/0010: group, resource, verbs."""
    text = (Path(__file__).parents[2] / "docs/decisions/0010-kubernetes-runtime.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    return [
        {"apiGroups": ["" if group == "(core)" else group], "resources": [kind], "verbs": verbs.split(", ")}
        for group, kind, verbs in rows[2:]
    ]


def test_doctor_looks_for_the_documented_rights() -> None:
    documented = {
        (rule["apiGroups"][0], rule["resources"][0]): tuple(rule["verbs"]) for rule in documented_rights()
    }
    assert documented == RIGHTS


def test_without_a_volume_nothing_can_be_launched(world: World) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.volume_claim is missing"):
        world.life(host_path=False)
    with pytest.raises(ConfigError, match="two ways"):
        world.life(volume_claim="data")


def test_a_kubeconfig_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.kubeconfig: /.*/none: "):
        world.life(kubeconfig=world.data / "none")


def done(world: World) -> str:
    file = world.data / "work/done"
    return file.read_text() if file.exists() else ""


class Wire:
    """A TCP front of the API server that can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self._cut = target, False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for here, there in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(here, there), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        for each in (here, there):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def front(cluster: Cluster) -> Iterator[tuple[Path, Wire]]:
    """A kubeconfig whose server is a Wire to the real one."""
    settings = yaml.safe_load(cluster.kubeconfig.read_text())
    server = urlsplit(settings["clusters"][0]["cluster"]["server"])
    wire = Wire((str(server.hostname), int(server.port or 443)))
    settings["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{wire.port}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        path.write_text(yaml.safe_dump(settings))
        yield path, wire
    wire.close()
