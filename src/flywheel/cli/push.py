"""`flywheel push`: a data set or an adapter to a Hugging-Face-compatible hub, from this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Url, connect
from flywheel.cli.console import out, print_json
from flywheel.cli.datasets import name_of
from flywheel.config import secret
from flywheel.errors import UserError
from flywheel.exports.cards import dataset_card, model_card
from flywheel.exports.hub import push
from flywheel.hub import Hub, RepoType

app = typer.Typer(no_args_is_help=True, help="Data sets and adapters to Hugging-Face-compatible hubs.")

To = Annotated[
    str, typer.Option("--to", help="Address of the hub: https://huggingface.co, or http://HOST:8001/v1/hf.")
]
Repo = Annotated[str, typer.Option("--repo", help="Repository there: ORGANISATION/NAME.")]
TokenEnv = Annotated[
    str | None,
    typer.Option(
        "--token-env",
        help="Name of the environment variable that holds the hub's token, such as HF_TOKEN.",
        show_default="no token is sent",
    ),
]
Public = Annotated[bool, typer.Option("--public", help="A repository that is made is for everybody.")]


@app.command("dataset")
def push_dataset(
    name: Annotated[str, typer.Argument(help="The data set, as `flywheel runs show` names it.")],
    to: To,
    repo: Repo,
    token_env: TokenEnv = None,
    public: Public = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Push a data set, with a card that tells its lineage and its curation."""
    hub = _hub(to, repo, token_env)
    name = name_of(name)
    with connect(url, data) as client, tempfile.TemporaryDirectory(prefix="flywheel-push-") as scratch:
        card = dataset_card(client.datasets.get(name).document, repo)
        files = client.datasets.download(name, scratch)
        _pushed(hub, repo, "dataset", name, scratch, files, card, public=public, as_json=as_json)


@app.command("model")
def push_model(
    name: Annotated[str, typer.Argument(help="The adapter, as `flywheel runs show` names it.")],
    to: To,
    repo: Repo,
    token_env: TokenEnv = None,
    public: Public = False,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Push an adapter, with a card that tells its lineage and its scores."""
    hub = _hub(to, repo, token_env)
    with connect(url, data) as client, tempfile.TemporaryDirectory(prefix="flywheel-push-") as scratch:
        card = model_card(client.models.get(name).document, repo)
        files = client.models.download(name, scratch)
        _pushed(hub, repo, "model", name, scratch, files, card, public=public, as_json=as_json)


def _pushed(
    hub: Hub,
    repo: str,
    kind: RepoType,
    name: str,
    folder: str,
    files: Iterable[Path],
    card: str,
    *,
    public: bool,
    as_json: bool,
) -> None:
    found = {path.relative_to(folder).as_posix(): path for path in files}
    commit = push(found, card, hub, repo, name=name, kind=kind, public=public)
    if as_json:
        print_json({"hub": hub.endpoint, "repo": repo, "type": kind, "commit": commit, "files": [*found]})
    else:
        files_are = "1 file" if len(found) == 1 else f"{len(found)} files"
        out.print(f"{name}: {files_are} and a card are in {repo} on {hub.endpoint}", markup=False)


def _hub(to: str, repo: str, token_env: str | None) -> Hub:
    """The hub, before anything is fetched. Raises UserError and ConfigError."""
    if not to.startswith(("http://", "https://")):
        raise UserError(f"--to {to}: give the address of a hub, such as https://huggingface.co")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UserError(f"--repo {repo}: give ORGANISATION/NAME")
    return Hub(to, token=secret(token_env, where="--token-env"))
