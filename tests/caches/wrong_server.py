"""A server that gives one reply to every command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hiredis import Reader

_HANDSHAKE = (b"CLIENT", b"SELECT")


@asynccontextmanager
async def giving(reply: bytes, socket: Path) -> AsyncIterator[None]:
    """Open a server on *socket* that gives *reply* to every command, and OK to those of a handshake."""

    writers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        commands = Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while command := commands.gets():
                writer.write(b"+OK\r\n" if command[0] in _HANDSHAKE else reply)
        writer.close()

    server = await asyncio.start_unix_server(answer, str(socket))
    try:
        yield
    finally:
        server.close()
        for each in writers:
            each.close()
        socket.unlink(missing_ok=True)
