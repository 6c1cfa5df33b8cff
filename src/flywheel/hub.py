"""The one door to Hugging-Face-compatible hubs: our datastore, NVIDIA's, huggingface.co.

Services give each other files through it, so they share no folder. It wraps `huggingface_hub` with Xet off
(no datastore speaks it), with a time limit on every call and with our errors. It never imports torch or
transformers: what is done with the files is somebody else's business.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # Of the HTTP library that this version uses.
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (
    build_hf_headers,
    disable_progress_bars,
    get_session,
    get_token,
    hf_raise_for_status,
)

from flywheel import __version__
from flywheel.errors import NotFound, UpstreamError, UserError
from flywheel.hidden import hide
from flywheel.telemetry import tracing

RepoType = Literal["dataset", "model"]

DEMO_STUDENT: Final = "flywheel/student"

_TIMEOUT_S: Final = 300.0  # The longest silence of a server; it may have gigabytes to put on its disk.
_LOOK_S: Final = 10.0
MODEL_FILES: Final = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # And nothing pickled.
_READ_S: Final = 30.0  # The longest silence of a server while somebody waits for a file.
_CHUNK: Final = 256 * 1024
_PASSED_ON: Final = ("content-length", "content-range", "accept-ranges", "etag")
_URL: Final = re.compile(
    r"hf://(?:(?P<type>datasets|models)/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.+))?"
)

_OFFLINE: Final = constants.is_offline_mode()
# HF_HUB_OFFLINE is meant for the hub of the world outside; the library would refuse our own datastore too.
constants.HF_HUB_OFFLINE = False
constants.HF_HUB_DISABLE_XET = True  # The library's only switch for it besides the environment.
disable_progress_bars()
hide(get_token())


class BadHubUrl(UserError):
    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"files_url {url!r}: expected hf://datasets/NAMESPACE/NAME or hf://NAMESPACE/NAME, "
            "with @REVISION and /PATH if wanted"
        )


class HubNotFound(NotFound):
    """A hub has no such repository, or not in that revision."""

    def __init__(self, repo_id: str, revision: str | None, endpoint: str) -> None:
        self.repo_id, self.revision, self.endpoint = repo_id, revision, endpoint
        super().__init__(f"{repo_id}{f'@{revision}' if revision else ''} is not on the hub {endpoint}")


class HubError(UpstreamError):
    """A hub could not be reached, or failed at what it was asked."""

    def __init__(self, doing: str, endpoint: str, status: int | None, cause: str) -> None:
        self.doing, self.endpoint, self.upstream_status, self.cause = doing, endpoint, status, cause
        answer = f" answered {status}" if status else ""
        super().__init__(f"{doing}: the hub {endpoint}{answer}: {cause}")


class ModelNotFound(NotFound):
    """A model's name leads to no files."""

    def __init__(self, name: str, cause: str) -> None:
        self.name = name
        super().__init__(
            f"there is no model {name!r} ({cause}); give {DEMO_STUDENT!r}, the name of a model on the hub "
            "(NAMESPACE/NAME or NAMESPACE/NAME@REVISION), or the absolute path of a folder with its files"
        )


class ModelNotHere(NotFound):
    """The model's files are not on this machine, and nobody may be asked for them (HF_HUB_OFFLINE)."""

    def __init__(self, name: str, cache_dir: Path) -> None:
        self.name, self.cache_dir = name, cache_dir
        super().__init__(
            f"the model {name!r} is not in {cache_dir}, and HF_HUB_OFFLINE is set; {_fetch(name, cache_dir)}"
        )


class ModelOutOfReach(HubError):
    """The model's files are not on this machine, and the hub does not answer."""

    def __init__(self, name: str, cache_dir: Path, error: HubError) -> None:
        self.name, self.cache_dir = name, cache_dir
        cause = f"{error.cause}; the model is not in {cache_dir} either; {_fetch(name, cache_dir)}"
        super().__init__(error.doing, error.endpoint, error.upstream_status, cause)


def _fetch(name: str, cache_dir: Path) -> str:
    repo, _, revision = name.partition("@")
    command = f"hf download {repo}{f' --revision {revision}' if revision else ''} --cache-dir {cache_dir}"
    return f"fetch it where there is a network, by `{command}`, or name a folder with its files as model_path"


class BadRange(UserError):
    """No part of a file is asked for; 416 as HTTP has it."""

    status = 416
    code = "bad_range"

    def __init__(self, path: str, asked: str) -> None:
        self.path, self.asked = path, asked
        super().__init__(
            f"Range {asked!r}: {path} has no such bytes; write bytes=FIRST-LAST, within its size"
        )


class HubFile(NamedTuple):
    """A file of a repository; `sha256` is known of large ones, and `size`, in bytes, of nearly all."""

    path: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way: HTTP's status (200, or 206 for a part), the headers that tell its size and its tag,
    and its bytes, which are to be read once. `close` gives the connection back, whatever was read."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]
    close: Callable[[], object]


class HubUrl(NamedTuple):
    """What an `hf://` URL points at."""

    repo_type: RepoType
    repo_id: str
    path: str | None
    revision: str | None


def parse_hf_url(url: str) -> HubUrl:
    """Take apart `hf://datasets/ns/name[@rev][/path]` or `hf://[models/]ns/name[@rev][/path]`.

    Raises BadHubUrl.
    """
    found = _URL.fullmatch(url)
    if found is None or found["repo"].startswith("datasets/"):
        raise BadHubUrl(url)
    revision = unquote(found["revision"]) if found["revision"] else None
    kind: RepoType = "dataset" if found["type"] == "datasets" else "model"
    return HubUrl(kind, found["repo"], found["path"], revision)


class Hub:
    """One hub, such as `http://127.0.0.1:8001/v1/hf`; safe to use from any thread.

    Without a `token` none is sent, even if the user is logged in somewhere.
    """

    def __init__(self, endpoint: str, *, token: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token: str | Literal[False] = token or False
        self._agent = {"xet": "off"}  # Our datastore may then ask for large files as plain LFS uploads.
        self._api = HfApi(
            endpoint=self.endpoint,
            token=self._token,
            library_name="flywheel",
            library_version=__version__,
            user_agent=self._agent,
        )

    def upload(
        self,
        repo_id: str,
        files: Mapping[str, Path | bytes],
        *,
        repo_type: RepoType,
        revision: str = "main",
        message: str,
        private: bool | None = None,
    ) -> str:
        """Put `files` (path in the repository → local path or content) there in one commit; its hash.

        The repository and the branch `revision` are made where absent; files that are there already are
        replaced, others stay. A second call with the same files is one more commit and does no harm. A
        repository that is made is `private` or not, or as the hub has it.
        """
        additions = [CommitOperationAdd(path, content) for path, content in files.items()]
        with self._translated(f"uploading {len(files)} files to {repo_id}", repo_id, revision):
            self._api.create_repo(repo_id, repo_type=repo_type, exist_ok=True, private=private)
            if revision != "main":
                self._api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
            commit = self._api.create_commit(
                repo_id, additions, commit_message=message, repo_type=repo_type, revision=revision
            )
        return str(commit.oid)

    def download(
        self,
        repo_id: str,
        into: Path,
        *,
        repo_type: RepoType,
        revision: str = "main",
        patterns: Sequence[str] | None = None,
    ) -> Path:
        """Fetch the repository, or its files that match one of `patterns`, into the folder `into`.

        The folder appears when it is complete; one that was there before is replaced.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=into.parent) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            new.mkdir()
            with self._translated(f"downloading {repo_id}", repo_id, revision):
                self._api.snapshot_download(
                    repo_id,
                    repo_type=repo_type,
                    revision=revision,
                    allow_patterns=None if patterns is None else list(patterns),
                    local_dir=new,
                    cache_dir=Path(scratch, "cache"),
                    max_workers=4,
                )
            shutil.rmtree(new / ".cache", ignore_errors=True)
            if into.exists():
                into.rename(old)
            new.rename(into)
        return into

    def delete(self, repo_id: str, *, repo_type: RepoType, revision: str | None = None) -> None:
        """Remove the repository with everything in it, or only its branch `revision`; absent is fine."""
        with suppress(HubNotFound), self._translated(f"deleting {repo_id}", repo_id, revision):
            if revision is None:
                self._api.delete_repo(repo_id, repo_type=repo_type, missing_ok=True)
            else:
                self._api.delete_branch(repo_id, branch=revision, repo_type=repo_type)

    def exists(
        self, repo_id: str, *, repo_type: RepoType, path: str | None = None, revision: str | None = None
    ) -> bool:
        """Whether there is the repository, the `revision` of it, and the file `path` in that."""
        with self._translated(f"looking for {repo_id}", repo_id, revision):
            if path is not None:
                return self._api.file_exists(repo_id, path, repo_type=repo_type, revision=revision)
            if revision is not None:
                return self._api.revision_exists(repo_id, revision, repo_type=repo_type)
            return self._api.repo_exists(repo_id, repo_type=repo_type)

    def files(self, repo_id: str, *, repo_type: RepoType, revision: str = "main") -> list[str]:
        """The paths of all files in the repository."""
        with self._translated(f"listing {repo_id}", repo_id, revision):
            return self._api.list_repo_files(repo_id, repo_type=repo_type, revision=revision)

    def listing(self, repo_id: str, *, repo_type: RepoType, revision: str = "main") -> list[HubFile]:
        """All files with their sizes, for somebody who waits. Raises HubNotFound and HubError."""
        with self._translated(f"listing {repo_id}", repo_id, revision):
            info = self._api.repo_info(
                repo_id, repo_type=repo_type, revision=revision, timeout=_LOOK_S, files_metadata=True
            )
        files = getattr(info, "siblings", None) or []
        return [HubFile(each.rfilename, each.size, each.lfs.sha256 if each.lfs else None) for each in files]

    def open(
        self,
        repo_id: str,
        path: str,
        *,
        repo_type: RepoType,
        revision: str = "main",
        byte_range: str | None = None,
    ) -> Download:
        """The file, or `byte_range` of it as HTTP's Range has it, to be passed on while it arrives.

        Raises HubNotFound, HubError and BadRange; where the connection breaks later, `chunks` raise HubError.
        """
        doing = f"reading {path} of {repo_id}"
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise HubNotFound(f"{path} in {repo_id}", revision, self.endpoint)
        url = hf_hub_url(repo_id, path, repo_type=repo_type, revision=revision, endpoint=self.endpoint)
        asked = {"accept-encoding": "identity"} | ({"range": byte_range} if byte_range else {})
        headers = build_hf_headers(token=self._token, library_name="flywheel", headers=asked)
        with self._translated(doing, f"{path} in {repo_id}", revision):
            session = get_session()
            answer = session.send(
                session.build_request("GET", url, headers=headers, timeout=_READ_S),
                stream=True,
                follow_redirects=True,
            )
            if answer.is_error:
                answer.read()
                if answer.status_code == 416:
                    raise BadRange(path, byte_range or "")
                hf_raise_for_status(answer)
        kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        return Download(answer.status_code, kept, self._arriving(doing, answer), answer.close)

    def _arriving(self, doing: str, answer: Any) -> Iterator[bytes]:
        try:
            yield from answer.iter_raw(_CHUNK)
        except HTTPError as error:
            raise HubError(doing, self.endpoint, None, _one_line(error)) from error
        finally:
            answer.close()

    @contextmanager
    def _translated(self, doing: str, repo_id: str, revision: str | None) -> Iterator[None]:
        with _translated(doing, repo_id, revision, self.endpoint):
            yield


@contextmanager
def _translated(doing: str, repo_id: str, revision: str | None, endpoint: str) -> Iterator[None]:
    """Calls of the library that give up after a while and raise our errors."""
    session = get_session()  # The library renews it now and then.
    session.timeout = _TIMEOUT_S  # Else it waits for ever.
    if _carry not in (hooks := session.event_hooks)["request"]:
        session.event_hooks = {**hooks, "request": [*hooks["request"], _carry]}
    try:
        with tracing.span(f"hub {doing.partition(' ')[0]}", {"url.full": endpoint}, kind="client"):
            yield
    except LocalEntryNotFoundError as e:  # What the library makes of every trouble with a download.
        cause = e.__cause__ or e
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        raise HubError(doing, endpoint, status, _one_line(cause)) from e
    except GatedRepoError as e:
        raise HubError(doing, endpoint, e.response.status_code, _one_line(e)) from e
    except RepositoryNotFoundError as e:
        raise HubNotFound(repo_id, None, endpoint) from e
    except (RevisionNotFoundError, EntryNotFoundError) as e:
        raise HubNotFound(repo_id, revision, endpoint) from e
    except HfHubHTTPError as e:
        raise HubError(doing, endpoint, e.response.status_code, _one_line(e)) from e
    except RuntimeError as e:
        if not isinstance(e.__cause__, HTTPError):  # Else the upload of a large file failed.
            raise
        raise HubError(doing, endpoint, None, f"{_one_line(e)} {_one_line(e.__cause__)}") from e
    except HFValidationError as e:
        raise BadHubUrl(f"hf://{repo_id}") from e
    except (OfflineModeIsEnabled, HTTPError) as e:
        raise HubError(doing, endpoint, None, _one_line(e)) from e


def _carry(request: Any) -> None:
    request.headers.update(tracing.headers())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:1000] or type(error).__name__


def resolve_model(name: str, *, cache_dir: Path, endpoint: str | None = None) -> Path:
    """The folder with the files of the model `name`: config, tokenizer and safetensors weights.

    `name` is the shipped demo student, an absolute path of a folder, or `NAMESPACE/NAME[@REVISION]` on the
    hub `endpoint` (default: huggingface.co, or what `HF_ENDPOINT` says), kept under `cache_dir` and used
    from there when the hub is out of reach. Raises ModelNotFound, ModelNotHere, and HubError if
    the hub fails.
    """
    if name == DEMO_STUDENT:
        folder = Path(str(resources.files("flywheel") / "student"))
    elif Path(name).is_absolute():
        folder = Path(name)
    else:
        folder = _snapshot(name, cache_dir, endpoint)
    if not (folder / "config.json").is_file():
        raise ModelNotFound(name, f"{folder} holds no config.json")
    return folder


def where_from(name: str, *, cache_dir: Path, endpoint: str | None = None) -> str:
    """In words for people: where the files of the model are, or would be fetched from; nothing is fetched.

    Raises as `resolve_model`.
    """
    if name == DEMO_STUDENT or Path(name).is_absolute():
        return f"found in {resolve_model(name, cache_dir=cache_dir).name}"
    _, repo_id, _, revision = _named(name)
    with suppress(HubError), _translated("looking", repo_id, revision, ""):
        cached = snapshot_download(repo_id, revision=revision, cache_dir=cache_dir, local_files_only=True)
        if (Path(cached) / "config.json").is_file():
            return f"found in {cache_dir}"
    if _OFFLINE and endpoint is None:
        raise ModelNotHere(name, cache_dir)
    where = endpoint or constants.ENDPOINT
    api = HfApi(endpoint=endpoint, token=False if endpoint else None)
    try:
        with _translated(f"looking for {name}", repo_id, revision, where):
            api.model_info(repo_id, revision=revision, timeout=_LOOK_S)
    except HubError as e:
        if e.upstream_status is None:
            raise ModelOutOfReach(name, cache_dir, e) from e
        raise
    except HubNotFound as e:
        raise ModelNotFound(name, f"the hub {where} does not know it") from e
    return f"fetched from {where} at its first use"


def _named(name: str) -> HubUrl:
    try:
        found = parse_hf_url(f"hf://models/{name}")
    except BadHubUrl as e:
        raise ModelNotFound(name, "this is no name of a model") from e
    if found.path is not None:
        raise ModelNotFound(name, "a name has two parts")
    return found


def _snapshot(name: str, cache_dir: Path, endpoint: str | None) -> Path:
    _, repo_id, _, revision = _named(name)
    where, offline = endpoint or constants.ENDPOINT, _OFFLINE and endpoint is None
    try:
        with _translated(f"downloading {name}", repo_id, revision, where):
            return Path(
                snapshot_download(
                    repo_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    allow_patterns=list(MODEL_FILES),
                    endpoint=endpoint,
                    token=False if endpoint else None,  # The user's own token is for the public hub.
                    local_files_only=offline,
                    library_name="flywheel",
                    library_version=__version__,
                )
            )
    except HubError as e:
        if offline:
            raise ModelNotHere(name, cache_dir) from e
        if e.upstream_status is None:
            raise ModelOutOfReach(name, cache_dir, e) from e
        raise
    except (HubNotFound, BadHubUrl) as e:
        raise ModelNotFound(name, f"the hub {where} does not know it") from e
