"""The notebooks: kept without outputs, executed whole, and a cell that fails or draws nothing fails here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient.exceptions import CellExecutionError

from notebooks.execution import NoPicture, executed

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def named(path: Path) -> str:
    return path.stem


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook starts a server of its own, whatever the user's environment says."""
    for name in [name for name in os.environ if name.startswith("FLYWHEEL_")]:
        monkeypatch.delenv(name)


def test_there_are_four_and_each_is_named_in_the_readme() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_no_output_is_kept(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_every_cell_that_draws_is_marked(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    drawing = [cell for cell in cells if "plt.show()" in cell.source]
    assert len(drawing) >= 2
    assert all("plot" in cell.metadata.get("tags", ()) for cell in drawing)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_the_notebook_runs_from_its_first_cell_to_its_last(path: Path) -> None:
    executed(path)


def test_its_server_and_its_folder_end_with_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = f"import sys; sys.path.insert(0, {str(FOLDER)!r})"
    executed(notebook(tmp_path, f"{path}\nfrom server import connect\nconnect().health.live()"))
    lines = ((each, " ".join(each.info["cmdline"] or ())) for each in psutil.process_iter(["cmdline"]))
    left = [each for each, line in lines if str(tmp_path) in line]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert alive == []
    assert list(tmp_path.glob("flywheel-notebook-*")) == []


def test_a_cell_that_fails_fails_the_check(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(notebook(tmp_path, "1 + 1", "1 / 0", "2 + 2"))


DRAWING = (
    "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.title('a line')\nplt.show()"
)


def test_a_plot_that_draws_nothing_fails_the_check(tmp_path: Path) -> None:
    with pytest.raises(NoPicture, match="cell 0"):
        executed(
            notebook(tmp_path, DRAWING.replace("plt.plot([1, 2]); plt.title('a line')", "pass"), tag="plot")
        )
    drawn = executed(notebook(tmp_path, DRAWING, tag="plot"))
    assert "image/png" in drawn.cells[0].outputs[-1].data


def notebook(folder: Path, *sources: str, tag: str | None = None) -> Path:
    """A notebook of these cells."""
    made: Any = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": [tag] if tag else []}) for source in sources
    ]
    path = folder / "made.ipynb"
    nbformat.write(made, path)
    return path
