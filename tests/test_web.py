"""Sockets that applications are served on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from flywheel.web import bound_socket


def test_what_a_server_sends_does_not_wait_for_the_caller_to_acknowledge():
    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            used = writer.get_extra_info("socket")
            found.set_result(used.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(answer, sock=bound_socket("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            async with asyncio.timeout(10):
                nodelay = await found
            writer.close()
        return nodelay

    assert asyncio.run(accepted())


def test_a_port_that_is_taken_is_refused_and_nothing_stays_open():
    with bound_socket("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            bound_socket("127.0.0.1", taken.getsockname()[1])
