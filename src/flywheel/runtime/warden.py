"""Stands between the runtime and one program: ends it when the runtime dies, keeps its log small.

Run by file name (`python -I -S warden.py FOLDER MAX_LOG_BYTES COMMAND…`), never imported, and of the standard
library only, so that it starts in milliseconds. Its promises:

- When the runtime dies, however, the pipe on standard input closes and the whole process group is killed. The
  program inherits the same pipe, and may watch it too. When only the warden is killed, the kernel kills the
  program (PR_SET_PDEATHSIG, Linux).
- What the program writes goes to `FOLDER/log`, moved to `log.1` each time it is full.
- How the program ended is in `FOLDER/exit.json` before the warden is gone; no such file means that it was
  ended from outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
PUMP_GRACE_S = 1.0


def main() -> None:
    folder, max_bytes, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    # SIGTERM is for the program; the warden lives on to tell how it ended.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        program = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent(),
        )
    except OSError as error:
        _record(folder, 127, f"{command[0]}: {error.strerror}")
        return
    assert program.stdout is not None  # noqa: S101 - it was asked for above
    threading.Thread(target=_lifeline, daemon=True).start()
    pump = threading.Thread(target=_pump, args=(program.stdout, folder / "log", max_bytes), daemon=True)
    pump.start()
    code = program.wait()
    pump.join(PUMP_GRACE_S)  # A grandchild may hold the pipe open for longer than anybody should wait.
    _record(folder, code, None)
    os.killpg(0, signal.SIGKILL)  # Nothing of the program's own making outlives it.


def _die_with_parent() -> Callable[[], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _lifeline() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.killpg(0, signal.SIGKILL)


def _pump(output: BinaryIO, log: Path, max_bytes: int) -> None:
    while chunk := os.read(output.fileno(), 65536):
        # A full disk must not stop the program: what does not fit is lost from the log only.
        with contextlib.suppress(OSError), log.open("ab", buffering=0) as file:
            file.write(chunk)
            if file.tell() > max_bytes:
                log.replace(log.with_name(log.name + ".1"))


def _record(folder: Path, code: int, cause: str | None) -> None:
    part = folder / "exit.json.tmp"
    with contextlib.suppress(OSError):
        with part.open("w") as file:
            json.dump({"exit_code": code, "cause": cause, "ended_at": time.time()}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / "exit.json")


if __name__ == "__main__":
    main()
