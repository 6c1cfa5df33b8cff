"""The server that a notebook talks to: the one at FLYWHEEL_URL, else one of its own in a temporary folder.

Its own server is `flywheel serve` with two candidates, which both are the student that ships with Flywheel: one
that runs train, and one that is measured as it is. A process between the two (this file, started as a program)
ends the server and removes its folder when the notebook's kernel is gone, however that came about.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from flywheel.client import Client, ClientError

CONFIG = """
nims:
  - model_name: "flywheel/student"
    context_length: 2048
    customization_enabled: true
    customizer_configs: {max_seq_length: 1024}
  - model_name: "untrained"
    model_path: "flywheel/student"
    context_length: 2048
nmp_config: {nim_parallelism: 2}
wakeups: {type: embedded, poll_interval: 0.2}
"""
START_S = 300.0
_KEEPERS: list[subprocess.Popen[bytes]] = []
"""Held, because a keeper ends its server when nobody holds its standard input any more."""


def connect() -> Client:
    """A client of the server; it is started first where FLYWHEEL_URL names none."""
    return Client() if os.environ.get("FLYWHEEL_URL") else _own()


def _own() -> Client:
    folder = Path(tempfile.mkdtemp(prefix="flywheel-notebook-"))
    (folder / "config.yaml").write_text(CONFIG, "utf-8")
    with (folder / "serve.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # An interrupted cell is no reason to end the server.
        )
    _KEEPERS.append(keeper)
    end = time.monotonic() + START_S
    while True:
        if keeper.poll() is not None or time.monotonic() > end:
            said = (folder / "serve.log").read_text("utf-8", errors="replace")
            raise RuntimeError(f"the server did not come up:\n{said[-2000:]}")
        try:
            if (folder / "data" / "serve.json").is_file():
                client = Client(data=folder / "data")
                client.health.live()
                return client
        except ClientError:
            pass  # Not yet.
        time.sleep(0.2)


def _keep(folder: Path) -> int:
    """Run a server until standard input ends, which is when the kernel does."""
    command = [sys.executable, "-m", "flywheel", "serve", "--port", "0"]
    command += ["--data", str(folder / "data"), "--config", str(folder / "config.yaml")]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    alone = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        alone.set()
        server.terminate()

    threading.Thread(target=watch, daemon=True).start()
    code = server.wait()
    if alone.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(_keep(Path(sys.argv[1])))
