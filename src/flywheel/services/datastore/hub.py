"""The Hugging-Face-compatible half of the datastore, `/v1/hf`: what the hub's clients send and read.

Unmodified clients are the specification; NEMO.md 2.2 lists what they trip over. The rules that matter most:
addresses in answers are relative, a 404 says what is missing in `X-Error-Code`, large files are answered in
place and not by a redirect, and the kind of upload depends on what the client can do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, quote

import orjson
import yaml
from anyio import from_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParam
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.services.datastore.commits import read_commit
from flywheel.services.datastore.errors import BadUpload, EntryNotFound, RepoNotFound
from flywheel.services.datastore.git import Entry, File, Folder, lfs_pointer
from flywheel.services.datastore.repositories import MAIN, Repo, RepoId, RepoType, Revision
from flywheel.services.datastore.service import DatastoreService
from flywheel.stores.files import CHUNK
from flywheel.web import arriving

log = get_logger(__name__)

_LFS_ABOVE: Final = 10_000_000  # bytes, as on huggingface.co
_LFS_SUFFIXES: Final = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".nemo"})
_LFS_JSON: Final = "application/vnd.git-lfs+json"
_AGENT: Final = re.compile(r"hf_hub/(\d+)\.(\d+)")
_NO_REPO_OWNER: Final = "default"

Kind = Literal["datasets", "models"]


class HubRoute(APIRoute):
    """Renders errors as hub clients read them: the message in a header, the kind of 404 in another."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except FlywheelError as e:
                return _refusal(request, e)

        return guarded


def _refusal(request: Request, error: FlywheelError) -> Response:
    text = str(error)
    if error.status >= 500:
        log.error("request failed", extra={"path": request.url.path, "error": text})
    headers = {"X-Error-Message": re.sub(r"[^\x20-\x7e]", "?", text)}
    if code := getattr(error, "hub_code", None):
        headers["X-Error-Code"] = code
    if commit := getattr(error, "commit", None):
        headers["X-Repo-Commit"] = commit
    if error.status == 409:
        headers["x-should-retry"] = "false"
    body = {"error": text, "detail": text}
    if url := getattr(error, "url", None):
        body["url"] = url
    return JSONResponse(body, error.status, headers)


class RepoBody(BaseModel):
    """Which repository to create or delete. Without a `type` it is a model's."""

    name: str
    organization: str | None = None
    type: RepoType | None = None

    @property
    def id(self) -> RepoId:
        namespace, name = self.organization, self.name
        if namespace is None and "/" in name:
            namespace, _, name = name.partition("/")
        return RepoId(self.type or "model", namespace or _NO_REPO_OWNER, name)


class UploadedFile(BaseModel):
    path: str
    size: int = Field(ge=0)


class PreuploadBody(BaseModel):
    files: list[UploadedFile]


class RefBody(BaseModel):
    starting_point: str = Field(MAIN, alias="startingPoint")


class TagBody(BaseModel):
    tag: str


class LfsObject(BaseModel):
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class LfsBatchBody(BaseModel):
    operation: Literal["upload"]
    objects: list[LfsObject]


class YamlBody(BaseModel):
    content: str = ""


def upload_mode(path: str, size: int, agent: str) -> Literal["lfs", "regular"]:
    """How a client is to send a file of `size` bytes: by itself (`lfs`) or within the commit (`regular`).

    Since 1.20 the hub's library sends every LFS file by Xet, which is not spoken here, and has no way back;
    it is asked for plain LFS only where it says that Xet is off.
    """
    version = _AGENT.search(agent)
    xet = version is not None and (int(version[1]), int(version[2])) >= (1, 20) and "xet/off" not in agent
    large = size > _LFS_ABOVE or (size > 0 and PurePosixPath(path).suffix.lower() in _LFS_SUFFIXES)
    return "lfs" if large and not xet else "regular"


def hub_router(service: DatastoreService) -> APIRouter:
    """The routes below `/v1/hf`."""
    hub = _Hub(service)
    routes = APIRouter(prefix="/v1/hf", route_class=HubRoute, tags=["hub"])

    def add(method: str, path: str, endpoint: Callable[..., Any]) -> None:
        methods = [method, "HEAD"] if method == "GET" else [method]
        routes.add_api_route(path, endpoint, methods=methods, response_model=None)

    add("GET", "/api/whoami-v2", hub.whoami)
    add("POST", "/api/validate-yaml", hub.validate_yaml)
    add("POST", "/api/repos/create", hub.create)
    add("DELETE", "/api/repos/delete", hub.delete)
    add("GET", "/api/{kind}", hub.index)
    one = "/api/{kind}/{namespace}/{name}"
    add("GET", one, hub.info)
    add("GET", one + "/revision/{revision:path}", hub.info)
    add("GET", one + "/tree/{rest:path}", hub.tree)
    add("POST", one + "/paths-info/{revision:path}", hub.paths_info)
    add("GET", one + "/commits/{revision:path}", hub.commits)
    add("GET", one + "/refs", hub.refs)
    add("POST", one + "/branch/{branch:path}", hub.create_branch)
    add("DELETE", one + "/branch/{branch:path}", hub.delete_branch)
    add("POST", one + "/tag/{revision:path}", hub.create_tag)
    add("DELETE", one + "/tag/{tag:path}", hub.delete_tag)
    add("POST", one + "/preupload/{revision:path}", hub.preupload)
    add("POST", one + "/commit/{branch:path}", hub.commit)
    add("GET", "/api/{kind}/{name}", hub.nameless)
    kinds: tuple[tuple[str, Kind], ...] = (("/datasets", "datasets"), ("", "models"))
    for prefix, kind in kinds:
        files = hub.files_of(kind)
        add("POST", prefix + "/{namespace}/{name}.git/info/lfs/objects/batch", files.lfs_batch)
        add("POST", prefix + "/{namespace}/{name}.git/info/lfs/objects/verify", files.lfs_verify)
        add("PUT", prefix + "/{namespace}/{name}.git/info/lfs/objects/{oid}", files.lfs_put)
        add("GET", prefix + "/{namespace}/{name}/resolve/{rest:path}", files.resolve)
    add("GET", "/{name}/resolve/{rest:path}", hub.nameless)
    return routes


def _repo_id(kind: Kind, namespace: str, name: str) -> RepoId:
    return RepoId("dataset" if kind == "datasets" else "model", namespace, name)


Named = Annotated[RepoId, Depends(_repo_id)]


class _Hub:
    """The endpoints below `/v1/hf/api`. They are plain functions, which FastAPI runs in threads."""

    def __init__(self, service: DatastoreService) -> None:
        self._service = service
        self._repos, self._blobs = service.repositories, service.blobs

    def files_of(self, kind: Kind) -> _Files:
        return _Files(self._service, kind)

    def whoami(self) -> dict[str, Any]:
        """Everybody is the same here: tokens are not looked at."""
        orgs = [{"type": "org", "name": name} for name in self._repos.namespaces()]
        token = {"displayName": "none", "role": "write"}
        user = {"type": "user", "id": "flywheel", "name": "flywheel", "fullname": "Flywheel", "isPro": False}
        return user | {"orgs": orgs, "auth": {"type": "access_token", "accessToken": token}}

    def validate_yaml(self, body: YamlBody) -> Response:
        """Whether the block of metadata at the top of a README.md can be read."""
        found = re.match(r"---\r?\n(.*?)\r?\n---\s*(\r?\n|$)", body.content, re.DOTALL)
        errors = []
        if found:
            try:
                if not isinstance(yaml.safe_load(found[1]), dict | None):
                    errors.append({"message": "the metadata is no mapping"})
            except yaml.YAMLError as e:
                errors.append({"message": f"the metadata is not YAML: {e}"})
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self, body: RepoBody) -> dict[str, Any]:
        repo = self._repos.create(body.id)
        log.info("repository created", extra={"repo": str(repo.id)})
        return {"url": str(repo.id), "name": f"{repo.id.namespace}/{repo.id.name}", "id": repo.uid}

    def delete(self, body: RepoBody) -> Response:
        self._repos.delete(body.id, self._service.grace_s)
        log.info("repository deleted", extra={"repo": str(body.id)})
        return Response(status_code=200)

    def index(
        self,
        kind: Kind,
        author: str = "",
        search: str = "",
        limit: Annotated[int, Query(ge=1)] = 1000,
    ) -> list[dict[str, Any]]:
        repos = self._repos.of_type("dataset" if kind == "datasets" else "model")
        wanted = (
            repo
            for repo in repos
            if author in ("", repo.id.namespace)
            and search.casefold() in f"{repo.id.namespace}/{repo.id.name}".casefold()
        )
        return [self._describe(self._repos.revision(r, MAIN)) for r in itertools.islice(wanted, limit)]

    def nameless(self, name: str) -> None:
        """Repositories without a namespace exist on huggingface.co only."""
        raise RepoNotFound(name)

    def info(self, id: Named, revision: str = MAIN, blobs: bool = False) -> dict[str, Any]:  # noqa: A002
        found = self._repos.revision(self._repos.get(id), revision)
        siblings: list[dict[str, Any]] = []
        for path, file in self._repos.files(found).items():
            sibling: dict[str, Any] = {"rfilename": path}
            if blobs:
                sibling |= {"size": file.size, "blobId": file.oid}
                sibling |= {"lfs": _lfs(file, "sha256")} if file.lfs else {}
            siblings.append(sibling)
        return self._describe(found) | {"siblings": siblings}

    def tree(
        self,
        request: Request,
        id: Named,  # noqa: A002
        rest: str,
        recursive: bool = False,
        expand: bool = False,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        cursor: str | None = None,
    ) -> Response:
        revision, path = self._repos.split(self._repos.get(id), rest)
        entries = self._repos.list(revision, path.strip("/"), recursive=recursive)
        if cursor is not None:
            entries = itertools.islice(itertools.dropwhile(lambda e: e[0] != cursor, entries), 1, None)
        page = list(itertools.islice(entries, limit + 1))
        listed = self._listed(revision, page[:limit], expand=expand)
        headers = {}
        if len(page) > limit:  # Later pages are of the same commit, whatever happens to the branch.
            kind = "datasets" if id.type == "dataset" else "models"
            where = f"api/{kind}/{id.namespace}/{id.name}/tree/{revision.oid}/{quote(path)}".rstrip("/")
            query = f"recursive={recursive}&expand={expand}&limit={limit}&cursor={quote(page[limit - 1][0])}"
            headers["Link"] = f'<{_hub_url(request)}/{where}?{query}>; rel="next"'
        return JSONResponse(listed, headers=headers)

    def paths_info(self, request: Request, id: Named, revision: str) -> list[dict[str, Any]]:  # noqa: A002
        found = self._repos.revision(self._repos.get(id), revision)
        paths, expand = _paths_asked(request)
        entries = []
        for path in paths:
            try:
                entries.append((path, self._repos.entry(found, path)))
            except EntryNotFound:
                continue
        return self._listed(found, entries, expand=expand)

    def commits(
        self,
        id: Named,  # noqa: A002
        revision: str,
        limit: Annotated[int, Query(ge=1)] = 1000,
    ) -> list[dict[str, Any]]:
        history = self._repos.history(self._repos.revision(self._repos.get(id), revision))
        return [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message.partition("\n\n")[2],
                "authors": [{"user": "flywheel"}],
                "date": commit.created_at,
            }
            for commit in itertools.islice(history, limit)
        ]

    def refs(self, id: Named) -> dict[str, Any]:  # noqa: A002
        repo = self._repos.get(id)
        branches = [
            {"name": ref.name, "ref": f"refs/heads/{ref.name}", "targetCommit": ref.oid}
            for ref in self._repos.refs(repo, "branch")
        ]
        tags = [
            {"name": ref.name, "ref": f"refs/tags/{ref.name}", "targetCommit": ref.oid}
            for ref in self._repos.refs(repo, "tag")
        ]
        return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}

    def create_branch(self, id: Named, branch: str, body: RefBody | None = None) -> Response:  # noqa: A002
        start = body.starting_point if body else MAIN
        self._repos.create_ref(self._repos.get(id), "branch", branch, start)
        return Response(status_code=200)

    def delete_branch(self, id: Named, branch: str) -> Response:  # noqa: A002
        self._repos.delete_ref(self._repos.get(id), "branch", branch)
        return Response(status_code=200)

    def create_tag(self, id: Named, revision: str, body: TagBody) -> Response:  # noqa: A002
        self._repos.create_ref(self._repos.get(id), "tag", body.tag, revision)
        return Response(status_code=200)

    def delete_tag(self, id: Named, tag: str) -> Response:  # noqa: A002
        self._repos.delete_ref(self._repos.get(id), "tag", tag)
        return Response(status_code=200)

    def preupload(
        self,
        request: Request,
        id: Named,  # noqa: A002
        revision: str,
        body: PreuploadBody,
    ) -> dict[str, Any]:
        self._repos.revision(self._repos.get(id), revision)
        agent = request.headers.get("user-agent", "")
        files = [
            {
                "path": file.path,
                "uploadMode": upload_mode(file.path, file.size, agent),
                "shouldIgnore": False,
                "oid": None,
            }
            for file in body.files
        ]
        return {"files": files}

    def commit(
        self,
        request: Request,
        id: Named,  # noqa: A002
        branch: str,
        create_pr: bool = False,
    ) -> dict[str, Any]:
        if create_pr:
            raise BadUpload("create_pr: there are no pull requests here; commit to a branch")
        repo = self._repos.get(id)
        self._repos.revision(repo, branch)
        new = self._repos.commit(repo, branch, read_commit(_body(request), self._blobs))
        fields = {"repo": str(repo.id), "branch": branch, "commit": new.oid}
        log.info("commit made", extra=fields)
        url = f"{repo.id}/commit/{new.oid}"
        return {"success": True, "commitOid": new.oid, "commitUrl": url, "hookOutput": ""}

    def _describe(self, revision: Revision) -> dict[str, Any]:
        repo: Repo = revision.repo
        name = f"{repo.id.namespace}/{repo.id.name}"
        return {
            "_id": repo.uid,
            "id": name,
            **({"modelId": name} if repo.id.type == "model" else {}),
            "author": repo.id.namespace,
            "sha": revision.oid,
            "lastModified": revision.created_at,
            "createdAt": repo.created_at,
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }

    def _listed(
        self, revision: Revision, entries: list[tuple[str, Entry]], *, expand: bool
    ) -> list[dict[str, Any]]:
        last = self._last_commits(revision, [path for path, _ in entries]) if expand else {}
        listed = []
        for path, entry in entries:
            item: dict[str, Any] = {"type": "directory", "oid": entry.oid, "size": 0, "path": path}
            if isinstance(entry, File):
                item |= {"type": "file", "size": entry.size}
                item |= {"lfs": _lfs(entry, "oid")} if entry.lfs else {}
            if commit := last.get(path):
                item["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.created_at}
            listed.append(item)
        return listed

    def _last_commits(self, revision: Revision, paths: list[str]) -> dict[str, Revision]:
        """The commit that each path last changed in."""
        last: dict[str, Revision] = {}
        for newer, older in itertools.pairwise(itertools.chain(self._repos.history(revision), [None])):
            assert newer is not None  # noqa: S101 - only the last of the chain is None.
            before = dict(self._repos.list(older)) if older else {}
            now = dict(self._repos.list(newer))
            changed = [path for path in paths if path not in last and now.get(path) != before.get(path)]
            last |= dict.fromkeys(changed, newer)
            if len(last) == len(paths):
                break
        return last


class _Files:
    """The endpoints that carry bytes; models' addresses have no prefix there, so they are made per kind."""

    def __init__(self, service: DatastoreService, kind: Kind) -> None:
        self._repos, self._blobs, self._kind = service.repositories, service.blobs, kind

    def lfs_batch(self, request: Request, namespace: str, name: str, body: LfsBatchBody) -> Response:
        """Where to send what is not stored yet; what is needs no sending."""
        repo = self._repo(namespace, name)
        base = f"{_hub_url(request)}/{repo.id}.git/info/lfs/objects"
        objects = []
        for wanted in body.objects:
            answer: dict[str, Any] = {"oid": wanted.oid, "size": wanted.size, "authenticated": True}
            if not self._blobs.touch(wanted.oid):
                upload = {"href": f"{base}/{wanted.oid}?size={wanted.size}", "header": {}}
                answer["actions"] = {"upload": upload, "verify": {"href": f"{base}/verify", "header": {}}}
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type=_LFS_JSON)

    def lfs_put(
        self,
        request: Request,
        namespace: str,
        name: str,
        oid: Annotated[str, PathParam(pattern=r"^[0-9a-f]{64}$")],
        size: int | None = None,
    ) -> Response:
        repo = self._repo(namespace, name)
        with self._blobs.writer(f"a file of {size} bytes for {repo.id}") as blob:
            for chunk in _body(request):
                blob.write(chunk)
            if blob.sha256 != oid or size not in (None, blob.size):
                raise BadUpload(
                    f"{blob.size} bytes with sha256 {blob.sha256} arrived, not {size} bytes with {oid}: "
                    "send the file again"
                )
        return Response(status_code=200)

    def lfs_verify(self, namespace: str, name: str, body: LfsObject) -> Response:
        self._repo(namespace, name)
        if self._blobs.size(body.oid) != body.size:
            raise BadUpload(f"{body.oid} with {body.size} bytes is not stored: send the file again")
        return Response(status_code=200)

    def resolve(self, request: Request, namespace: str, name: str, rest: str) -> Response:
        """A file's bytes, or with a Range some of them."""
        repo = self._repo(namespace, name)
        revision, path = self._repos.split(repo, rest)
        try:
            file = self._repos.entry(revision, path)
        except EntryNotFound:
            file = Folder(revision.tree)
        if not isinstance(file, File):
            raise EntryNotFound(str(repo.id), path, "file", commit=revision.oid)
        etag = f'"{file.sha256 if file.lfs else file.oid}"'
        headers = {
            "ETag": etag,
            "X-Repo-Commit": revision.oid,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        if file.lfs:
            headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file.size)}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        where = self._blobs.path(file.sha256)
        return FileResponse(
            where,
            headers=headers,
            media_type="application/octet-stream",
            filename=PurePosixPath(path).name,
            content_disposition_type="inline",
            stat_result=where.stat(),
        )

    def _repo(self, namespace: str, name: str) -> Repo:
        return self._repos.get(_repo_id(self._kind, namespace, name))


def _lfs(file: File, hash_name: str) -> dict[str, Any]:
    pointer = len(lfs_pointer(file.sha256, file.size))
    return {hash_name: file.sha256, "size": file.size, "pointerSize": pointer}


def _hub_url(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/v1/hf"


def _body(request: Request) -> Iterator[bytes]:
    """The request's body as it arrives, about a mebibyte at a time."""
    try:
        yield from arriving(request, CHUNK)
    except ClientDisconnect as e:
        raise BadUpload("the client went away within its upload; nothing of it is kept") from e


def _paths_asked(request: Request) -> tuple[list[str], bool]:
    """Paths and `expand` of a paths-info call, which newer clients send as JSON and older ones as a form."""
    body = from_thread.run(request.body)
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = orjson.loads(body)
            paths, expand = asked["paths"], bool(asked.get("expand", False))
        else:
            form = parse_qs(body.decode())
            paths, expand = form["paths"], form.get("expand", ["false"])[0].lower() in ("true", "1")
    except (ValueError, KeyError, TypeError) as e:
        raise BadUpload("paths: give a list of paths") from e
    paths = [paths] if isinstance(paths, str) else paths
    return [str(path).strip("/") for path in paths], expand
