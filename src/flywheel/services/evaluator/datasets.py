"""The rows that an evaluation reads: JSON Lines, JSON arrays and CSV, from a file or a folder on a hub."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flywheel.errors import UserError
from flywheel.hub import Hub, parse_hf_url

Row = dict[str, Any]
HubAt = Callable[[str], Hub]

_KINDS = (".jsonl", ".json", ".csv")


class BadDataset(UserError):
    """`where` is a URL, or a file with a line."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"dataset {where}: {reason}")


def fetch_rows(files_url: str, hub: Hub, into: Path) -> list[Row]:
    """All rows of `hf://datasets/{ns}/{name}[/{file or folder}]`, downloaded to the folder `into` unless
    it is there.

    Raises BadDataset, BadHubUrl and the hub's errors.
    """
    repo_type, repo_id, path, revision = parse_hf_url(files_url.rstrip("/"))
    if not into.is_dir():
        patterns = None if path is None else [path, f"{path}/*"]
        hub.download(repo_id, into, repo_type=repo_type, revision=revision or "main", patterns=patterns)
    wanted = into if path is None else into / path
    if not wanted.resolve().is_relative_to(into.resolve()):
        raise BadDataset(files_url, "the path leaves the repository")
    files = [wanted] if wanted.is_file() else sorted(f for f in wanted.rglob("*") if f.suffix in _KINDS)
    if not files:
        raise BadDataset(files_url, f"holds no file that ends in {', '.join(_KINDS)}")
    return [row for file in files for row in read_rows(file, file.relative_to(into).as_posix())]


def read_rows(file: Path, shown: str) -> Iterator[Row]:
    """The rows of one file, called `shown` in errors. Raises BadDataset."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDataset(shown, f"is not UTF-8 text ({error.reason} at byte {error.start})") from error
    if file.suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text))
    elif text.lstrip().startswith("["):
        for number, row in enumerate(_json(text, shown), 1):
            yield _row(row, f"{shown}, element {number}")
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield _row(_json(line, f"{shown}, line {number}"), f"{shown}, line {number}")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDataset(where, f"is not JSON: {error}") from error


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise BadDataset(where, f"is a {type(value).__name__}, not an object")
    return value
