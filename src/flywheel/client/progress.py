"""How far a run is, shown while it is waited for: a bar in a terminal or a notebook, else lines."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from flywheel.client.runs import Run

Show = Callable[["Run[Any]"], object]
_STEP: Final = 10.0
"""Percentage points between two lines where there is no screen."""


@contextmanager
def shown_by(wanted: bool | Show, stream: TextIO | None = None) -> Iterator[Show]:
    """What is called with the run at every look: `wanted` itself, a bar for True, nothing for False."""
    if callable(wanted):
        yield wanted
    elif not wanted:
        yield lambda _: None
    elif (display := _notebook()) is not None:
        yield _in_notebook(display)
    else:
        console = Console(file=stream or sys.stderr)
        if console.is_terminal:
            with _on_terminal(console) as show:
                yield show
        else:
            yield _as_lines(console)


def far(run: Run[Any]) -> float:
    """Percent of the whole."""
    return run.progress.percent if run.progress else run.percent or 0.0


def doing(run: Run[Any]) -> str:
    """What the run does now, in a few words: `student: customize 40 %, 0.312 loss`."""
    parts = []
    for candidate in run.progress.candidates if run.progress else ():
        training = candidate.customization or {}
        loss = training.get("train_loss")
        told = f"{candidate.model_name}: {candidate.doing or candidate.stage or 'waits'}"
        if training.get("status") == "running" and loss is not None:
            told += f", loss {loss:.3f}"
        parts.append(told)
    return "; ".join(parts) or run.step or run.status


@contextmanager
def _on_terminal(console: Console) -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=100, doing="")

        def show(run: Run[Any]) -> None:
            bar.update(task, description=run.name, completed=far(run), doing=doing(run))

        yield show


def _as_lines(console: Console) -> Show:
    said: list[tuple[str, int]] = []

    def show(run: Run[Any]) -> None:
        now = (run.status, int(far(run) // _STEP))
        if said[-1:] != [now]:
            said.append(now)
            console.print(f"{run.name} {far(run):.0f} % {doing(run)}", markup=False, soft_wrap=True)

    return show


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display`, inside a kernel."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell else None
    if running is None or not hasattr(running, "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415 - there only in a notebook

    return display


def _in_notebook(display: Callable[..., Any]) -> Show:
    handle = display({"text/plain": "…"}, raw=True, display_id=True)

    def show(run: Run[Any]) -> None:
        told = f"{run.name} {far(run):.0f} % {doing(run)}"
        page = (
            f'<progress value="{far(run):.1f}" max="100" style="width: 16em"></progress> {html.escape(told)}'
        )
        handle.update({"text/plain": told, "text/html": page}, raw=True)

    return show
