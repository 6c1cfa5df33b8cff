"""Chromium for tests of pages: without the services that a browser starts for itself, its way out closed.

All that it asks of others than this machine goes to a proxy of the test, which takes notes and answers none.
"""

from __future__ import annotations

import re
import shutil
import socket
import threading

import pytest

CHROMIUM = next(
    filter(
        None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))
    ),
    None,
)
"""The one without windows is best: the others draw parts of windows for every page, which nobody sees."""
OFF = (
    "background-networking",
    "component-update",
    "default-apps",
    "dev-shm-usage",
    "domain-reliability",
    "extensions",
    "gpu",
    "sync",
)
FEATURES_OFF = ("AutofillServerCommunication", "MediaRouter", "OptimizationHints", "Translate")
FLAGS = (
    "--no-sandbox",
    "--no-first-run",
    "--hide-scrollbars",
    *(f"--disable-{each}" for each in OFF),
    f"--disable-features={','.join(FEATURES_OFF)}",
)
ITS_OWN = re.compile(r"[/ .](clients2\.google|accounts\.google|[a-z-]+\.googleapis|redirector\.gvt1)\.com")
"""Services of the browser itself, which no flag of it turns off."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class Proxy:
    """Stands between the browser and everything else; notes what is asked of it and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    line = connection.recv(4096).decode("latin-1").partition("\r\n")[0]
                except OSError:
                    continue  # A connection on stock, over which nothing was asked.
                if not ITS_OWN.search(line):
                    self.asked.append(line)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
