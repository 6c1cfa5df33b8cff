"""Answers that are files: written as they arrive, to a path or to whatever is open for bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from flywheel.client.errors import NotSent
from flywheel.client.routes import Route
from flywheel.client.steps import Steps


class Sink(Protocol):
    """What is open for bytes."""

    def write(self, piece: bytes, /) -> object: ...


Target: TypeAlias = str | Path | Sink
Format = Literal["csv", "parquet", "jsonl"]
_ENDINGS: dict[str, Format] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def format_of(target: Target, wanted: Format | None) -> Format:
    """`wanted`, else as the file is called, else CSV."""
    if wanted is not None or not isinstance(target, str | Path):
        return wanted or "csv"
    return _ENDINGS.get(Path(target).suffix.lower(), "csv")


def saved(to: Route, target: Target, *, query: Mapping[str, Any] | None = None) -> Steps[int]:
    """The answer's bytes in `target`; how many there are. A path appears when it is whole.

    Raises NotSent where it cannot be written, and as `Route.ask`.
    """
    more = yield from to.pieces(query=query)
    if not isinstance(target, str | Path):
        return (yield from _copied(more, target))
    final = Path(target)
    draft = final.with_name(f".{final.name}.part")  # A broken download never looks like a whole one.
    try:
        with draft.open("wb") as sink:
            size = yield from _copied(more, sink)
        draft.replace(final)
    except OSError as error:
        raise NotSent(str(target), f"cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return size


def beneath(folder: Path, path: str) -> Path:
    """Where the file `path` of a data set or a model goes, its folder made. Raises NotSent outside of it."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise NotSent(path, f"the server names a file outside of {folder}; nothing was written")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotSent(str(target), f"cannot be written: {error.strerror or error}") from error
    return target


def _copied(more: Callable[[], Steps[bytes]], sink: Sink) -> Steps[int]:
    size = 0
    while piece := (yield from more()):
        sink.write(piece)
        size += len(piece)
    return size
