"""How tests look at pages: open one in Chromium, wait until it is drawn, ask axe-core about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from browser import CHROMIUM, FLAGS, Proxy

AXE = Path(__file__).parent / "axe" / "axe.min.js"
WAIT_MS = 60_000
ASKED_IN_VAIN = "Failed to load resource"
"""The browser's line for an answer of 4xx; pages show those in words."""

Opened = Page
expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium(proxy: Proxy) -> Iterator[Any]:
    """A headless Chromium that reaches this machine only."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM,
            args=list(FLAGS),
            proxy={"server": f"http://127.0.0.1:{proxy.port}", "bypass": "127.0.0.1"},
        )
        try:
            yield browser
        finally:
            browser.close()


class Opener:
    """Opens pages of the server at `url`; notes what scripts complain of, and whom pages ask beside it."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser, self._url = browser, url
        self._contexts: list[Any] = []
        self.complaints: list[str] = []
        self.asked_others: list[str] = []

    def __call__(
        self,
        address: str,
        *,
        width: int = 1600,
        height: int = 1000,
        dark: bool = False,
        ready: str = "main h1",
    ) -> Opened:
        """The page at `address` once `ready` is there and nothing is loading any more."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)
        page.on("request", lambda request: self._ask(request.url))
        page.goto(self._url + address)
        page.wait_for_selector(ready)
        settled(page)
        return page

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(ASKED_IN_VAIN):
            self.complaints.append(message.text)

    def _ask(self, url: str) -> None:
        if not url.startswith((f"{self._url}/", "data:")):
            self.asked_others.append(url)

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert (self.complaints, self.asked_others) == ([], [])


def settled(page: Opened) -> None:
    """Wait until no part of the page says that it is loading, and every plot is drawn."""
    page.wait_for_function(
        "() => !document.querySelector('.spinner, [aria-busy=true]')"
        " && [...document.querySelectorAll('.chart')].every((each) => each.querySelector('svg, .error'))"
    )


def findings(page: Opened) -> list[str]:
    """What axe-core finds serious or critical."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def overflow(page: Opened) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
