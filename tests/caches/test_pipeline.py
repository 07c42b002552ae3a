"""A pipeline closes its connection even if the connection is made too late, tells a busy event loop from a server that
does not answer, and forgets what it has answered."""

from __future__ import annotations

import asyncio
import time
import weakref
from pathlib import Path

import pytest
from redis.asyncio import ConnectionPool, UnixDomainSocketConnection

from service.caches.pipeline import Pipeline
from service.pictures.ports import CacheUnavailable
from tests.caches.wrong_server import giving
from tests.conftest import Valkey

SLOW = 0.2


async def test_connection_that_is_made_too_late_is_closed(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def greet_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each command of the handshake after a delay."""
        while await reader.read(4096):
            await asyncio.sleep(SLOW)
            writer.write(b"+OK\r\n")
        writer.close()
        closed.set()

    server = await asyncio.start_unix_server(greet_slowly, tmp_path / "socket")
    pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=str(tmp_path / "socket"), protocol=2)
    pipeline = Pipeline(pool, timeout=SLOW / 10, max_reply=4096)
    with pytest.raises(CacheUnavailable):
        await pipeline.ask("GET", "a")
    await pipeline.close()
    async with asyncio.timeout(60):
        await closed.wait()
    server.close()
    await server.wait_closed()


async def test_no_connection_is_made_for_a_cancelled_command_or_after_the_end(tmp_path: Path) -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    server = await asyncio.start_unix_server(count, tmp_path / "socket")
    pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=str(tmp_path / "socket"), protocol=2)
    pipeline = Pipeline(pool, timeout=60, max_reply=4096)
    pipeline.ask("GET", "a").cancel()
    await pipeline.close()
    with pytest.raises(CacheUnavailable):
        await pipeline.ask("GET", "a")
    await asyncio.sleep(SLOW)
    server.close()
    await server.wait_closed()
    assert connections == 0


async def test_reply_is_not_held_until_the_deadline_of_its_command(tmp_path: Path) -> None:
    async with giving(b"$1\r\na\r\n", tmp_path / "socket"):
        pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=str(tmp_path / "socket"), protocol=2)
        pipeline = Pipeline(pool, timeout=60, max_reply=4096)
        reply = pipeline.ask("GET", "a")
        assert await reply == b"a"
        held = weakref.ref(reply)
        del reply
        assert await pipeline.ask("GET", "b") == b"a"
        assert held() is None
        await pipeline.close()


async def test_busy_event_loop_is_no_failure_of_the_server(shared_valkey: Valkey) -> None:
    pipeline = Pipeline(ConnectionPool.from_url(shared_valkey.url), timeout=SLOW / 2, max_reply=4096)
    await pipeline.ask("PING")
    replies = []
    for _ in range(8):
        replies.append(pipeline.ask("PING"))
        time.sleep(SLOW)  # each turn of the loop takes longer than a command may
        await asyncio.sleep(0)
    assert await asyncio.gather(*replies) == [b"PONG"] * 8
    await pipeline.close()
