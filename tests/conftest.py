"""What all tests share: where the checkout and the shared data are."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["servers"]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of teacher traffic beside the checkout; a test that needs it skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data, which is not here")
    return folder
