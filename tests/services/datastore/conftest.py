"""A data store on a port of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from serving_apps import nemo_app, serve_app


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one datastore that all tests share; each uses names of its own."""
    service = DatastoreService(tmp_path_factory.mktemp("datastore"))
    service.start()
    with serve_app(nemo_app("datastore", router(service))) as address:
        yield address
    service.stop()


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def service(tmp_path: Path) -> Iterator[DatastoreService]:
    """A datastore of one test's own, without a server."""
    service = DatastoreService(tmp_path / "data", grace_s=-1)
    service.start()
    yield service
    service.stop()
