"""The command line as a person uses it, on one server."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from flywheel.cli import app


class Commands:
    """Invokes commands on the server at `url`; each has to succeed."""

    def __init__(self, url: str) -> None:
        self._url = url

    def said(self, *arguments: str) -> str:
        """What a command prints on stdout."""
        done = CliRunner().invoke(app, [*arguments, "--url", self._url])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """What it prints with --json."""
        return json.loads(self.said(*arguments, "--json"))
