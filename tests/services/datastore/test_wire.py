"""The raw wire: what clients of other versions, and careless ones, meet; a test per trap of NEMO.md 2.2."""

import base64
import hashlib
import json
import re
import uuid
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from flywheel.services.datastore.hub import upload_mode

HUB = "/v1/hf"


@pytest.fixture
def repo(http: httpx.Client) -> str:
    name = f"repo-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "organization": "wire", "type": "dataset"}
    assert http.post(f"{HUB}/api/repos/create", json=body).status_code == 200
    return f"wire/{name}"


def commit(
    http: httpx.Client, repo: str, *operations: tuple[str, Any], branch: str = "main"
) -> httpx.Response:
    lines = [("header", {"summary": "s", "description": ""}), *operations]
    body = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in lines)
    return http.post(f"{HUB}/api/datasets/{repo}/commit/{branch}", content=body.encode())


def file(path: str, content: bytes) -> tuple[str, Any]:
    encoded = base64.b64encode(content).decode()
    return "file", {"content": encoded, "path": path, "encoding": "base64"}


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/v1/health/live", "/v1/health/ready"])
def test_health(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200


def test_addresses_in_answers_are_relative(http: httpx.Client) -> None:
    for kind, prefix in (("dataset", "datasets/"), (None, "")):
        name = f"rel-{uuid.uuid4().hex[:6]}"
        body = {"name": name, "organization": "wire"} | ({"type": kind} if kind else {})
        assert http.post(f"{HUB}/api/repos/create", json=body).json()["url"] == f"{prefix}wire/{name}"
        again = http.post(f"{HUB}/api/repos/create", json=body)
        assert again.status_code == 409
        assert again.json()["url"] == f"{prefix}wire/{name}"
        assert again.headers["x-should-retry"] == "false"
    repo = f"wire/{name}"
    answer = http.post(f"{HUB}/api/models/{repo}/commit/main", content=b'{"key":"header","value":{}}').json()
    assert answer["commitUrl"] == f"{repo}/commit/{answer['commitOid']}"
    assert answer["success"] is True


def test_creating_a_repository_creates_its_namespace(http: httpx.Client) -> None:
    namespace = f"auto-{uuid.uuid4().hex[:6]}"
    path = f"/v1/datastore/namespaces/{namespace}"
    assert http.get(path).status_code == 404
    body = {"name": "r", "organization": namespace, "type": "dataset", "private": False}
    http.post(f"{HUB}/api/repos/create", json=body)
    assert http.get(path).status_code == 200
    in_use = http.delete(path)
    assert (in_use.status_code, "1 repositories" in in_use.json()["detail"]) == (409, True)
    assert http.request("DELETE", f"{HUB}/api/repos/delete", json=body).status_code == 200
    assert http.delete(path).json()["id"] == namespace
    assert http.get(path).status_code == 404


def test_a_namespace_is_named_by_form_or_by_json(http: httpx.Client) -> None:
    one, two = (f"n-{uuid.uuid4().hex[:6]}" for _ in range(2))
    made = http.post("/v1/datastore/namespaces", data={"namespace": one})
    assert made.status_code == 201
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.json()["created_at"])
    assert made.json().keys() == {"namespace", "created_at", "updated_at"}
    assert http.post("/v1/datastore/namespaces", json={"namespace": two}).status_code == 201
    assert http.post("/v1/datastore/namespaces", data={"namespace": two}).status_code == 409
    listed = http.get("/v1/datastore/namespaces/").json()["data"]
    assert {one, two} <= {n["namespace"] for n in listed}
    for bad in (b"", b"{", b'{"name": "x"}', b"[]", b"\xff"):
        assert http.post("/v1/datastore/namespaces", content=bad).status_code == 400
    assert http.post("/v1/datastore/namespaces", data={"namespace": "../x"}).status_code == 422


def test_a_head_tells_what_a_download_needs(http: httpx.Client, repo: str) -> None:
    data = b"x" * 10_000
    sha1 = hashlib.sha1(b"blob 10000\0" + data, usedforsecurity=False).hexdigest()
    oid = commit(http, repo, file("a/b.txt", data)).json()["commitOid"]
    url = f"{HUB}/datasets/{repo}/resolve/main/a/b.txt"
    head = http.head(url, headers={"Accept-Encoding": "identity"})
    assert head.status_code == 200
    assert head.headers["x-repo-commit"] == oid
    assert head.headers["content-length"] == "10000"
    assert head.headers["accept-ranges"] == "bytes"
    assert head.headers["etag"] == f'"{sha1}"'
    assert "x-linked-etag" not in head.headers
    assert "content-encoding" not in head.headers
    assert head.content == b""
    assert http.get(url).content == data
    assert http.get(url, headers={"If-None-Match": head.headers["etag"]}).status_code == 304


def test_ranges(http: httpx.Client, repo: str) -> None:
    commit(http, repo, file("f", bytes(range(100))))
    url = f"{HUB}/datasets/{repo}/resolve/main/f"
    part = http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert http.get(url, headers={"Range": "bytes=90-"}).content == bytes(range(90, 100))
    assert http.get(url, headers={"Range": "bytes=-5"}).content == bytes(range(95, 100))
    assert http.get(url, headers={"Range": "bytes=200-"}).status_code == 416


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/datasets/wire/absent", "RepoNotFound"),
        ("/api/models/nameless", "RepoNotFound"),
        ("/datasets/wire/absent/resolve/main/x", "RepoNotFound"),
        ("/nameless/resolve/main/config.json", "RepoNotFound"),
        ("/api/datasets/{repo}/revision/absent", "RevisionNotFound"),
        ("/api/datasets/{repo}/tree/absent", "RevisionNotFound"),
        ("/datasets/{repo}/resolve/absent/x", "RevisionNotFound"),
        ("/api/datasets/{repo}/tree/main/absent", "EntryNotFound"),
        ("/datasets/{repo}/resolve/main/absent", "EntryNotFound"),
        ("/datasets/{repo}/resolve/main/folder", "EntryNotFound"),
        ("/datasets/{repo}/resolve/main", "EntryNotFound"),
    ],
)
def test_a_404_says_what_is_missing(http: httpx.Client, repo: str, path: str, code: str) -> None:
    commit(http, repo, file("folder/f", b"x"))
    for method in ("GET", "HEAD"):
        answer = http.request(method, HUB + path.format(repo=repo))
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, code)
        assert answer.headers["x-error-message"]
    if "resolve/main" in path and code == "EntryNotFound":
        assert len(answer.headers["x-repo-commit"]) == 40


def test_deleting_what_is_absent_says_so(http: httpx.Client) -> None:
    body = {"name": "absent", "organization": "wire", "type": "dataset"}
    answer = http.request("DELETE", f"{HUB}/api/repos/delete", json=body)
    assert (answer.status_code, answer.headers["x-error-code"]) == (404, "RepoNotFound")


OLD, MIDDLE, NEW = "unknown/None; hf_hub/0.30.2; python/3.11", "x; hf_hub/1.19.0", "x; hf_hub/1.20.1"


@pytest.mark.parametrize(
    ("path", "size", "agent", "mode"),
    [
        ("a.jsonl", 33_000, OLD, "regular"),
        ("a.jsonl", 10_000_001, OLD, "lfs"),
        ("a.safetensors", 10, MIDDLE, "lfs"),
        ("a.safetensors", 0, MIDDLE, "regular"),
        ("a.safetensors", 10, NEW, "regular"),
        ("a.jsonl", 10_000_001, NEW, "regular"),
        ("a.safetensors", 10, "x; hf_hub/2.4.0; python/3.11", "regular"),
        ("a.safetensors", 10, "flywheel/0.1; hf_hub/2.4.0; xet/off", "lfs"),
        ("a.safetensors", 10, "curl/8", "lfs"),
    ],
)
def test_large_files_go_by_lfs_where_the_client_can(path: str, size: int, agent: str, mode: str) -> None:
    assert upload_mode(path, size, agent) == mode


def test_preupload_answers_for_every_file(http: httpx.Client, repo: str) -> None:
    files = [{"path": "a", "sample": "", "size": 1}, {"path": "w.bin", "sample": "", "size": 1}]
    url = f"{HUB}/api/datasets/{repo}/preupload/main"
    answer = http.post(url, json={"files": files}, headers={"User-Agent": OLD}).json()
    assert answer == {
        "files": [
            {"path": "a", "uploadMode": "regular", "shouldIgnore": False, "oid": None},
            {"path": "w.bin", "uploadMode": "lfs", "shouldIgnore": False, "oid": None},
        ]
    }


def batch(http: httpx.Client, repo: str, oid: str, size: int) -> dict[str, Any]:
    body = {
        "operation": "upload",
        "transfers": ["basic", "multipart", "xet"],
        "objects": [{"oid": oid, "size": size}],
        "hash_algo": "sha256",
        "ref": {"name": "main"},
    }
    headers = {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"}
    url = f"{HUB}/datasets/{repo}.git/info/lfs/objects/batch"
    answer = http.post(url, content=json.dumps(body), headers=headers)
    assert answer.headers["content-type"] == "application/vnd.git-lfs+json"
    assert answer.json()["transfer"] == "basic"
    return dict(answer.json()["objects"][0])


def test_an_lfs_file_is_sent_once_and_answered_in_place(http: httpx.Client, repo: str) -> None:
    data = uuid.uuid4().bytes * 1000
    oid = hashlib.sha256(data).hexdigest()
    actions = batch(http, repo, oid, len(data))["actions"]
    assert http.put(actions["upload"]["href"], content=b"other").status_code == 400
    verify = {"oid": oid, "size": len(data)}
    assert http.post(actions["verify"]["href"], json=verify).status_code == 400
    early = commit(http, repo, ("lfsFile", {"path": "w", "algo": "sha256", "oid": oid, "size": len(data)}))
    assert (early.status_code, "was not uploaded" in early.json()["error"]) == (400, True)
    assert http.put(actions["upload"]["href"], content=data).status_code == 200
    assert http.post(actions["verify"]["href"], json=verify).status_code == 200
    assert "actions" not in batch(http, repo, oid, len(data))
    assert commit(http, repo, ("lfsFile", {"path": "w", "algo": "sha256", "oid": oid})).status_code == 200
    url = f"{HUB}/datasets/{repo}/resolve/main/w"
    for answer in (http.head(url), http.get(url)):
        assert answer.status_code == 200
        assert answer.headers["x-linked-etag"] == f'"{oid}"'
        assert answer.headers["x-linked-size"] == answer.headers["content-length"] == str(len(data))
        assert "x-repo-commit" in answer.headers
    assert answer.content == data
    tree = http.get(f"{HUB}/api/datasets/{repo}/tree/main").json()
    assert tree[0]["lfs"] == {"oid": oid, "size": len(data), "pointerSize": 130}
    assert tree[0]["size"] == len(data)


def test_a_wrong_size_of_an_lfs_file_is_noticed(http: httpx.Client, repo: str) -> None:
    data = uuid.uuid4().bytes
    oid = hashlib.sha256(data).hexdigest()
    http.put(batch(http, repo, oid, 16)["actions"]["upload"]["href"], content=data)
    wrong = commit(http, repo, ("lfsFile", {"path": "w", "algo": "sha256", "oid": oid, "size": 17}))
    assert (wrong.status_code, "16 were uploaded" in wrong.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        ".",
        "a/./b",
        ".git/config",
        "a/.GIT/x",
        "a\\b",
        "a\nb",
        "",
        "x" * 300,
    ],
)
def test_no_path_leads_out_of_a_repository(http: httpx.Client, repo: str, path: str) -> None:
    answer = commit(http, repo, file(path, b"x"))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("path ")
    assert http.get(f"{HUB}/api/datasets/{repo}/tree/main").json() == []


@pytest.mark.parametrize("name", ["..", "a/b/c", "x.git", ".x", "a b", "a\0b", "x" * 300, ""])
def test_no_name_leads_out_of_the_datastore(http: httpx.Client, name: str) -> None:
    body = {"name": name, "organization": "wire", "type": "dataset"}
    assert http.post(f"{HUB}/api/repos/create", json=body).status_code in (400, 422)


@pytest.mark.parametrize("namespace", ["api", "datasets", "models", ".."])
def test_a_namespace_takes_nobody_elses_address(http: httpx.Client, namespace: str) -> None:
    body = {"name": "x", "organization": namespace}
    assert http.post(f"{HUB}/api/repos/create", json=body).status_code in (400, 422)


@pytest.mark.parametrize(
    "branch", ["-x", "a//b", "a..", "a..b", "a.lock", "0" * 40, "a%20b", "a%00b", "%2e%2e"]
)
def test_a_branch_is_named_like_one(http: httpx.Client, repo: str, branch: str) -> None:
    answer = http.post(f"{HUB}/api/datasets/{repo}/branch/{branch}", json={})
    assert answer.status_code in (400, 422)
    assert repr(unquote(branch)) in answer.json()["error"]
    assert len(http.get(f"{HUB}/api/datasets/{repo}/refs").json()["branches"]) == 1


def test_a_file_and_a_folder_cannot_share_a_name(http: httpx.Client, repo: str) -> None:
    assert commit(http, repo, file("a", b"1")).status_code == 200
    clash = commit(http, repo, file("a/b", b"2"))
    assert (clash.status_code, "'a'" in clash.json()["error"]) == (400, True)
    swap = commit(http, repo, ("deletedFile", {"path": "a"}), file("a/b", b"2"))
    assert swap.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json\n",
        b'{"key": "file", "value": {"path": "a", "content": ""}}\n',
        b'{"key":"header","value":{}}\n{"key":"file","value":{"path":"a","content":"%%%"}}\n',
        b'{"key":"header","value":{}}\n{"key":"file","value":{"path":"a"}}\n',
        b'{"key":"header","value":{}}\n{"key":"file","value":{"content":""}}\n',
        b'{"key":"header","value":{}}\n{"key":"strange","value":{"path":"a"}}\n',
        b'{"key":"header","value":{}}\n{"key":"lfsFile","value":{"path":"a","oid":"../../x"}}\n',
        b'{"key":"header","value":{}}\n{"key":"file"\n',
        b'{"key":"header","value":3}\n',
        b"[1]\n",
        b"\x00\xff\xfe",
    ],
)
def test_a_malformed_commit_is_refused_and_leaves_nothing(http: httpx.Client, repo: str, body: bytes) -> None:
    before = http.get(f"{HUB}/api/datasets/{repo}").json()["sha"]
    answer = http.post(f"{HUB}/api/datasets/{repo}/commit/main", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == answer.json()["detail"]
    assert http.get(f"{HUB}/api/datasets/{repo}").json()["sha"] == before


def test_a_commit_needs_a_branch(http: httpx.Client, repo: str) -> None:
    head = http.get(f"{HUB}/api/datasets/{repo}").json()["sha"]
    for branch in ("absent", head):
        answer = commit(http, repo, file("a", b"1"), branch=branch)
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_pull_requests_are_refused_in_words(http: httpx.Client, repo: str) -> None:
    answer = http.post(f"{HUB}/api/datasets/{repo}/commit/main?create_pr=1", content=b"")
    assert (answer.status_code, "create_pr" in answer.json()["error"]) == (400, True)


def test_a_long_tree_comes_in_pages_of_one_commit(http: httpx.Client, repo: str) -> None:
    paths = [f"d{n % 3}/f-{n:02} ü.txt" for n in range(20)]
    commit(http, repo, *(file(path, b"x") for path in paths))
    url: str | None = f"{HUB}/api/datasets/{repo}/tree/main?recursive=True&expand=False&limit=4"
    seen: list[str] = []
    while url:
        answer = http.get(url)
        seen += [entry["path"] for entry in answer.json()]
        url = answer.links.get("next", {}).get("url")
        commit(http, repo, file(f"a{len(seen)}", b""))
    assert [path for path in seen if "/" in path] == sorted(paths)
    assert len(seen) == 23


def test_paths_are_asked_for_by_json_or_by_form(http: httpx.Client, repo: str) -> None:
    commit(http, repo, file("a/b", b"x"))
    url = f"{HUB}/api/datasets/{repo}/paths-info/main"
    wanted = ["a", "a/b", "absent"]
    for answer in (http.post(url, json={"paths": wanted}), http.post(url, data={"paths": wanted})):
        assert [(e["type"], e["path"]) for e in answer.json()] == [("directory", "a"), ("file", "a/b")]
    assert http.post(url, json={}).status_code == 400


def test_junk_headers_and_queries_are_ignored(http: httpx.Client, repo: str) -> None:
    url = f"{HUB}/api/datasets/{repo}/revision/main?expand=xetEnabled&x=1"
    info = http.get(url, headers={"Authorization": "Bearer junk", "x-stainless-lang": "python"}).json()
    assert info["id"] == repo
    assert "xetEnabled" not in info
    assert info.keys() >= {
        "_id", "id", "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "tags",
        "downloads", "likes", "siblings",
    }  # fmt: skip


def test_entities_say_what_they_lack_as_nvidias_do(http: httpx.Client) -> None:
    name = f"d-{uuid.uuid4().hex[:6]}"
    body = {"name": name, "namespace": "wire", "files_url": "hf://datasets/wire/d", "unheard_of": 1}
    dataset = http.post("/v1/datasets", json=body).json()
    assert dataset["format"] is None
    assert dataset["unheard_of"] == 1
    model = http.post("/v1/models", json={"name": name, "namespace": "wire"}).json()
    assert "peft" not in model
    full = http.patch(f"/v1/datasets/wire/{name}", json=body | {"description": "new"})
    assert (full.status_code, full.json()["description"], full.json()["id"]) == (200, "new", dataset["id"])
    renamed = http.patch(f"/v1/datasets/wire/{name}", json={"name": "other"})
    assert (renamed.status_code, "keeps its name" in renamed.json()["detail"]) == (422, True)
    gone = http.request("DELETE", f"/v1/datasets/wire/{name}", headers={"Content-Type": "application/json"})
    assert gone.json().keys() == {"id", "message", "deleted_at"}
    assert http.get(f"/v1/datasets/wire/{name}").status_code == 404


def test_a_namespace_entity_may_be_named_by_either_word(http: httpx.Client) -> None:
    for key in ("id", "namespace"):
        name = f"n-{uuid.uuid4().hex[:6]}"
        made = http.post("/v1/namespaces", json={key: name})
        assert made.status_code == 200
        assert made.json()["id"] == name
        assert "name" not in made.json()
    assert http.post("/v1/namespaces", json={}).status_code == 422
