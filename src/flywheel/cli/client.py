"""How the commands reach a running server: where it is, and what goes wrong on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from flywheel.errors import FlywheelError, Unavailable

ADDRESS_FILE = "serve.json"
DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="FLYWHEEL_URL",
        help="Address of the server's API.",
        show_default=f"the server that works in --data, else {DEFAULT_URL}",
    ),
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="FLYWHEEL_DATA", help="Folder of everything that is kept.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class NoServer(Unavailable):
    """Nothing answers at `url`."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no Flywheel server answers at {url} ({reason}); start one with: flywheel serve")


class Refused(FlywheelError):
    """The server answered with an error; its own words are the message."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answered = answer.status_code
        super().__init__(_detail(answer))


class Api:
    """The public API of a running server. Every call is bounded in time."""

    def __init__(
        self, url: str, *, transport: httpx.BaseTransport | None = None, timeout: float = 30.0
    ) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=timeout, transport=transport)

    @classmethod
    def find(cls, url: str | None, data: Path) -> Api:
        """The server at `url`, else the one that recorded its address in `data`, else the default address."""
        return cls((url or recorded_address(data) or DEFAULT_URL).rstrip("/"))

    def get(self, path: str, **params: Any) -> Any:
        return self._ask("GET", path, params={k: v for k, v in params.items() if v is not None})

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        return self._ask("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **rest: Any) -> Any:
        try:
            answer = self._http.request(method, path, **rest)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise NoServer(self.url, str(error) or type(error).__name__) from error
        if answer.is_error:
            raise Refused(answer)
        return answer.json() if answer.content else None


def recorded_address(data: Path) -> str | None:
    """The API's address as `flywheel serve` recorded it in `data`; None where no server has."""
    try:
        recorded = json.loads((data / ADDRESS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    address = recorded.get("api")
    return address if isinstance(address, str) else None


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return (
            f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:300]}"
        )
    if isinstance(detail, list):
        return "\n".join(f"{'.'.join(str(p) for p in e['loc'] if p != 'body')}: {e['msg']}" for e in detail)
    return str(detail)
