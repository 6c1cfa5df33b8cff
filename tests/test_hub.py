"""The one door to hubs, against our own data store: addresses, uploads, downloads, and being offline."""

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from flywheel.hub import (
    DEMO_STUDENT,
    BadHubUrl,
    BadRange,
    Hub,
    HubError,
    HubNotFound,
    ModelNotFound,
    ModelOutOfReach,
    RepoType,
    parse_hf_url,
    resolve_model,
)
from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from serving_apps import nemo_app, serve_app


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    service = DatastoreService(tmp_path_factory.mktemp("datastore"))
    with serve_app(nemo_app("datastore", router(service))) as url:
        yield f"{url}/v1/hf"
    service.stop()


@pytest.fixture
def hub(endpoint: str) -> Hub:
    return Hub(endpoint)


@pytest.fixture
def name() -> str:
    return f"ns/repo-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("hf://datasets/ns/name", ("dataset", "ns/name", None, None)),
        ("hf://datasets/ns/name/a/b.jsonl", ("dataset", "ns/name", "a/b.jsonl", None)),
        ("hf://datasets/ns/name@v1/a", ("dataset", "ns/name", "a", "v1")),
        ("hf://ns/customized-x@cust-1AbC", ("model", "ns/customized-x", None, "cust-1AbC")),
        ("hf://models/ns/name", ("model", "ns/name", None, None)),
        ("hf://ns/name@refs%2Fpr%2F1", ("model", "ns/name", None, "refs/pr/1")),
    ],
)
def test_hf_urls_are_taken_apart(url: str, parts: tuple[str, ...]) -> None:
    assert parse_hf_url(url) == parts


@pytest.mark.parametrize(
    "url", ["", "ns/name", "hf://datasets/ns", "hf://x", "https://h/ns/name", "hf://a/b@"]
)
def test_what_is_no_hf_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadHubUrl, match="hf://datasets/NAMESPACE/NAME"):
        parse_hf_url(url)


@pytest.mark.parametrize("repo_type", ["dataset", "model"])
def test_files_go_up_in_one_commit_and_come_down_as_a_folder(
    hub: Hub, name: str, tmp_path: Path, repo_type: str
) -> None:
    local = tmp_path / "train.jsonl"
    local.write_text('{"messages": []}\n')
    files = {"training/training.jsonl": local, "validation/validation.jsonl": b"{}\n"}
    commit = hub.upload(name, files, repo_type=repo_type, message="data")
    assert len(commit) == 40
    assert hub.files(name, repo_type=repo_type) == sorted(files)
    folder = hub.download(name, tmp_path / "down", repo_type=repo_type)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == sorted(files)
    assert (folder / "training/training.jsonl").read_bytes() == local.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["down", "train.jsonl"]


def test_a_branch_is_made_for_a_revision_and_main_stays_empty(hub: Hub, name: str, tmp_path: Path) -> None:
    for _ in range(2):  # A job that was interrupted does it again.
        hub.upload(name, {"a.json": b"1"}, repo_type="model", revision="cust-1", message="adapter")
    folder = hub.download(name, tmp_path / "x", repo_type="model", revision="cust-1")
    assert (folder / "a.json").read_bytes() == b"1"
    assert hub.files(name, repo_type="model") == []


def test_weights_travel_by_themselves_and_are_stored_once(
    hub: Hub, name: str, tmp_path: Path, endpoint: str
) -> None:
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(os.urandom(5_000_000))
    for revision in ("cust-1", "cust-2"):
        hub.upload(name, {weights.name: weights}, repo_type="model", revision=revision, message="adapter")
    tree = httpx.get(f"{endpoint}/api/models/{name}/tree/cust-2", timeout=10).json()
    assert tree[0]["lfs"]["size"] == 5_000_000
    folder = hub.download(name, tmp_path / "x", repo_type="model", revision="cust-2")
    assert (folder / weights.name).read_bytes() == weights.read_bytes()


def test_a_download_replaces_the_folder_as_a_whole(hub: Hub, name: str, tmp_path: Path) -> None:
    hub.upload(name, {"a/1": b"1", "b/2": b"2"}, repo_type="dataset", message="m")
    into = tmp_path / "into"
    into.mkdir()
    (into / "stale").write_text("old")
    hub.download(name, into, repo_type="dataset", patterns=["a/*"])
    assert [p.name for p in into.rglob("*")] == ["a", "1"]
    with pytest.raises(HubNotFound):
        hub.download(name, into, repo_type="dataset", revision="absent")
    assert [p.name for p in into.rglob("*")] == ["a", "1"]
    assert [p.name for p in tmp_path.iterdir()] == ["into"]


def test_what_is_there_and_what_is_not(hub: Hub, name: str, tmp_path: Path) -> None:
    assert not hub.exists(name, repo_type="dataset")
    hub.delete(name, repo_type="dataset")
    hub.upload(name, {"a": b"1"}, repo_type="dataset", message="m")
    assert hub.exists(name, repo_type="dataset")
    assert not hub.exists(name, repo_type="model")
    assert hub.exists(name, repo_type="dataset", path="a")
    assert not hub.exists(name, repo_type="dataset", path="b")
    assert hub.exists(name, repo_type="dataset", revision="main")
    assert not hub.exists(name, repo_type="dataset", revision="b")
    hub.delete(name, repo_type="dataset")
    with pytest.raises(HubNotFound, match=name):
        hub.download(name, tmp_path / "x", repo_type="dataset")


def test_a_hub_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    hub = Hub("http://127.0.0.1:9/v1/hf")
    with pytest.raises(HubError, match=r"uploading 1 files to ns/.*127\.0\.0\.1:9"):
        hub.upload(name, {"a": b""}, repo_type="dataset", message="m")
    with pytest.raises(HubError, match=r"downloading ns/.*127\.0\.0\.1:9"):
        hub.download(name, tmp_path / "x", repo_type="dataset")
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_fails_is_not_one_that_lacks_something(tmp_path: Path) -> None:
    app = FastAPI()

    @app.get("/api/{rest:path}")
    def answer(rest: str) -> Response:
        gated = {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask its owner for access"}
        return Response(status_code=403, headers=gated) if "gated" in rest else Response(status_code=501)

    with serve_app(app) as endpoint:
        with pytest.raises(HubError, match="answered 501"):
            Hub(endpoint).download("ns/x", tmp_path / "x", repo_type="model")
        with pytest.raises(HubError, match=r"answered 403.*ask its owner"):
            resolve_model("ns/gated", cache_dir=tmp_path, endpoint=endpoint)


def test_a_refusal_says_what_the_hub_said(hub: Hub) -> None:
    with pytest.raises(HubError, match=r"answered 400.*cannot be a namespace") as caught:
        hub.upload("datasets/x", {"a": b""}, repo_type="dataset", message="m")
    assert caught.value.upstream_status == 400


def test_a_model_is_fetched_from_a_hub_once_and_then_without_it(
    hub: Hub, endpoint: str, tmp_path: Path
) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"w", "tokenizer.json": b"{}", "x.bin": b"pickle"}
    hub.upload("org/base", files, repo_type="model", message="m")
    folder = resolve_model("org/base", cache_dir=tmp_path, endpoint=endpoint)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    offline = resolve_model("org/base", cache_dir=tmp_path, endpoint="http://127.0.0.1:9/v1/hf")
    assert offline == folder
    hub.upload("org/base", {"config.json": b'{"v": 2}'}, repo_type="model", revision="v2", message="m")
    folder = resolve_model("org/base@v2", cache_dir=tmp_path, endpoint=endpoint)
    assert (folder / "config.json").read_bytes() == b'{"v": 2}'


@pytest.mark.parametrize(
    "bad", ["org/absent", "org/base@absent", "gpt2", "../x", "a/b/c", "", "org/..", "a b/c"]
)
def test_an_unknown_model_is_named_with_what_would_be_right(endpoint: str, tmp_path: Path, bad: str) -> None:
    with pytest.raises(ModelNotFound, match="NAMESPACE/NAME") as caught:
        resolve_model(bad, cache_dir=tmp_path / "cache", endpoint=endpoint)
    assert repr(bad) in str(caught.value)


def test_a_model_that_is_not_here_while_its_hub_is_away_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelOutOfReach) as caught:
        resolve_model("org/base@v2", cache_dir=tmp_path, endpoint="http://127.0.0.1:9/v1/hf")
    assert caught.value.upstream_status is None
    for part in ("org/base", str(tmp_path), f"hf download org/base --revision v2 --cache-dir {tmp_path}"):
        assert part in str(caught.value)
    assert "model_path" in str(caught.value)


def test_offline_nobody_outside_is_asked_and_our_own_hub_is(endpoint: str, tmp_path: Path) -> None:
    """HF_HUB_OFFLINE is read when the program starts, so this is another one."""
    script = (
        "import sys; from pathlib import Path; from flywheel.hub import *\n"
        "hub = Hub(sys.argv[1])\n"
        "hub.upload('org/offline', {'config.json': b'{}'}, repo_type='model', message='m')\n"
        "assert hub.files('org/offline', repo_type='model') == ['config.json']\n"
        "try: resolve_model('org/absent', cache_dir=Path(sys.argv[2]))\n"
        "except ModelNotHere as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", script, endpoint, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'org/absent' is not in" in done.stdout
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert "hf download org/absent" in done.stdout


def test_a_folder_is_a_model_if_it_holds_one(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no config\.json"):
        resolve_model(str(tmp_path), cache_dir=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(str(tmp_path), cache_dir=tmp_path) == tmp_path


def test_the_shipped_student_needs_no_hub(tmp_path: Path) -> None:
    folder = resolve_model(DEMO_STUDENT, cache_dir=tmp_path, endpoint="http://127.0.0.1:9/v1/hf")
    assert (folder / "config.json").is_file()


def test_finding_a_model_imports_no_framework() -> None:
    script = (
        "import sys; from pathlib import Path; from flywheel.hub import resolve_model, ModelNotFound\n"
        "try: resolve_model('/nowhere', cache_dir=Path('.'))\n"
        "except ModelNotFound: pass\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert out.strip() == "set()"


@pytest.mark.parametrize("repo_type", ["dataset", "model"])
def test_files_are_listed_with_their_sizes_and_read_as_they_arrive(
    hub: Hub, name: str, repo_type: RepoType
) -> None:
    large = bytes(range(256)) * 4096
    files = {"adapter_model.safetensors": large, "a b/ü.jsonl": b"{}\n", "empty.txt": b""}
    hub.upload(name, files, repo_type=repo_type, revision="job-1", message="files")
    listed = {file.path: file for file in hub.listing(name, repo_type=repo_type, revision="job-1")}
    assert {path: file.size for path, file in listed.items()} == {k: len(v) for k, v in files.items()}
    assert listed["adapter_model.safetensors"].sha256 == hashlib.sha256(large).hexdigest()
    assert hub.listing(name, repo_type=repo_type) == []
    for path, content in files.items():
        download = hub.open(name, path, repo_type=repo_type, revision="job-1")
        assert (download.status, download.headers["content-length"]) == (200, str(len(content)))
        assert b"".join(download.chunks) == content


def test_a_part_of_a_file_is_read_and_one_that_is_not_there_refused(hub: Hub, name: str) -> None:
    hub.upload(name, {"x.txt": b"0123456789"}, repo_type="model", message="x")
    part = hub.open(name, "x.txt", repo_type="model", byte_range="bytes=2-5")
    assert (part.status, part.headers["content-range"]) == (206, "bytes 2-5/10")
    assert b"".join(part.chunks) == b"2345"
    with pytest.raises(BadRange, match="bytes=50-60"):
        hub.open(name, "x.txt", repo_type="model", byte_range="bytes=50-60")


@pytest.mark.parametrize(
    "path", ["y.txt", "../x.txt", "a//b", "", "./x.txt", "x.txt/..", "../../x/resolve/main/y"]
)
def test_a_file_that_is_not_there_is_no_other_address_of_the_hub(hub: Hub, name: str, path: str) -> None:
    hub.upload(name, {"x.txt": b"x"}, repo_type="model", message="x")
    with pytest.raises(HubNotFound):
        hub.open(name, path, repo_type="model")
    with pytest.raises(HubNotFound):
        hub.open(f"{name}-not", "x.txt", repo_type="model")
    with pytest.raises(HubNotFound):
        hub.listing(f"{name}-not", repo_type="model")


def test_a_hub_that_is_away_or_breaks_off_is_a_hub_error() -> None:
    with pytest.raises(HubError, match=r"reading x\.txt"):
        Hub("http://127.0.0.1:9/v1/hf").open("ns/x", "x.txt", repo_type="model")
    with pytest.raises(HubError, match="listing ns/x"):
        Hub("http://127.0.0.1:9/v1/hf").listing("ns/x", repo_type="model")

    app = FastAPI()

    @app.get("/ns/x/resolve/main/x.txt")
    def broken() -> StreamingResponse:
        return StreamingResponse(iter([b"half"]), headers={"content-length": "8"})

    with serve_app(app) as url:
        download = Hub(url).open("ns/x", "x.txt", repo_type="model")
        with pytest.raises(HubError, match=r"reading x\.txt"):
            list(download.chunks)
