"""Whether an Elasticsearch is fit for records, and what to mend: for the doctor and for readiness.

Looking changes nothing. What the account may not look at (the cluster's health, its disks) is said to be
unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from flywheel.errors import FlywheelError
from flywheel.stores.logs.elasticsearch_client import ElasticsearchClient, IndexMissing
from flywheel.stores.logs.errors import LogStoreDenied
from flywheel.telemetry.health import Finding

_OLDEST: Final = 8
_QUICK_S: Final = 2.5
_NEARLY_FULL: Final = 0.85
"""Elasticsearch's own low watermark; at 0.95 it blocks all writes."""


def quick(client: ElasticsearchClient, index: str) -> Iterator[Finding]:
    """Reachable, let in, and not blocked. Raises what the client raises."""
    version = client.call(lambda es: es.options(request_timeout=_QUICK_S).info())["version"]["number"]
    seen = f"Elasticsearch {version} at {client.address}"
    old = int(version.partition(".")[0]) < _OLDEST
    yield Finding("records", not old, seen, "upgrade it to version 8 or 9")
    yield _block(client, index)


def thorough(client: ElasticsearchClient, index: str) -> Iterator[Finding]:
    """What is worth knowing besides: the index and its template, copies, disks."""
    yield _seen("records index", lambda: _index(client, index))
    yield _seen("records template", lambda: _template(client, index))
    yield _seen("records cluster", lambda: _cluster(client, index))
    yield _seen("records disk", lambda: _disk(client))


def _seen(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except LogStoreDenied:
        return Finding(check, True, "unseen: these credentials may not look")
    except FlywheelError as error:
        return Finding(check, False, str(error), "see the message", blocks=False)


def _block(client: ElasticsearchClient, index: str) -> Finding:
    """A block on writing, which a disk that ran full leaves behind."""
    try:
        answer = client.call(lambda es: es.indices.get_settings(index=index, flat_settings=True))
    except IndexMissing:
        return Finding("records writable", True, f"no index {index!r} yet; the first import makes it")
    except LogStoreDenied:
        return Finding("records writable", True, "unseen: these credentials may not look")
    blocks = {
        name.removeprefix("index.blocks.")
        for each in answer.values()
        for name, value in each["settings"].items()
        if name.startswith("index.blocks.") and str(value) == "true" and name != "index.blocks.metadata"
    }
    if not blocks:
        return Finding("records writable", True, f"index {index!r} takes writes")
    mend = (
        "free disk space on Elasticsearch's nodes or add some; it lifts this block by itself then"
        if blocks == {"read_only_allow_delete"}
        else f"lift the block: PUT {index}/_settings, index.blocks.*: null"
    )
    return Finding(
        "records writable", False, f"index {index!r} is blocked: {', '.join(sorted(blocks))}", mend
    )


def _index(client: ElasticsearchClient, index: str) -> Finding:
    try:
        documents = client.call(lambda es: es.count(index=index))["count"]
    except IndexMissing:
        return Finding("records index", True, f"no index {index!r} yet; the first import makes it")
    return Finding("records index", True, f"{index}: {documents:,} documents")


def _template(client: ElasticsearchClient, index: str) -> Finding:
    try:
        client.call(lambda es: es.indices.get_index_template(name=f"flywheel-{index}"))
    except IndexMissing:
        pass
    except FlywheelError as error:
        if "404" not in str(error):
            raise
    else:
        return Finding("records template", True, f"flywheel-{index}")
    try:
        client.call(lambda es: es.indices.get_mapping(index=index))
    except IndexMissing:
        return Finding("records template", True, "none yet; the first import makes it")
    seen = f"index {index!r} was made without ours, as NVIDIA's blueprint does; it is used as it is"
    return Finding("records template", True, seen)


def _cluster(client: ElasticsearchClient, index: str) -> Finding:
    health = client.call(lambda es: es.cluster.health())
    status, nodes = health["status"], health["number_of_nodes"]
    missing = health["unassigned_shards"]
    seen = f"{status}, {nodes} nodes" + (f", {missing} shards unassigned" if missing else "")
    mend = f"see GET _cluster/allocation/explain; one node alone cannot hold replicas of {index!r}"
    return Finding("records cluster", status == "green", seen, mend, blocks=status == "red")


def _disk(client: ElasticsearchClient) -> Finding:
    nodes: dict[str, Any] = client.call(lambda es: es.nodes.stats(metric="fs"))["nodes"]
    used = {
        node.get("name", name): 1 - node["fs"]["total"]["available_in_bytes"] / total
        for name, node in nodes.items()
        if (total := node["fs"]["total"].get("total_in_bytes"))
    }
    if not used:
        return Finding("records disk", True, "unseen: the nodes do not say")
    fullest = max(used, key=lambda name: used[name])
    seen = f"{used[fullest]:.0%} used on {fullest}, the fullest of {len(used)}"
    mend = "add disk or nodes, or flywheel records prune; writes are blocked at 95 %"
    return Finding("records disk", used[fullest] < _NEARLY_FULL, seen, mend, blocks=False)
