"""The hub's own client, as installed and unmodified, against the datastore."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    constants,
    hf_hub_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tokenizers import Tokenizer, models


@pytest.fixture
def api(url: str) -> HfApi:
    return HfApi(endpoint=f"{url}/v1/hf", token="nothing")


@pytest.fixture
def repo(api: HfApi) -> str:
    """A new, empty dataset repository."""
    name = f"ns/repo-{uuid.uuid4().hex[:8]}"
    api.create_repo(name, repo_type="dataset")
    return name


@pytest.mark.parametrize("repo_type", ["dataset", "model"])
def test_a_repository_is_created_once(api: HfApi, repo_type: str) -> None:
    name = f"ns/new-{repo_type}"
    created = api.create_repo(name, repo_type=repo_type)
    assert (created.repo_id, created.repo_type) == (name, repo_type)
    again = api.create_repo(name, repo_type=repo_type, exist_ok=True)
    assert again.repo_id == name
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(name, repo_type=repo_type)
    assert api.repo_exists(name, repo_type=repo_type)
    assert api.list_repo_files(name, repo_type=repo_type) == []


def test_a_repository_is_deleted_with_what_is_in_it(api: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a", repo_id=repo, repo_type="dataset")
    api.delete_repo(repo, repo_type="dataset")
    assert not api.repo_exists(repo, repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo, repo_type="dataset")
    api.delete_repo(repo, repo_type="dataset", missing_ok=True)
    api.create_repo(repo, repo_type="dataset")
    assert api.list_repo_files(repo, repo_type="dataset") == []


def test_files_come_back_as_they_went_up(api: HfApi, repo: str, tmp_path: Path) -> None:
    local = tmp_path / "local.jsonl"
    local.write_bytes(b'{"a": 1}\n' * 5000)
    for path, source in {
        "training/training.jsonl": str(local),
        "from/bytes io.jsonl": BytesIO(b"some\nlines\n"),
        "bytes": b"raw \x00\xff",
        "empty": b"",
        "odd/ü +%20#?&.txt": b"odd",
    }.items():
        info = api.upload_file(
            path_or_fileobj=source, path_in_repo=path, repo_id=repo, repo_type="dataset", commit_message="m"
        )
        assert len(info.oid) == 40
        assert info.repo_url.repo_id == repo
    assert sorted(api.list_repo_files(repo, repo_type="dataset")) == sorted(
        ["training/training.jsonl", "from/bytes io.jsonl", "bytes", "empty", "odd/ü +%20#?&.txt"]
    )
    fetched = Path(api.snapshot_download(repo, repo_type="dataset", cache_dir=tmp_path / "cache"))
    assert (fetched / "training/training.jsonl").read_bytes() == local.read_bytes()
    assert (fetched / "from/bytes io.jsonl").read_bytes() == b"some\nlines\n"
    assert (fetched / "bytes").read_bytes() == b"raw \x00\xff"
    assert (fetched / "empty").read_bytes() == b""
    assert (fetched / "odd/ü +%20#?&.txt").read_bytes() == b"odd"


def test_the_same_file_again_is_one_more_commit(api: HfApi, repo: str) -> None:
    oids = [
        api.upload_file(path_or_fileobj=b"same", path_in_repo="a", repo_id=repo, repo_type="dataset").oid
        for _ in range(2)
    ]
    assert oids[0] != oids[1]
    assert [c.commit_id for c in api.list_repo_commits(repo, repo_type="dataset")][:2] == oids[::-1]


@pytest.fixture(params=["xet on", "xet off"])
def xet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways of the library: with Xet, as it is by default, and with HF_HUB_DISABLE_XET=1."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "xet off")
    return request.param == "xet on"


@pytest.mark.usefixtures("xet")
@pytest.mark.parametrize("buffered", [False, True])
def test_weights_come_back_as_they_went_up(api: HfApi, repo: str, tmp_path: Path, buffered: bool) -> None:
    """With Xet installed the library sends them in the commit; that is asked of it."""
    weights = os.urandom(3_000_000)
    source: bytes | BytesIO = BytesIO(weights) if buffered else weights
    name = "adapter_model.safetensors"
    api.upload_file(path_or_fileobj=source, path_in_repo=name, repo_id=repo, repo_type="dataset")
    path = api.hf_hub_download(repo, name, repo_type="dataset", cache_dir=tmp_path)
    assert Path(path).read_bytes() == weights


@pytest.mark.usefixtures("xet")
def test_a_folder_is_uploaded_and_its_card_looked_at(api: HfApi, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Hello\n")
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "deep.txt").write_text("deep")
    api.create_repo("ns/folder", repo_type="model", exist_ok=True)
    api.upload_folder(folder_path=folder, repo_id="ns/folder")
    assert sorted(api.list_repo_files("ns/folder")) == ["README.md", "config.json", "sub/deep.txt"]
    (folder / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(ValueError, match="not YAML"):
        api.upload_folder(folder_path=folder, repo_id="ns/folder")


def test_a_branch_per_job_keeps_its_own_files(api: HfApi, tmp_path: Path) -> None:
    name = "ns/customized-llama"
    api.create_repo(name, repo_type="model")
    for job in ("cust-1", "cust-2"):
        api.create_branch(name, branch=job)
        api.upload_file(
            path_or_fileobj=job.encode(), path_in_repo="adapter_config.json", repo_id=name, revision=job
        )
    api.create_branch(name, branch="cust-1", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(name, branch="cust-1")
    for job in ("cust-1", "cust-2"):
        folder = api.snapshot_download(name, revision=job, cache_dir=tmp_path / "cache")
        assert Path(folder, "adapter_config.json").read_text() == job
    assert api.list_repo_files(name) == []
    refs = api.list_repo_refs(name)
    assert {ref.name for ref in refs.branches} == {"main", "cust-1", "cust-2"}
    api.delete_branch(name, branch="cust-1")
    assert not api.revision_exists(name, "cust-1")
    with pytest.raises(HfHubHTTPError):
        api.delete_branch(name, branch="main")


def test_branches_with_slashes_and_tags_are_revisions(api: HfApi, repo: str, tmp_path: Path) -> None:
    kind = {"repo_id": repo, "repo_type": "dataset"}
    api.create_branch(branch="feature/a", **kind)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="d/f.txt", revision="feature/a", **kind)
    api.create_tag(tag="v1.0", revision="feature/a", **kind)
    for revision in ("feature/a", "v1.0"):
        path = api.hf_hub_download(filename="d/f.txt", revision=revision, cache_dir=tmp_path, **kind)
        assert Path(path).read_bytes() == b"x"
        assert api.list_repo_files(revision=revision, **kind) == ["d/f.txt"]
    api.delete_tag(tag="v1.0", **kind)
    assert not api.revision_exists(revision="v1.0", **kind)


def test_old_commits_stay_as_they_were(api: HfApi, repo: str, tmp_path: Path) -> None:
    kind = {"repo_id": repo, "repo_type": "dataset"}
    old = api.upload_file(path_or_fileobj=b"old", path_in_repo="f", **kind).oid
    api.upload_file(path_or_fileobj=b"new", path_in_repo="f", **kind)
    path = api.hf_hub_download(filename="f", revision=old, cache_dir=tmp_path, **kind)
    assert Path(path).read_bytes() == b"old"


def test_what_is_missing_is_told_apart(api: HfApi, repo: str) -> None:
    kind = {"repo_id": repo, "repo_type": "dataset"}
    api.upload_file(path_or_fileobj=b"x", path_in_repo="there", **kind)
    assert api.file_exists(filename="there", **kind)
    assert not api.file_exists(filename="absent", **kind)
    assert not api.file_exists(filename="there", revision="absent", **kind)
    assert not api.file_exists("ns/absent", "there", repo_type="dataset")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(filename="absent", **kind)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(filename="there", revision="absent", **kind)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("ns/absent")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("gpt2")
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(path_in_repo="absent", **kind))


def test_one_commit_adds_and_deletes(api: HfApi, repo: str) -> None:
    kind = {"repo_id": repo, "repo_type": "dataset"}
    first = [CommitOperationAdd(path, b"x") for path in ("a", "d/1", "d/2", "e/1")]
    oid = api.create_commit(operations=first, commit_message="first", **kind).oid
    change = [
        CommitOperationDelete("a"),
        CommitOperationDelete("d/", is_folder=True),
    ]
    addition = CommitOperationAdd("d/3", b"y")
    api.create_commit(operations=[*change, addition], commit_message="second", parent_commit=oid, **kind)
    assert sorted(api.list_repo_files(**kind)) == ["d/3", "e/1"]
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(
            operations=[CommitOperationAdd("z", b"")], commit_message="x", parent_commit=oid, **kind
        )
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        api.create_commit(operations=[CommitOperationDelete("gone")], commit_message="x", **kind)


def test_the_tree_has_sizes_and_hashes_that_git_would_give(api: HfApi, repo: str, tmp_path: Path) -> None:
    kind = {"repo_id": repo, "repo_type": "dataset"}
    files = {"b": b"hello\n", "a/x.txt": b"x", "a.txt": b"y", "a/b/c": b""}
    commit = api.create_commit(
        operations=[CommitOperationAdd(path, data) for path, data in files.items()],
        commit_message="all",
        **kind,
    )
    work = tmp_path / "git"
    for path, data in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(data)
    tree = {entry.path: entry for entry in api.list_repo_tree(recursive=True, expand=True, **kind)}
    assert tree.keys() == {*files, "a", "a/b"}
    assert {path: tree[path].size for path in files} == {path: len(data) for path, data in files.items()}
    assert all(entry.last_commit.oid == commit.oid for entry in tree.values())
    git(work, "init", "-q")
    git(work, "add", "-A", "-f")
    listed = git(work, "ls-files", "-s").splitlines()
    assert {line.split()[3]: line.split()[1] for line in listed} == {
        path: tree[path].blob_id for path in files
    }
    root = git(work, "write-tree").strip()
    assert git(work, "rev-parse", f"{root}:a").strip() == tree["a"].tree_id
    assert api.get_paths_info(paths=["b", "a", "absent"], expand=True, **kind)[0].blob_id == tree["b"].blob_id


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30
    ).stdout


def test_info_names_the_commit_and_the_files(api: HfApi, repo: str) -> None:
    oid = api.upload_file(path_or_fileobj=b"xy", path_in_repo="f", repo_id=repo, repo_type="dataset").oid
    info = api.dataset_info(repo, files_metadata=True)
    assert (info.sha, info.id, info.author) == (oid, repo, "ns")
    assert [(s.rfilename, s.size) for s in info.siblings or []] == [("f", 2)]
    assert info.last_modified is not None
    assert info.last_modified >= info.created_at
    assert api.repo_info(repo, repo_type="dataset", revision=oid).sha == oid
    assert repo in {d.id for d in api.list_datasets(author="ns")}
    assert api.whoami()["name"] == "flywheel"


def test_hf_urls_are_read_like_files(url: str, api: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo="d/f", repo_id=repo, repo_type="dataset")
    files = HfFileSystem(endpoint=f"{url}/v1/hf", token="nothing", skip_instance_cache=True)
    assert files.glob(f"datasets/{repo}/**/f") == [f"datasets/{repo}/d/f"]
    with files.open(f"hf://datasets/{repo}/d/f", "rb") as file:
        file.seek(4)
        assert file.read(3) == b"456"


@pytest.fixture
def python_with_hub(url: str, tmp_path: Path) -> Callable[[str], str]:
    """Runs a script in a process whose hub is the datastore, as users set it: with HF_ENDPOINT."""

    def run(script: str) -> str:
        env = {
            "PATH": os.environ["PATH"],
            "HF_ENDPOINT": f"{url}/v1/hf",
            "HF_HOME": str(tmp_path / "hf"),
            "HOME": str(tmp_path),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_transformers_load_a_tokenizer_and_a_config_from_here(
    api: HfApi, python_with_hub: Callable[[str], str], tmp_path: Path
) -> None:
    """Loading from a hub is shown with our own datastore as the hub: tests reach no other."""
    pytest.importorskip("transformers")
    folder = tmp_path / "tiny"
    folder.mkdir()
    words = Tokenizer(models.WordLevel({"hi": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}')
    api.create_repo("tiny/llama")
    api.upload_folder(folder_path=folder, repo_id="tiny/llama")
    api.create_branch("tiny/llama", branch="v2")
    out = python_with_hub(
        "from transformers import AutoConfig, AutoTokenizer\n"
        "for revision in ('main', 'v2'):\n"
        "    print(AutoConfig.from_pretrained('tiny/llama', revision=revision).hidden_size)\n"
        "    tokenizer = AutoTokenizer.from_pretrained('tiny/llama', revision=revision)\n"
        "    print(*tokenizer('hi')['input_ids'])\n"
    )
    assert out.split() == ["8", "0", "8", "0"]


def test_the_command_line_downloads_a_revision(
    api: HfApi, python_with_hub: Callable[[str], str], tmp_path: Path
) -> None:
    api.create_repo("ns/cli")
    api.create_branch("ns/cli", branch="cust-Abc")
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="a.json", repo_id="ns/cli", revision="cust-Abc")
    python_with_hub(
        "import sys; from huggingface_hub.cli.hf import main\n"
        "sys.argv = ['hf', 'download', '--repo-type', 'model', 'ns/cli', '--revision', 'cust-Abc',"
        f" '--local-dir', {str(tmp_path / 'here')!r}]\n"
        "main()"
    )
    assert (tmp_path / "here" / "a.json").read_text() == "{}"


def test_downloading_one_file_by_the_public_function(url: str, api: HfApi, repo: str, tmp_path: Path) -> None:
    api.upload_file(path_or_fileobj=b"data", path_in_repo="f", repo_id=repo, repo_type="dataset")
    path = hf_hub_download(repo, "f", repo_type="dataset", endpoint=f"{url}/v1/hf", local_dir=tmp_path)
    assert Path(path).read_bytes() == b"data"
