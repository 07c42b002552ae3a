"""The open loop: over which connections requests are sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from service.load import clients
from service.load.open_loop import OpenLoop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_requests_go_over_all_connections_in_turn() -> None:
    """The processes of a service have some of the connections each, so that all get requests, at any rate."""
    asked: list[int] = []
    connections: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):  # the client has closed it
            while await reader.readuntil(b"\r\n\r\n"):
                asked.append(id(writer))
                writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    loop = OpenLoop(partial(clients.connected, *server.sockets[0].getsockname()))
    request = clients.request("GET", "/", {"Host": "localhost"})
    await loop.run((number / 200, request) for number in range(20))
    server.close()
    await asyncio.wait_for(asyncio.gather(*filter(None, connections)), 30)
    assert [outcome.status for outcome in loop.outcomes] == [200] * 20
    assert len(set(asked)) == 20
