"""What the commands share towards the person: where text goes, and how JSON, times and shares are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
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

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def complain(message: str) -> None:
    """One error message on stderr."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def print_json(value: Any) -> None:
    """`value` as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def write_json(option: str, path: Path | None, value: Any) -> None:
    """`value` as JSON to the file that `option` names, on stdout for `-`; nothing without a file."""
    if path is None:
        return
    if str(path) == "-":
        print_json(value)
    else:
        write_text(option, path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


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


def duration(seconds: float | None) -> str:
    """1:05 for 65 seconds; a dash where it is not known."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def percent(share: float | None) -> str:
    """92.0 % for 0.92; a dash where it is not known."""
    return "–" if share is None else f"{share * 100:.1f} %"
