"""docs/client.md: its examples run, one after another, and no method of the client is left out of it."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.served import Served, served
from flywheel.app import create_app
from flywheel.client import AsyncClient, Client
from flywheel.client.routes import Call, Stream
from flywheel.client.runs import RunCalls
from flywheel.nemo.fake import FakeNemo
from flywheel.opening import Addresses
from run_world import make_records, make_world, settings

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
TEXT = PAGE.read_text("utf-8")
ROWS = re.findall(r"^\| `(\w+\.\w+)` \| `([A-Z]+ \S+)` \| `flywheel ([^`]+)` \|$", TEXT, re.MULTILINE)
"""Method, route and command of each row of its table."""


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server whose runs are over as soon as they are started, and which tells how it is."""
    nobody = "http://127.0.0.1:9"
    parts = create_app(
        settings(), frozenset(), data_dir=tmp_path, addresses=Addresses(nobody, nobody, nobody)
    )
    parts.start()
    world = make_world(tmp_path, make_records(tmp_path), FakeNemo())
    with served(world, wake=world.finish, also=[parts.api.router]) as found:
        monkeypatch.setenv("FLYWHEEL_URL", found.url)
        monkeypatch.chdir(tmp_path)  # Examples write files.
        yield found
    world.close()
    parts.stop()


def test_the_examples_of_the_page_run(quick: Served) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 10
    scope: dict[str, object] = {"__name__": "page"}
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
        for number, example in enumerate(examples, 1):
            exec(compile(example, f"{PAGE.name}, example {number}", "exec"), scope)  # noqa: S102 - our own page
    for words in ("customized-eval of test/student", "tool_router 80", "did you mean", "job_not_found"):
        assert words in told.getvalue()
    for words in ("completed finished 100 %", "'wrong_value', 9", "A76", "1 there already", "Good morning"):
        assert words in told.getvalue()
    assert "['completed', 'completed']" in told.getvalue()


def test_every_method_stands_in_the_table_with_its_route() -> None:
    nouns = {name: type(noun) for name, noun in vars(Client("http://127.0.0.1:9")).items()}
    methods = {
        (f"{name}.{method}", f"{found.method} {found.path.replace(':path}', '}')}")
        for name, noun in nouns.items()
        for method in dir(noun)
        if isinstance(found := getattr(noun, method), Call | Stream)
    }
    assert {(method, route) for method, route, _ in ROWS} == methods


def test_every_command_of_the_table_is_one() -> None:
    """As docs/commands.md has them, which is written from the commands themselves."""
    text = (PAGE.parent / "commands.md").read_text("utf-8")
    known = {part.split("`")[0]: part for part in text.split("\n## `flywheel ")}
    for _, _, command in ROWS:
        name, *options = re.split(r" (?=--)", command)
        assert name in known
        assert [each for each in options if f"`{each}" not in known[name]] == []


def test_what_runs_and_clients_can_do_is_named() -> None:
    calls = [f"run.{name}" for name in vars(RunCalls) if not name.startswith("_")]
    closing = [name for each in (Client, AsyncClient) for name in vars(each) if not name.startswith("_")]
    assert calls
    assert set(closing) == {"close", "aclose"}
    assert [name for name in (*calls, *closing) if not re.search(rf"\b{re.escape(name)}\b", TEXT)] == []
