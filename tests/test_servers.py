"""The servers that other tests rely on are real, and answer."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from servers import Cluster


def test_elasticsearch_answers(elasticsearch_url: str) -> None:
    assert "lucene_version" in httpx.get(elasticsearch_url, timeout=20).text


def test_mongo_answers(mongo_url: str) -> None:
    import pymongo

    with pymongo.MongoClient(mongo_url, serverSelectionTimeoutMS=10_000) as client:
        assert client.admin.command("ping")["ok"] == 1


def test_redis_answers(redis_url: str) -> None:
    import redis

    with redis.Redis.from_url(redis_url, socket_timeout=10) as client:
        assert client.ping()


@pytest.mark.slow
def test_the_cluster_has_nodes_with_gpus(cluster: Cluster) -> None:
    from kubernetes import client, config

    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    nodes = core.list_node(_request_timeout=20).items
    assert sum(int(node.status.allocatable["nvidia.com/gpu"]) for node in nodes) >= 2
    assert Path(cluster.kubeconfig).exists()
