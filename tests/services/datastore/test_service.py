"""What is on the disk, and what is left of it after deletes, crashes and full disks."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from flywheel.errors import StorageFull
from flywheel.services.datastore.commits import Commit, Put
from flywheel.services.datastore.errors import BadUpload, RepoNotFound
from flywheel.services.datastore.git import File, blob_oid
from flywheel.services.datastore.repositories import Repo, RepoId
from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from flywheel.stores.files import Blobs
from serving_apps import nemo_app, serve_app


def put(service: DatastoreService, path: str, data: bytes) -> Put:
    return Put(path, File(blob_oid(len(data), [data]), len(data), service.blobs.put(data, path)))


def commit(service: DatastoreService, repo: Repo, **files: bytes) -> str:
    puts = tuple(put(service, path, data) for path, data in files.items())
    return service.repositories.commit(repo, "main", Commit("m", "", None, puts)).oid


def repo_named(service: DatastoreService, name: str) -> Repo:
    return service.repositories.create(RepoId("dataset", "ns", name))


def test_a_content_lives_as_long_as_a_repository_holds_it(service: DatastoreService) -> None:
    one, two = repo_named(service, "one"), repo_named(service, "two")
    commit(service, one, a=b"shared", b=b"own")
    commit(service, one, b=b"newer")
    commit(service, two, a=b"shared")
    assert len(list(service.blobs.all())) == 3
    service.repositories.delete(one.id, grace_s=-1)
    assert list(service.blobs.all()) == [hashlib.sha256(b"shared").hexdigest()]
    service.repositories.delete(two.id, grace_s=-1)
    assert list(service.blobs.all()) == []


def test_what_was_just_stored_outlives_a_delete_and_goes_with_the_next(service: DatastoreService) -> None:
    one, two = repo_named(service, "one"), repo_named(service, "two")
    commit(service, one, a=b"recent")
    service.repositories.delete(one.id, grace_s=60)
    assert len(list(service.blobs.all())) == 1
    service.repositories.delete(two.id, grace_s=-1)
    assert list(service.blobs.all()) == []


def test_a_start_removes_what_deletes_had_to_leave(service: DatastoreService) -> None:
    repo = repo_named(service, "one")
    commit(service, repo, a=b"recent")
    service.repositories.delete(repo.id, grace_s=60)
    service.start()
    assert list(service.blobs.all()) == []


def test_a_commit_whose_content_is_gone_is_refused(service: DatastoreService) -> None:
    repo = repo_named(service, "one")
    lost = put(service, "a", b"lost")
    service.repositories.sweep(abandoned_s=-1, grace_s=-1)
    with pytest.raises(BadUpload, match="upload it again"):
        service.repositories.commit(repo, "main", Commit("m", "", None, (lost,)))


def test_uploads_that_were_never_committed_are_swept_at_a_start(service: DatastoreService) -> None:
    commit(service, repo_named(service, "one"), a=b"committed")
    stray = service.blobs.put(b"stray", "x")
    service.start()
    assert service.blobs.size(stray) == 5  # It may be minutes old: a commit is still to come.
    os.utime(service.blobs.path(stray), (0, 0))
    service.start()
    assert service.blobs.size(stray) is None
    assert len(list(service.blobs.all())) == 1


def test_commits_from_many_threads_all_count(service: DatastoreService) -> None:
    repo = repo_named(service, "one")

    def work(worker: int) -> None:
        for number in range(5):
            commit(service, repo, **{f"{worker}-{number}": b"same"})

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = service.repositories.revision(repo, "main")
    assert len(service.repositories.files(head)) == 20
    assert len(list(service.repositories.history(head))) == 21


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    before = DatastoreService(tmp_path)
    oid = commit(before, repo_named(before, "one"), a=b"1")
    before.entities.create("models", {"id": "model-1", "namespace": "ns", "name": "m"})
    before.stop()
    after = DatastoreService(tmp_path)
    after.start()
    repo = after.repositories.get(RepoId("dataset", "ns", "one"))
    assert after.repositories.revision(repo, "main").oid == oid
    assert after.entities.get("models", "ns", "m")["id"] == "model-1"
    after.stop()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from serving_apps import serve_app
from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from serving_apps import nemo_app
service = DatastoreService(Path(sys.argv[1]))
service.start()
with serve_app(nemo_app("datastore", router(service))) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts a datastore in a process of its own, always in the same folder."""

    def start() -> subprocess.Popen[str]:
        tests = Path(__file__).parents[2]
        command = [sys.executable, "-c", SERVER, str(tmp_path / "data"), str(tests)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip() + "/v1/hf"


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def body_of(files: dict[str, bytes]) -> bytes:
    lines = [{"key": "header", "value": {"summary": "m"}}]
    for path, data in files.items():
        lines.append({"key": "file", "value": {"content": base64.b64encode(data).decode(), "path": path}})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_a_kill_in_the_middle_of_a_commit_keeps_what_was_acknowledged(
    server: Callable[[], subprocess.Popen[str]], client: httpx.Client, tmp_path: Path
) -> None:
    process = server()
    hub = address(process)
    repo = {"name": "r", "organization": "ns", "type": "dataset"}
    client.post(f"{hub}/api/repos/create", json=repo).raise_for_status()
    url = f"{hub}/api/datasets/ns/r/commit/main"
    first = client.post(url, content=body_of({"a": b"kept"})).json()["commitOid"]
    half = body_of({"b": b"first", "c": b"x" * 3_000_000})

    def until_killed() -> object:
        yield half[:3_000_000]
        kill(process)
        yield half[3_000_000:]

    with pytest.raises(httpx.TransportError):
        client.post(url, content=until_killed())
    process = server()
    hub = address(process)
    try:
        info = client.get(f"{hub}/api/datasets/ns/r").json()
        assert (info["sha"], [s["rfilename"] for s in info["siblings"]]) == (first, ["a"])
        assert client.get(f"{hub}/datasets/ns/r/resolve/main/a").content == b"kept"
        assert list((tmp_path / "data" / "blobs" / "incoming").iterdir()) == []
        again = client.post(f"{hub}/api/datasets/ns/r/commit/main", content=half)
        assert again.status_code == 200
        assert len(client.get(f"{hub}/datasets/ns/r/resolve/main/c").content) == 3_000_000
    finally:
        kill(process)


def test_a_client_that_goes_away_leaves_nothing(client: httpx.Client, tmp_path: Path) -> None:
    service = DatastoreService(tmp_path)
    repo_named(service, "r")

    def cut_off() -> object:
        yield body_of({"a": b"x" * 3_000_000})[:2_000_000]
        raise ConnectionAbortedError

    with serve_app(nemo_app("datastore", router(service))) as url:
        hub = f"{url}/v1/hf"
        with pytest.raises(ConnectionAbortedError):
            client.post(f"{hub}/api/datasets/ns/r/commit/main", content=cut_off())
        assert client.get(f"{hub}/api/datasets/ns/r").json()["siblings"] == []
    service.stop()
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


def test_a_full_disk_is_one_clear_answer_and_changes_nothing(client: httpx.Client, tmp_path: Path) -> None:
    filled = threading.Event()

    def create(path: Path) -> BinaryIO:
        return Path("/dev/full").open("wb") if filled.is_set() else path.open("xb")

    service = DatastoreService(tmp_path, blobs=Blobs(tmp_path / "blobs", create=create))
    repo = repo_named(service, "r")
    commit(service, repo, a=b"before")
    filled.set()
    data = b"weights" * 100_000
    oid = hashlib.sha256(data).hexdigest()
    with serve_app(nemo_app("datastore", router(service))) as url:
        hub = f"{url}/v1/hf"
        commits = f"{hub}/api/datasets/ns/r/commit/main"
        answers = [
            client.post(commits, content=body_of({"b": b"small"})),
            client.post(commits, content=body_of({"b": data * 5})),
            client.put(f"{hub}/datasets/ns/r.git/info/lfs/objects/{oid}", content=data),
        ]
        for answer in answers:
            assert answer.status_code == 507
            assert "no space left on the disk" in answer.json()["error"]
            assert "was not stored" in answer.headers["x-error-message"]
        assert [s["rfilename"] for s in client.get(f"{hub}/api/datasets/ns/r").json()["siblings"]] == ["a"]
    with pytest.raises(StorageFull, match="file b"):
        service.blobs.put(data, "file b")
    filled.clear()
    commit(service, repo, b=data)
    service.stop()


def test_a_repository_deleted_under_a_reader_is_missed_by_name(service: DatastoreService) -> None:
    repo = repo_named(service, "r")
    commit(service, repo, a=b"1")
    head = service.repositories.revision(repo, "main")
    service.repositories.delete(repo.id, grace_s=-1)
    with pytest.raises(RepoNotFound, match="datasets/ns/r"):
        service.repositories.files(head)
