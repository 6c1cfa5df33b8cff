"""What the commands share towards the person: where text goes, and how JSON, times and shares are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flywheel.errors import UserError

Html = Annotated[
    Path | None,
    typer.Option("--html", help="Write a report with plots to this file; it needs no script and no network."),
]

_PLAIN_WIDTH = 160
"""Columns where the output is no terminal: files are read in wide windows."""

_CELL_WIDTH = 60

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def complain(message: str) -> None:
    """One error message on stderr."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """`value` as JSON on stdout."""
    typer.echo(as_json(value, indent=2))


def print_paths(paths: Sequence[Path], *, as_json: bool) -> None:
    """Files that were written, a line each."""
    if as_json:
        print_json([str(path) for path in paths])
    else:
        out.print("\n".join(map(str, paths)), markup=False, soft_wrap=True)


def as_json(value: Any, *, indent: int) -> str:
    """JSON with letters as they are; in ASCII where a model emitted half a surrogate pair, which is none."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    if text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text):
        return text
    return json.dumps(value, indent=indent, default=str)


def write_json(option: str, path: Path | None, value: Any) -> None:
    """`value` as JSON to the file that `option` names, on stdout for `-`; nothing without a file."""
    if path is None:
        return
    if str(path) == "-":
        print_json(value)
    else:
        write_text(option, path, as_json(value, indent=1) + "\n")


def beside(json_file: Path | None) -> Console:
    """Where tables go: to stdout, unless JSON goes there for another program to read."""
    return err if json_file is not None and str(json_file) == "-" else out


def write_text(option: str, path: Path, text: str) -> None:
    """`text` to the file that `option` names. Raises UserError where it cannot be written."""
    try:
        path.write_text(text, "utf-8", errors="backslashreplace")  # JSON may hold half a surrogate pair.
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written: {error.strerror}") from error


def load_reports() -> ModuleType:
    """`flywheel.reports`, which draws with a package that not everybody has. Raises UserError without it."""
    try:
        from flywheel import reports  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise UserError("--html needs matplotlib: pip install 'flywheel[report]'") from error
    return reports


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, right: int = 1
) -> Table:
    """A plain table, right-aligned from column number `right` on. Cells are text, never markup."""
    made = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < right else "right", no_wrap=number == 0)
    for row in rows:
        made.add_row(*(escape("" if cell is None else printable(str(cell))) for cell in row))
    return made


def printable(text: str) -> str:
    """The text without what a terminal would obey; records hold whatever strangers wrote."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )


def short(text: str) -> str:
    """The text in one line, cut where it is longer than a column of a table may be."""
    line = " ".join(text.split())
    return line if len(line) <= _CELL_WIDTH else f"{line[: _CELL_WIDTH - 1]}…"


def amount(size_bytes: int | None) -> str:
    """1.5 MB for 1,500,000 bytes; nothing where it is not known."""
    if size_bytes is None:
        return ""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration(seconds: float | None) -> str:
    """1:05 for 65 seconds; a dash where it is not known."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def moment(when: datetime | None) -> str:
    """2026-01-31 12:00:05, in UTC; nothing where it is not known."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def percent(share: float | None) -> str:
    """92.0 % for 0.92; a dash where it is not known."""
    return "–" if share is None else f"{share * 100:.1f} %"
