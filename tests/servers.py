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
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTBED = Path(__file__).parents[2] / "shared" / "testbed" / "testbed"
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
    image = f"flywheel:*={BIN}"
    with testbed("kubernetes", "--nodes", "2", "--gpus", "2", "--image", image) as facts:
        yield Cluster(Path(facts["kubeconfig"]), facts["control"], facts)
