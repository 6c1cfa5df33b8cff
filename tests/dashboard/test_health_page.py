"""The page of health, on a whole server with its own parts, one of which does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browser import needs_chromium
from dashboard.looking import Opener, findings, overflow
from dashboard.seeded import listening
from flywheel.app import create_app
from flywheel.config import Settings
from flywheel.opening import Addresses

pytestmark = needs_chromium

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose services should be where nobody is."""
    folder = tmp_path_factory.mktemp("whole")
    with listening() as (listener, url):
        addresses = Addresses(url, NOBODY, NOBODY)
        flywheel = create_app(
            Settings(nims=[]), frozenset({"orchestrator"}), data_dir=folder, addresses=addresses
        )
        with listener(flywheel.api):
            flywheel.start()
            yield url
            flywheel.stop()


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1600, False)])
def test_it_shows_every_part_and_what_the_doctor_says(browser, whole, width, dark):
    opener = Opener(browser, whole)
    page = opener("/health", width=width, dark=dark)
    parts = page.get_by_role("region", name="Parts and their addresses")
    assert "orchestrator" in parts.inner_text()
    checks = page.get_by_role("region", name="Checks").inner_text()
    assert "python" in checks
    assert "sqlite" in checks
    assert overflow(page) == 0
    assert findings(page) == []
    opener.close()


def test_the_api_describes_itself_without_internet(browser, whole):
    opener = Opener(browser, whole)
    page = opener("/docs", ready=".swagger-ui .opblock")
    assert "/api/jobs" in page.locator(".swagger-ui").inner_text()
    opener.close()
