"""Data sets and adapters to any Hugging-Face-compatible hub, with a card, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flywheel.errors import UserError
from flywheel.hub import Hub, RepoType

CARD = "README.md"


class NothingToPush(UserError):
    """What is to be pushed has no files."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has no files to push; a base model lies where it came from")


def push(
    files: Mapping[str, Path], card: str, hub: Hub, repo: str, *, name: str, kind: RepoType, public: bool
) -> str:
    """Put `files` (path → local path) and the `card` into `repo` on `hub`; the commit's hash.

    A repository that is not there is made, private unless `public`; one that is there stays as it is.
    Raises NothingToPush, BadHubUrl and HubError.
    """
    if not files:
        raise NothingToPush(name)
    content: dict[str, Path | bytes] = {**files, CARD: card.encode()}
    return hub.upload(
        repo, content, repo_type=kind, message=f"{kind} {name}, pushed by Flywheel", private=not public
    )
