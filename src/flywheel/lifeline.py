"""Ends a launched program when whoever launched it is gone, even after `kill -9` of the launcher.

The launcher holds the write end of a pipe that is the program's standard input and never writes to it; the
kernel closes that end when the launcher dies. Not for programs that read their standard input.
"""

from __future__ import annotations

import contextlib
import os
import threading


def exit_at_stdin_eof(exit_code: int = 143) -> None:
    """Watch standard input from a thread; at its end leave at once, without clean-up, with `exit_code`."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(exit_code)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
