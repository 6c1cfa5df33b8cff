"""Runs a notebook as a person would, from its first cell to its last, and looks at what it drew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

CELL_S = 600
"""Seconds that one cell may take; a whole notebook takes about a minute where nothing else is running."""

START_S = 300


class NoPicture(AssertionError):
    """A cell that should draw has drawn nothing."""


def executed(path: Path) -> Any:
    """The notebook with its outputs; the file stays as it is.

    Raises CellExecutionError for a cell that raises, NoPicture for a cell marked `plot` without a picture.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=CELL_S, startup_timeout=START_S, kernel_name="python3", resources=place
    )
    client.execute()
    for number, cell in enumerate(notebook.cells):
        if "plot" in cell.metadata.get("tags", ()) and not _pictures(cell):
            raise NoPicture(f"{path.name}, cell {number}: marked as a plot, and drew none:\n{cell.source}")
    return notebook


def _pictures(cell: Any) -> list[str]:
    """Those of some size: an empty canvas is a few hundred bytes."""
    found = [output.data.get("image/png", "") for output in cell.outputs if "data" in output]
    return [picture for picture in found if len(picture) > 4000]
