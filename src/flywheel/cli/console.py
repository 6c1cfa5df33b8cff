"""What the commands share towards the person: where text goes, and how JSON, times and shares are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
