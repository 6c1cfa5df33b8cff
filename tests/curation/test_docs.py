"""The page on data explains every reason that the program gives."""

from __future__ import annotations

from pathlib import Path

from flywheel.curation import Reason
from flywheel.curation.reading import Unread

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")


def test_every_reason_has_a_row() -> None:
    assert [each for each in (*Reason, *Unread) if f"| `{each.value}` |" not in PAGE] == []
