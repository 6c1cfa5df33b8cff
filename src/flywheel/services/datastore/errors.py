"""What the hub refuses. `hub_code` is the `X-Error-Code` that hub clients tell the kinds of 404 apart by."""

from __future__ import annotations

from typing import ClassVar

from flywheel.errors import Conflict, NotFound, UserError


class RepoNotFound(NotFound):
    hub_code: ClassVar[str] = "RepoNotFound"

    def __init__(self, repo: str) -> None:
        self.repo = repo
        super().__init__(f"there is no repository {repo}")


class RevisionNotFound(NotFound):
    hub_code: ClassVar[str] = "RevisionNotFound"

    def __init__(self, repo: str, revision: str) -> None:
        self.repo, self.revision = repo, revision
        super().__init__(f"{repo} has no branch, tag or commit {revision!r}")


class EntryNotFound(NotFound):
    hub_code: ClassVar[str] = "EntryNotFound"

    def __init__(self, repo: str, path: str, what: str = "file or folder", commit: str | None = None) -> None:
        self.repo, self.path, self.commit = repo, path, commit
        # The client looks for these words to explain the difference between files and folders.
        super().__init__(f"{repo}: no {what} {path!r}. A file with this name doesn't exist")


class NamespaceNotFound(NotFound):
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        super().__init__(f"there is no namespace {namespace!r}")


class RepoExists(Conflict):
    """`url` leads to the repository: clients that do not mind want it from the refusal."""

    def __init__(self, repo: str, url: str) -> None:
        self.repo, self.url = repo, url
        super().__init__(f"there is a repository {repo} already")


class NameTaken(Conflict):
    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(f"there is a {what} {name!r} already")


class NamespaceInUse(Conflict):
    def __init__(self, namespace: str, repos: int) -> None:
        self.namespace, self.repos = namespace, repos
        super().__init__(f"namespace {namespace!r} still has {repos} repositories; delete those first")


class ProtectedBranch(Conflict):
    def __init__(self, repo: str, branch: str) -> None:
        self.repo, self.branch = repo, branch
        super().__init__(f"{repo}: the branch {branch!r} cannot be deleted")


class StaleParent(Conflict):
    """Somebody else has committed to the branch since the caller looked."""

    status = 412
    code = "stale_parent"

    def __init__(self, branch: str, expected: str, actual: str) -> None:
        self.branch, self.expected, self.actual = branch, expected, actual
        super().__init__(f"{branch} is at {actual}, not at {expected}: look again and repeat the commit")


class BadPath(UserError):
    status = 400
    code = "bad_path"

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"path {path[:200]!r}: {why}")


class BadUpload(UserError):
    """An upload or a commit does not hold what it says."""

    status = 400
    code = "bad_upload"
