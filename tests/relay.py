"""Passes TCP connections on: for pods, which reach this machine but not its loopback address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def relay(host: str, target: tuple[str, int]) -> Iterator[int]:
    """A port of `host` that leads to `target`, for as long as the body runs."""
    with closing(socket.create_server((host, 0))) as listener:
        threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
        yield int(listener.getsockname()[1])


def _accept(listener: socket.socket, target: tuple[str, int]) -> None:
    with suppress(OSError):  # The listener was closed, which is how this ends.
        while True:
            caller, _ = listener.accept()
            try:
                callee = socket.create_connection(target, timeout=10)
            except OSError:
                caller.close()
                continue
            callee.settimeout(None)
            for source, sink in ((caller, callee), (callee, caller)):
                threading.Thread(target=_pass, args=(source, sink), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
