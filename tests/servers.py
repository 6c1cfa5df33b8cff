"""Real servers for tests, each found in this order: an address in the environment, a Docker engine, the test
bed beside the checkout; where there is none of them the test is skipped, and says so.

| fixture | environment | what it gives |
|---|---|---|
| `elasticsearch_url` | FLYWHEEL_TEST_ELASTICSEARCH | address of one node, shared by the session |
| `mongo_url` | FLYWHEEL_TEST_MONGO | address of one server, shared by the session |
| `redis_url` | FLYWHEEL_TEST_REDIS | address of one server, shared by the session |
| `cluster` | FLYWHEEL_TEST_KUBECONFIG | a Kubernetes cluster, shared by the session |

Tests that stop, flush or kill a server start one of their own with `testbed(...)`.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TESTBED = ROOT.parent / "shared" / "testbed" / "testbed"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster; `control` is the test bed's address for faults, None in one from outside."""

    kubeconfig: Path
    control: str | None
    facts: dict[str, Any]


@contextmanager
def testbed(*arguments: str) -> Iterator[dict[str, Any]]:
    """A server of the test bed, for as long as the body runs; what it says of itself."""
    if not TESTBED.exists():
        pytest.skip("needs a server: no address in the environment, no Docker engine, no ../shared/testbed")
    process = subprocess.Popen([sys.executable, str(TESTBED), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"testbed {' '.join(arguments)} ended with {process.wait()}")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@cache
def tool(name: str) -> str:
    """Path of kubectl, helm, kubeconform or kwok: the machine's own, else the test bed's."""
    if found := shutil.which(name):
        return found
    if not TESTBED.exists():
        pytest.skip(f"needs {name}, which is neither on the PATH nor in ../shared/testbed")
    answer = subprocess.run(
        [sys.executable, str(TESTBED), "tool", name], capture_output=True, text=True, check=True, timeout=120
    )
    return answer.stdout.strip()


@cache
def docker() -> bool:
    """Whether a Docker engine answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0


@contextmanager
def server(variable: str, containered: Callable[[], Any], name: str) -> Iterator[str]:
    """The address of a server: from `variable`, from a container, or from the test bed's `name`."""
    if address := os.environ.get(variable):
        yield address
    elif docker():
        with containered() as container:
            yield container.url
    else:
        with testbed(name) as facts:
            yield facts["url"]


@contextmanager
def _container(image: str, port: int, scheme: str, ready: str, **environment: str) -> Iterator[Any]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    container = DockerContainer(image).with_exposed_ports(port)
    for key, value in environment.items():
        container = container.with_env(key, value)
    with container:
        wait_for_logs(container, ready, timeout=120)
        host = f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
        container.url = f"{scheme}://{host}"
        yield container


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    environment = {
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
    }
    image = "docker.elastic.co/elasticsearch/elasticsearch:8.19.4"

    def container() -> Any:
        return _container(image, 9200, "http", ".*started.*", **environment)

    with server("FLYWHEEL_TEST_ELASTICSEARCH", container, "search") as url:
        yield url


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    def container() -> Any:
        return _container("mongo:7", 27017, "mongodb", ".*Waiting for connections.*")

    with server("FLYWHEEL_TEST_MONGO", container, "mongo") as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    def container() -> Any:
        return _container("redis:7", 6379, "redis", ".*Ready to accept connections.*")

    with server("FLYWHEEL_TEST_REDIS", container, "redis") as url:
        yield url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes with two GPUs each, whose image `flywheel:*` is this virtual environment."""
    if found := os.environ.get("FLYWHEEL_TEST_KUBECONFIG"):
        yield Cluster(Path(found), None, {})
        return
    with _image() as rules, testbed("kubernetes", "--nodes", "2", "--gpus", "2", "--images", rules) as facts:
        yield Cluster(Path(facts["kubeconfig"]), facts["control"], facts)


@contextmanager
def _image() -> Iterator[str]:
    """A file of rules by which the image `flywheel:*` stands for this virtual environment."""
    with tempfile.TemporaryDirectory(prefix="flywheel-image-", dir="/var/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        rule: dict[str, Any] = {"match": "flywheel:*", "path": [str(BIN)]}
        if not _pods_see(BIN):
            rule |= _moved(folder)
        rules = folder / "rules.json"
        rules.write_text(json.dumps([rule]), "utf-8")
        yield str(rules)


def _pods_see(path: Path) -> bool:
    """Pods have a /tmp of their own, and are nobody in particular."""
    return Path("/tmp") not in path.parents and all(p.stat().st_mode & stat.S_IXOTH for p in path.parents)


def _moved(folder: Path) -> dict[str, Any]:
    """The virtual environment and the sources once more, in `folder`, as links where the disk is the same."""
    for copy in (["cp", "-al"], ["cp", "-a"]):
        if not subprocess.run([*copy, str(BIN.parent), str(folder / "venv")], check=False).returncode:
            break
        shutil.rmtree(folder / "venv", ignore_errors=True)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "bin").mkdir()
    command = folder / "bin" / "flywheel"
    command.write_text(f"#!{folder}/venv/bin/python\nfrom flywheel.cli import main\n\nmain()\n", "utf-8")
    command.chmod(0o755)
    return {"path": [f"{folder}/bin", f"{folder}/venv/bin"], "env": {"PYTHONPATH": f"{folder}/src"}}
