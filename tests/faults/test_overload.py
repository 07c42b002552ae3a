"""More orders than the renderers can begin in time: what is accepted, what a refusal costs, and what comes after it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures.values import Original
from service.rendering.process import RenderProcess
from service.stores.directory import DirectoryStore
from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.faults.conftest import RENDERS, Client, Pair
from tests.waiting import until
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric
from tests.web.test_writes import JPEG
from tests.web.test_writes_clients import ON, RawConnection, assert_nothing_is_stored, request
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people", "spawned_renderers")

STORE_READS = "contact_image_store_reads_total"
COLD = range(1000, 1100)
"""Contacts whose pictures have 12 megapixels: a render is expected to take 0.6 seconds until ten are measured."""
CAPACITY = 4
"""Of these orders, those that are accepted within three seconds by one renderer: before the fifth are 2.4 seconds."""
LIMIT = {"queue_timeout": 3.0}


@pytest.fixture
def cold(images: Path) -> None:
    (images / "large").write_bytes(saved(quarters(4000, 3000), "JPEG"))
    for contact in COLD:
        os.link(images / "large", images / f"{contact}.jpg")


async def know(client: Client, get: Get, contacts: range) -> None:
    """Have the records of *contacts* cached, without a render."""
    for contact in contacts:
        assert (await get(client, contact, "?w=100", If_None_Match="*")).status == 304


async def burst(client: Client, get: Get, contacts: range, **headers: str) -> list[asyncio.Task[ClientResponse]]:
    """Request a picture of each contact. Return when as many are answered as cannot be accepted."""
    asked = [asyncio.create_task(get(client, contact, "?w=100", **headers)) for contact in contacts]
    await until(lambda: sum(each.done() for each in asked) == len(contacts) - CAPACITY)
    return asked


async def reads_are(client: Client, count: int) -> bool:
    return await metric(client, STORE_READS) == count


def answered(asked: list[asyncio.Task[ClientResponse]]) -> list[ClientResponse]:
    return [each.result() for each in asked if each.done()]


@pytest.mark.usefixtures("cold")
async def test_orders_that_cannot_begin_in_time_are_refused_before_they_cost_anything(
    serve: Serve, get: Get, shared_valkey: Valkey
) -> None:
    client = await serve(render=LIMIT)
    await get(client, 1, "?w=81")
    await know(client, get, COLD)
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    shared = client.server.app[CACHE]._layer.cache  # type: ignore[attr-defined]
    assert isinstance(shared, RedisCache)
    redis: Redis = Redis.from_url(shared_valkey.url)
    reads = await metric(client, STORE_READS)
    pid = await frozen_worker(client)
    try:
        asked = await burst(client, get, COLD)
        for refused in answered(asked):
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) == 3  # then the orders before it have begun
        assert await metric(client, STORE_READS) - reads <= 2  # of the order that is rendered and of the next one
        leases = [key async for key in redis.scan_iter(f"{shared.key(0)[:-3]}*:lead:*")]
        assert len(leases) == CAPACITY
        hit = await get(client, 1, "?w=81")
        assert "; hit" in hit.headers["Cache-Status"]
    finally:
        os.kill(pid, signal.SIGCONT)
        await redis.aclose()
    assert [(await each).status for each in asked].count(200) == CAPACITY
    assert (await get(client, COLD[-1], "?w=100")).status == 200


class ClosedStore(DirectoryStore):
    """A directory in which nothing is found until it is opened."""

    def __init__(self, images: Path) -> None:
        super().__init__(images, max_bytes=30_000_000, timeout=60)
        self.opened, self.finds = asyncio.Event(), 0

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        self.finds += 1
        await self.opened.wait()
        return await super().find(contact, known=known)


@pytest.mark.usefixtures("cold")
async def test_unknown_contacts_are_refused_before_the_store_is_asked(serve: Serve, get: Get, images: Path) -> None:
    store = ClosedStore(images)
    client = await serve(render={"queue_timeout": 0.65}, adapters={"store": store})
    await frozen_worker(client)  # only to wait until it has started
    os.kill(await frozen_worker(client), signal.SIGCONT)
    asked = [asyncio.create_task(get(client, contact, "?w=100")) for contact in COLD]
    await until(lambda: sum(each.done() for each in asked) == len(COLD) - 11)  # each is expected to take 0.05 s
    assert {refused.status for refused in answered(asked)} == {503}
    await until(lambda: store.finds == 11)
    same = [asyncio.create_task(get(client, COLD[0], "?w=100", Accept=f"*/*;q=0.{at}")) for at in range(1, 9)]
    await asyncio.sleep(0.05)  # until they wait for the look into the store that is under way
    assert store.finds == 11
    store.opened.set()
    assert {(await each).status for each in (asked[0], *same)} == {200}
    await asyncio.gather(*asked)


async def test_accepted_order_that_does_not_begin_in_time_is_refused(serve: Serve, get: Get) -> None:
    client = await serve(render={"queue_timeout": 0.2})
    pid = await frozen_worker(client)
    try:
        first = asyncio.create_task(get(client, 1, "?w=20"))
        await until(lambda: metric(client, RENDERS))
        late = await asyncio.gather(*(get(client, contact, "?w=20") for contact in (2, 3, 4)))
        assert [each.status for each in late] == [503] * 3
        assert not first.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await first).status == 200
    assert (await get(client, 2, "?w=20")).status == 200


async def test_orders_wait_for_the_first_renderer(serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    start, may_start = RenderProcess.start, asyncio.Event()

    async def start_later(process: RenderProcess) -> None:
        await may_start.wait()
        await start(process)

    monkeypatch.setattr(RenderProcess, "start", start_later)
    client = await serve(render={"queue_timeout": 0.2})
    asked = [asyncio.create_task(get(client, 1 + at % 5, f"?w={20 + at}")) for at in range(20)]
    await asyncio.sleep(0.5)  # longer than an order may wait for a renderer that is ready
    assert not any(each.done() for each in asked)
    may_start.set()
    assert {(await each).status for each in asked} == {200}


@pytest.mark.usefixtures("cold")
async def test_identical_request_joins_while_no_order_is_accepted(serve: Serve, get: Get) -> None:
    client = await serve(render=LIMIT)
    await know(client, get, COLD)
    pid = await frozen_worker(client)
    asked = await burst(client, get, COLD[: CAPACITY + 1])
    joined = [asyncio.create_task(get(client, COLD[0], "?w=100", Accept=f"*/*;q=0.{at}")) for at in range(1, 9)]
    refused = await get(client, COLD[0], "?w=101")
    os.kill(pid, signal.SIGCONT)
    assert refused.status == 503
    assert {(await each).status for each in joined} == {200}
    assert sorted([(await each).status for each in asked]) == [200] * CAPACITY + [503]


@pytest.mark.usefixtures("cold")
async def test_order_that_another_process_renders_is_awaited_while_none_is_accepted(
    serve_two: Callable[..., Awaitable[Pair]], get: Get
) -> None:
    leader, full = await serve_two(render=LIMIT)
    await know(full, get, COLD)
    pids = [await frozen_worker(client) for client in (leader, full)]
    led = asyncio.create_task(get(leader, COLD[50], "?w=100"))
    await until(lambda: metric(leader, RENDERS))
    asked = await burst(full, get, COLD[: CAPACITY + 1])
    followed = asyncio.create_task(get(full, COLD[50], "?w=100"))
    refused = await get(full, COLD[51], "?w=100")
    assert not followed.done()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert (refused.status, (await led).status, (await followed).status) == (503, 200, 200)
    assert "collapsed" in (await followed).headers["Cache-Status"]
    await asyncio.gather(*asked)


@pytest.mark.usefixtures("cold")
async def test_upload_is_refused_before_its_body_is_read(serve: Serve, get: Get, images: Path) -> None:
    client = await serve(render=LIMIT, writes=ON)
    await know(client, get, COLD)
    pid = await frozen_worker(client)
    asked = await burst(client, get, COLD[: CAPACITY + 1])
    known = len(COLD)
    await until(lambda: reads_are(client, known + 2))  # those of the order that is rendered and of the next one
    for field in ("Expect: 100-continue", "Accept: */*"):
        line = await RawConnection.open(client)
        await line.send(request(field, "Content-Length: 5000"))
        assert "503" in await line.read_status()
        await line.close()
    assert await reads_are(client, known + 2)
    os.kill(pid, signal.SIGCONT)
    await asyncio.gather(*asked)
    await assert_nothing_is_stored(images)


@pytest.mark.usefixtures("cold")
async def test_orders_of_one_address_do_not_shut_out_another(serve: Serve, get: Get) -> None:
    client = await serve(render=LIMIT, server={"trusted_proxies": ["127.0.0.1"]})
    await know(client, get, COLD)
    pid = await frozen_worker(client)
    asked = await burst(client, get, COLD[: CAPACITY + 1], X_Forwarded_For="192.0.2.1")
    another = asyncio.create_task(get(client, COLD[50], "?w=100", X_Forwarded_For="192.0.2.2"))
    refused = await get(client, COLD[51], "?w=100", X_Forwarded_For="192.0.2.1")
    assert (refused.status, another.done()) == (503, False)
    os.kill(pid, signal.SIGCONT)
    assert (await another).status == 200
    await asyncio.gather(*asked)


async def two_wait(client: Client) -> bool:
    return await metric(client, "contact_image_render_queue_depth") == 2


async def test_uploads_of_one_address_do_not_shut_out_those_of_another(serve: Serve) -> None:
    """An upload that waits to be decoded counts for the address of its client."""
    proxies = {"trusted_proxies": ["127.0.0.1"]}
    client = await serve(render={"queue_timeout": 30.0, "queue": 2}, writes=ON, server=proxies)
    pid = await frozen_worker(client)
    lines = [await RawConnection.open(client) for _ in range(6)]
    statuses = [asyncio.create_task(line.read_status()) for line in lines]
    whole = f"Content-Length: {len(JPEG)}"
    for contact, line in enumerate(lines[:4], 1):
        await line.send(request(whole, "X-Forwarded-For: 192.0.2.1", contact=contact), JPEG)
    await until(lambda: two_wait(client))
    await lines[4].send(request(whole, "Expect: 100-continue", "X-Forwarded-For: 192.0.2.1"))
    assert "503" in await statuses[4]
    await lines[5].send(request(whole, "X-Forwarded-For: 192.0.2.2"), JPEG)
    (first, *_), _ = await asyncio.wait(statuses[:4], return_when=asyncio.FIRST_COMPLETED)
    assert "503" in first.result()  # it makes room
    os.kill(pid, signal.SIGCONT)
    assert "200" in await statuses[5]
    assert sum("200" in status for status in await asyncio.gather(*statuses[:4])) == 3
    for line in lines:
        await line.close()
