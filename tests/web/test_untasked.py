"""A hit in Redis that is answered without a task is a request in progress like any other."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import structlog
from PIL import Image
from redis import Redis

from service.web.connections import Connection
from service.web.keys import CACHE
from service.web.repeats import Repeats
from service.web.streaming import SMALL
from tests.conftest import TIMEOUT, Serve, Valkey
from tests.faults.test_leaving_clients import RESET
from tests.waiting import until
from tests.web.conftest import Client
from tests.web.test_answered_at_once import HIT, Raw
from tests.web.test_coalescing import metric
from tests.web.test_lookups import lookups
from tools.pictures.drawing import saved

pytestmark = pytest.mark.usefixtures("people")

ACCEPT = b"Accept: */*\r\n"
WHOLE = b"GET " + HIT + b" HTTP/1.1\r\nHost: localhost\r\n" + ACCEPT + b"\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Asked(Raw):
    """A connection to *client*, whose service has no memory. The answer to `WHOLE` over it is a hit with *body*."""

    def __init__(self, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.client, self.body = client, b""

    @property
    def connection(self) -> Connection:
        """The service's side."""
        found = self.client.server.runner.server.connections  # type: ignore[attr-defined]
        (own,) = (each for each in found if each.peername == self.writer.get_extra_info("sockname"))
        assert isinstance(own, Connection)
        return own

    async def repeat(self, target: bytes = HIT) -> None:
        """Ask until the answer is a hit in Redis."""
        for _ in range(4):
            self.body = (await self.ask(target, ACCEPT))[1]
            await self.client.server.app[CACHE].settle()  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)  # aiohttp waits for the next request

    async def begin(self) -> None:
        """Send `WHOLE` while the server is frozen, and return when the service waits for its reply without a task."""
        self.writer.write(WHOLE)
        await until(lambda: self.connection.waiting is not None)
        assert not isinstance(self.connection.waiting, asyncio.Task)

    async def ends(self) -> bool:
        """Return whether nothing more comes, once the connection is closed."""
        return await asyncio.wait_for(self.reader.read(), 60) == b""


@asynccontextmanager
async def connected(serve: Serve, target: bytes = HIT, **sections: Any) -> AsyncIterator[Asked]:
    client = await serve(cache={"memory_bytes": 0}, **sections)
    found = Asked(client, *await asyncio.open_connection(client.host, client.port))
    await found.repeat(target)
    yield found
    found.writer.close()


@contextmanager
def frozen(server: Valkey) -> Iterator[None]:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def connection_tasks() -> int:
    return sum("RequestHandler" in repr(each.get_coro()) for each in asyncio.all_tasks())


@pytest.fixture
async def asked(serve: Serve) -> AsyncIterator[Asked]:
    async with connected(serve) as found:
        yield found


async def test_later_requests_of_the_connection_wait(asked: Asked, shared_valkey: Valkey) -> None:
    with frozen(shared_valkey):
        await asked.begin()
        asked.writer.write(PROBE)
        await asyncio.sleep(0.01)
        asked.writer.write(WHOLE + WHOLE[:20])
        await asyncio.sleep(0.01)
        assert not asked.reader._buffer  # type: ignore[attr-defined]  # nothing is answered
    asked.writer.write(WHOLE[20:])
    bodies = [(await asked.answer())[1] for _ in range(4)]
    assert bodies[0] == bodies[2] == bodies[3] == asked.body != bodies[1]
    assert (await asked.ask(fields=ACCEPT))[1] == asked.body


async def test_half_closed_connection_gets_its_answer_and_is_closed(asked: Asked, shared_valkey: Valkey) -> None:
    with frozen(shared_valkey):
        await asked.begin()
        asked.writer.write_eof()
        await asyncio.sleep(0.01)
    assert (await asked.answer())[1] == asked.body
    assert await asked.ends()


async def test_client_that_leaves_is_counted_and_nothing_is_left_of_it(asked: Asked, shared_valkey: Valkey) -> None:
    answered = 'contact_image_requests_total{method="GET",route="image",status="200"}'
    before, connections = await metric(asked.client, answered), connection_tasks()
    with frozen(shared_valkey):
        await asked.begin()
        connection = asked.connection
        asked.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        asked.writer.transport.abort()
        await until(lambda: connection.waiting is None, TIMEOUT / 2, "the lookup is given up before its time-out")
    assert await metric(asked.client, "contact_image_abandoned_total") == 1
    assert await metric(asked.client, answered) == before
    await until(lambda: connection_tasks() == connections - 1, what="the task of the connection ends")
    assert connection not in asked.client.server.runner.server.connections  # type: ignore[attr-defined]


@pytest.mark.parametrize("purged", [False, True], ids=["hit", "miss"])
async def test_stop_waits_for_the_answer(asked: Asked, shared_valkey: Valkey, purged: bool) -> None:
    if purged:
        for key in Redis.from_url(shared_valkey.url).scan_iter("*{1}"):
            Redis.from_url(shared_valkey.url).unlink(key)
    with frozen(shared_valkey):
        await asked.begin()
        stopping = asyncio.create_task(asked.client.server.runner.cleanup())  # type: ignore[union-attr]
        await asyncio.sleep(0.1)
        assert not stopping.done()
    head, body = await asked.answer()
    assert ("fwd=miss" in head) == purged
    assert body == asked.body
    assert await asked.ends()
    await asyncio.wait_for(stopping, 60)


async def test_connection_is_idle_from_the_answer_on(serve: Serve, shared_valkey: Valkey) -> None:
    async with connected(serve, server={"keepalive_timeout": 0.5}) as asked:
        with frozen(shared_valkey):
            await asked.begin()
            await asyncio.sleep(1)
        assert (await asked.answer())[1] == asked.body
        assert await asked.ends()


async def test_frozen_redis_costs_its_time_limit(serve: Serve, own_valkey: Valkey) -> None:
    """The request takes the ordinary way then: the picture is made once more."""
    async with connected(serve, url=own_valkey.url) as asked:
        with frozen(own_valkey):
            for _ in range(3):
                head, body = await asked.ask(fields=ACCEPT)
                assert head.startswith("http/1.1 200 ") and "fwd=" in head
                assert body == asked.body
        assert await metric(asked.client, 'contact_image_cache_total{layer="shared",outcome="unavailable"}') >= 2


@pytest.mark.parametrize("damaged", [False, True], ids=["gone", "damaged"])
async def test_picture_that_redis_does_not_have_is_made_again(
    asked: Asked, shared_valkey: Valkey, damaged: bool
) -> None:
    redis = Redis.from_url(shared_valkey.url)
    for key in redis.scan_iter("test-*{1}"):
        for field in redis.hkeys(key):
            if field not in (b"original", b"absence"):
                redis.hset(key, field, redis.hget(key, field)[:-1] + b"?") if damaged else redis.hdel(key, field)
    head, body = await asked.ask(fields=ACCEPT)
    assert "fwd=miss" in head and body == asked.body
    await asked.repeat()
    assert "; hit" in (await asked.ask(fields=ACCEPT))[0]


async def test_fault_after_the_lookup_is_logged_and_the_ordinary_way_answers(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        await asyncio.wrap_future(asyncio.get_running_loop().run_in_executor(None, int))
        raise ZeroDivisionError

    monkeypatch.setattr(Repeats, "answer_shared", fail)
    with structlog.testing.capture_logs() as lines:
        assert (await asked.ask(fields=ACCEPT))[0].startswith("http/1.1 500 ")
    assert [line["event"] for line in lines] == ["request.failed"] * 2
    assert await asked.ends()


async def test_304_looks_up_the_record_alone(asked: Asked, shared_valkey: Valkey) -> None:
    etag = (await asked.ask(fields=ACCEPT))[0].partition("etag: ")[2].partition("\r\n")[0].encode()
    with lookups(shared_valkey, 1) as found:
        head, _ = await asked.ask(fields=ACCEPT + b"If-None-Match: " + etag + b"\r\n")
        assert head.startswith("http/1.1 304 ")
    assert found == [["original", "absence"]]


async def test_large_body_is_looked_up_once(serve: Serve, images: Any, shared_valkey: Valkey) -> None:
    """It takes the ordinary way, which bounds what is unsent."""
    noise = Image.effect_noise((700, 700), 90).convert("RGB")
    (images / "1.jpg").write_bytes(saved(noise, "JPEG", quality=95))
    target = b"/api/v1/Contact/1/Image?w=690&type=PNG"
    async with connected(serve, target) as asked:
        assert len(asked.body) > SMALL
        with lookups(shared_valkey, 1) as found:
            assert (await asked.ask(target, ACCEPT))[1] == asked.body
    assert len([each for each in found if "original" in each]) == 1
