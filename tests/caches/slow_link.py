"""A slow link to a server: each connection receives the replies at a limited rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import Valkey


class SlowLink:
    """A socket at *url*. Each of its connections receives *piece* bytes, *pause* seconds after those before.

    After *most* bytes a connection receives nothing more.
    """

    def __init__(self, server: Valkey, socket: Path, *, piece: int, pause: float) -> None:
        self.url = f"unix://{socket}"
        self.most: float = float("inf")
        self._server, self._piece, self._pause = server, piece, pause
        self._tasks: set[asyncio.Task[None]] = set()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, until one of its ends is closed."""
        from_server, to_server = await asyncio.open_unix_connection(str(self._server.socket), limit=2 * self._piece)
        both = self._commands(reader, to_server), self._replies(from_server, writer)
        tasks = [asyncio.create_task(each) for each in both]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, to_server):
            each.transport.abort()

    def close(self) -> None:
        """Cancel what is under way."""
        for each in self._tasks:
            each.cancel()

    async def _commands(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)

    async def _replies(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        sent = 0
        while data := await source.read(self._piece):
            if len(data) > 4_096:  # a record, or the reply to a put, takes no time
                await asyncio.sleep(self._pause * len(data) / self._piece)
            if sent + len(data) <= self.most:
                sink.write(data)
                await sink.drain()
                sent += len(data)


@asynccontextmanager
async def slow_link(server: Valkey, socket: Path, *, piece: int, pause: float) -> AsyncIterator[SlowLink]:
    """Open a slow link to *server*, whose connections receive *piece* bytes in *pause* seconds."""
    link = SlowLink(server, socket, piece=piece, pause=pause)
    listener = await asyncio.start_unix_server(link.forward, str(socket))
    try:
        yield link
    finally:
        listener.close()
        link.close()
