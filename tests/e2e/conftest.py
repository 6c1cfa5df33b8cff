"""One turn of the wheel in one process, which the same turn on servers and in a cluster must repeat."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.wheel import ASKED, completed, wheel


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of the completed job."""
    with wheel(tmp_path_factory.mktemp("embedded")) as server:
        return completed(server, server.post(**ASKED))
