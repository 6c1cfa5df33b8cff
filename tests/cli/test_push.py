"""`flywheel push`: from a server's catalogue to another hub, which here is a second data store of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from starlette.types import ASGIApp, Receive, Scope, Send
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.client import NotFound
from flywheel.errors import ConfigError, UserError
from flywheel.exports.cards import dataset_card, model_card
from flywheel.hub import Hub, HubError
from flywheel.orchestrator.routers import routers
from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from flywheel.web import make_app
from run_world import World, make_records, make_world
from serving_apps import nemo_app, serve_app

WEIGHTS = b"the weights" * 1000


class Gate:
    """A hub that writes down the tokens that it is shown, and how repositories are to be made."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self.tokens: set[str | None] = set()
        self.made: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            self.tokens.add(headers.get(b"authorization", b"").decode() or None)

        async def reading() -> Any:
            message = await receive()
            if scope["path"].endswith("/api/repos/create") and message.get("body"):
                self.made.append(json.loads(message["body"]))
            return message

        await self._inner(scope, reading, send)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    service = DatastoreService(tmp_path_factory.mktemp("elsewhere"))
    service.start()
    yield Gate(nemo_app("datastore", router(service)))
    service.stop()


@pytest.fixture(scope="module")
def elsewhere(gate: Gate) -> Iterator[str]:
    with serve_app(gate) as url:
        yield f"{url}/v1/hf"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A finished run, whose adapter has files."""
    folder = tmp_path_factory.mktemp("world")
    here = make_world(folder, make_records(folder))
    run = here.finish(here.start())
    files = {"adapter_model.safetensors": WEIGHTS, "adapter_config.json": b'{"peft_type": "LORA"}'}
    here.nemo.hub.files[f"models/{_adapter(run)}"] = files
    yield here
    here.close()


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with serve_app(make_app("test", "problem", routers(world.context, lambda _: None))) as address:
        yield address


def _adapter(run: Any) -> str:
    found = run.candidates[0].customization.customized_model
    assert found
    return str(found)


def _run(world: World) -> Any:
    (run_id,) = {each["custom_fields"]["flywheel_run"] for each in world.nemo.evaluations.values()}
    return world.run(run_id)


def push(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


def test_an_adapter_with_its_lineage_and_its_scores(
    world: World, url: str, elsewhere: str, tmp_path: Path
) -> None:
    run = _run(world)
    name = _adapter(run)
    done = push("model", name, "--to", elsewhere, "--repo", "team/router", "--url", url)
    assert done.exit_code == 0, (done.output, done.exception)

    got = Hub(elsewhere).download("team/router", tmp_path / "got", repo_type="model")
    names = {path.name for path in got.iterdir() if path.is_file()}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= names
    assert (got / "adapter_model.safetensors").read_bytes() == WEIGHTS

    card = ModelCard((got / "README.md").read_text("utf-8"))
    assert card.data.base_model == "test/student"
    assert card.data.library_name == "peft"
    told = {result.metric_name: result.metric_value for result in card.data.eval_results or ()}
    measured = run.candidates[0].evaluation("customized-eval").scores
    assert told == {name: score.value for name, score in measured.items()}
    dataset = run.dataset("train")
    trained, validated = (dataset.files[path] for path in sorted(dataset.files))
    rows = (f"| rows trained on | {trained} |", f"| rows validated on | {validated} |")
    for fact in (run.id, dataset.sha256, "support\\-app/tool\\_router", "0.8 to 1", *rows, "UTC |"):
        assert fact in card.text


def test_a_data_set_with_its_files_and_its_curation(
    world: World, url: str, elsewhere: str, tmp_path: Path
) -> None:
    run = _run(world)
    dataset = run.dataset("train")
    arguments = ("--to", elsewhere, "--repo", "team/router-data", "--url", url, "--json")
    done = push("dataset", dataset.uri, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    said = json.loads(done.stdout)
    assert (said["repo"], said["type"]) == ("team/router-data", "dataset")
    assert set(said["files"]) == set(dataset.files)

    got = Hub(elsewhere).download("team/router-data", tmp_path / "got", repo_type="dataset")
    theirs = world.nemo.hub.files[f"datasets/dfwbp/{dataset.name}"]
    for path, content in theirs.items():
        assert hashlib.sha256((got / path).read_bytes()).digest() == hashlib.sha256(content).digest()
    card = DatasetCard((got / "README.md").read_text("utf-8"))
    (config,) = card.data.configs
    assert config["data_files"] == [
        {"split": "train", "path": "training/train_data.jsonl"},
        {"split": "validation", "path": "validation/val_data.jsonl"},
    ]
    for fact in (run.id, dataset.sha256, f"of {run.curation['records_in']} records were used"):
        assert fact in card.text


def test_what_is_pushed_is_private_unless_it_is_said(
    world: World, url: str, elsewhere: str, gate: Gate
) -> None:
    name = _run(world).dataset("eval").name
    for repo, more in (("team/closed", ()), ("team/open", ("--public",))):
        gate.made.clear()
        done = push("dataset", name, "--to", elsewhere, "--repo", repo, "--url", url, *more)
        assert done.exit_code == 0, done.output
        (made,) = [each for each in gate.made if each["name"] == repo.partition("/")[2]]
        assert made["visibility"] == ("public" if more else "private")


def test_the_token_is_the_one_that_is_named_and_in_no_text(
    world: World, url: str, elsewhere: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user_who_is_logged_in")
    monkeypatch.setenv("OUR_TOKEN", "hf_push_1234567890")
    name = _run(world).dataset("eval").name
    arguments = ("dataset", name, "--to", elsewhere, "--repo", "team/tokens", "--url", url)
    gate.tokens.clear()
    assert push(*arguments).exit_code == 0
    assert gate.tokens == {None}
    gate.tokens.clear()
    done = push(*arguments, "--token-env", "OUR_TOKEN")
    assert done.exit_code == 0
    assert gate.tokens == {"Bearer hf_push_1234567890"}
    assert "hf_push" not in done.output
    assert "hf_push" not in str(UserError("refused hf_push_1234567890"))


def test_a_second_push_brings_the_first_one_up_to_date(world: World, url: str, elsewhere: str) -> None:
    name = _run(world).dataset("eval").name
    for _ in range(2):
        assert push("dataset", name, "--to", elsewhere, "--repo", "team/twice", "--url", url).exit_code == 0
    assert {"README.md", "eval_data.jsonl"} <= set(Hub(elsewhere).files("team/twice", repo_type="dataset"))


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("dataset", "x", "--to", "hub", "--repo", "a/b"), UserError, "--to hub: give the address of a hub"),
        (("dataset", "x", "--to", "http://127.0.0.1:1", "--repo", "ab"), UserError, "give ORGANISATION/NAME"),
        (
            ("dataset", "x", "--to", "http://127.0.0.1:1", "--repo", "a/b", "--token-env", "NO_SUCH"),
            ConfigError,
            "--token-env: the environment variable NO_SUCH is not set",
        ),
        (("dataset", "x", "--to", "http://127.0.0.1:1", "--repo", "a/b"), NotFound, "no data set 'x'"),
        (("model", "a/x", "--to", "http://127.0.0.1:1", "--repo", "a/b"), NotFound, "a/x"),
        (
            ("model", "test/student", "--to", "http://127.0.0.1:1", "--repo", "a/b"),
            UserError,
            "no files to push",
        ),
    ],
)
def test_what_cannot_be_pushed_is_said(arguments: Any, kind: type[Exception], said: str, url: str) -> None:
    done = push(*arguments, "--url", url)
    assert isinstance(done.exception, kind), done.exception
    assert said in str(done.exception)


def test_a_hub_that_is_away_is_named(world: World, url: str) -> None:
    name = _run(world).dataset("eval").name
    done = push("dataset", name, "--to", "http://127.0.0.1:1", "--repo", "a/b", "--url", url)
    assert isinstance(done.exception, HubError)
    assert "http://127.0.0.1:1" in str(done.exception)


def test_names_in_a_card_are_text() -> None:
    evil = "x | [y](javascript:alert(1)) <script>\n---\nlicense: mit\n# \u2028`z`"
    document = {
        "name": evil,
        "base_model": evil,
        "lineage": {"client_id": evil, "workload_id": evil, "run_id": evil},
        "scores": {evil: {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4}},
    }
    for card in (
        model_card(document, evil),
        dataset_card(document | {"workload_id": evil, "client_id": evil}, evil),
    ):
        _, head, text = card.split("---\n", 2)
        assert "license" not in yaml.safe_load(head)
        for bad in ("[y](", "<script>", "\n# `", " | [y]"):
            assert bad not in text
