"""The page in a real browser: shown in both themes and at both widths, and asking nobody for anything.

All that the browser asks goes to a proxy, which answers nothing, so nothing leaves this machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from browser import CHROMIUM, FLAGS, Proxy, needs_chromium
from flywheel.reports import run_report
from reports.documents import run_document
from reports.test_reports import HOSTILE, everywhere

pytestmark = needs_chromium


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


def shoot(page: Path, proxy: Proxy, *, width: int, dark: bool) -> tuple[Image.Image, str]:
    """A screenshot, and what the browser said of the page on its console."""
    shot = page.with_suffix(".png")
    done = subprocess.run(
        [
            CHROMIUM or "",
            "--headless=new",
            *FLAGS,
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--proxy-server=127.0.0.1:{proxy.port}",
            "--proxy-bypass-list=<-loopback>",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--window-size={width},2000",
            "--virtual-time-budget=2000",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    with Image.open(shot) as image:
        return image.convert("RGB"), console


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "run.html"
    file.write_text(run_report(run_document(folder)), "utf-8")
    return file


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_shown_and_asks_nobody(page: Path, proxy: Proxy, width: int, dark: bool) -> None:
    image, console = shoot(page, proxy, width=width, dark=dark)
    assert (proxy.asked, console) == ([], "")
    assert image.width == width
    (corner,) = {image.getpixel((2, y)) for y in range(0, 400, 50)}
    assert corner == ((20, 23, 26) if dark else (255, 255, 255))
    assert len(image.getcolors(1 << 24) or ()) > 50


def test_a_page_of_hostile_text_asks_nobody(tmp_path: Path, proxy: Proxy) -> None:
    file = tmp_path / "run.html"
    document = everywhere(run_document(tmp_path), HOSTILE + '<img src="http://evil.test/">')
    file.write_text(run_report(document), "utf-8")
    _, console = shoot(file, proxy, width=400, dark=False)
    assert (proxy.asked, console) == ([], "")


def test_the_proxy_would_notice(tmp_path: Path, proxy: Proxy) -> None:
    file = tmp_path / "page.html"
    file.write_text('<img src="http://evil.test/picture">', "utf-8")
    shoot(file, proxy, width=400, dark=False)
    assert any("evil.test" in line for line in proxy.asked)


def test_the_policy_holds_where_something_got_in(page: Path, tmp_path: Path, proxy: Proxy) -> None:
    file = tmp_path / "page.html"
    bad = '<img src="http://evil.test/picture"><script>document.title = "obeyed"</script></body>'
    file.write_text(page.read_text("utf-8").replace("</body>", bad), "utf-8")
    _, console = shoot(file, proxy, width=400, dark=False)
    assert proxy.asked == []
    assert console.count("violates") == 2
