"""The copy of the cluster's objects: current by a watch, and again after it was lost. A scripted server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from flywheel.runtime.kubernetes.mirror import Mirror


class Api:
    """Answers one list after the other, and after each a watch that tells its events and then waits."""

    def __init__(self) -> None:
        self.lists: list[tuple[int, list[str]]] = []
        self.watches: list[list[dict[str, Any]]] = []
        self.asked: list[str | None] = []
        self.over = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                if "watch" not in query:
                    version, names = api.lists.pop(0) if len(api.lists) > 1 else api.lists[0]
                    items = [pod(name, version) for name in names]
                    listed = {"metadata": {"resourceVersion": str(version)}, "items": items}
                    self.wfile.write(json.dumps(listed).encode())
                    return
                api.asked.append(query["resourceVersion"][0])
                for event in api.watches.pop(0) if api.watches else []:
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                    self.wfile.flush()
                if not api.watches:
                    api.over.wait(20)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def pod(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)},
        "spec": {"containers": [{"name": "main"}]},
    }


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": pod(name, version)}


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.close()


def mirror(api: Api) -> Mirror[client.V1Pod]:
    settings = client.Configuration(host=f"http://127.0.0.1:{api.server.server_port}")
    settings.retries = 0
    core = client.CoreV1Api(client.ApiClient(settings))
    return Mirror("pods", partial(core.list_namespaced_pod, namespace="x"), lambda: None)


def names(found: Mirror[client.V1Pod]) -> list[str]:
    return sorted(item.metadata.name for item in found.all())


def until(met: Any) -> None:
    end = time.monotonic() + 15
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.02)


def test_the_watch_goes_on_where_the_list_was(api: Api) -> None:
    api.lists = [(7, ["a", "b"])]
    api.watches = [[event("ADDED", "c", 8), event("DELETED", "a", 9), event("MODIFIED", "b", 10)], []]
    found = mirror(api)

    until(lambda: names(found) == ["b", "c"])
    until(lambda: len(api.asked) == 2)

    assert api.asked == ["7", "10"]
    assert found.get("b").metadata.resource_version == "10"
    found.close()


def test_a_version_that_is_gone_means_a_new_list(api: Api) -> None:
    api.lists = [(7, ["a"]), (90, ["b"])]
    api.watches = [[event("ADDED", "x", 8), GONE], []]
    found = mirror(api)

    until(lambda: names(found) == ["b"])
    until(lambda: len(api.asked) == 2)

    assert api.asked == ["7", "90"]
    found.close()


def test_what_was_just_made_is_known_at_once_and_what_ended_stays_forgotten(
    api: Api,
) -> None:
    api.lists = [(7, ["old"])]
    api.watches = [[]]
    found = mirror(api)
    until(lambda: names(found) == ["old"])
    old = found.get("old")

    fresh = client.V1Pod(metadata=client.V1ObjectMeta(name="new", uid="uid-new", resource_version="12"))
    found.put(fresh)
    found.forget(old)
    assert names(found) == ["new"]
    found.put(client.V1Pod(metadata=client.V1ObjectMeta(name="new", uid="uid-new", resource_version="11")))

    assert found.get("new").metadata.resource_version == "12"
    found.close()


def test_a_server_that_is_away_leaves_the_copy_as_it_was(api: Api) -> None:
    api.lists = [(7, ["a"])]
    api.watches = [[]]
    found = mirror(api)
    until(lambda: names(found) == ["a"])

    api.close()

    threading.Event().wait(0.3)
    assert names(found) == ["a"]
    found.close()
