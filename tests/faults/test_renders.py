"""Renders whose leader dies, whose client leaves, whose original changes, or whose sizes do not end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from redis.asyncio import Redis

from service.wiring.caches import LEASE
from tests.conftest import Serve, Valkey
from tests.faults.conftest import RENDERS, settled
from tests.operations.running import Service, block_until, running
from tests.pixels import shown
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric
from tools.pictures.drawing import quarters, saved

PICTURE = IMAGE.format(1)


@pytest.fixture
def two_services(people: Path, own_valkey: Valkey) -> Iterator[tuple[Service, Service]]:
    with ExitStack() as stack:
        one, other = [
            stack.enter_context(
                running(
                    "--images", people, wait=False,
                    CONTACT_IMAGE_CACHE__URL=own_valkey.url, CONTACT_IMAGE_RENDER__WORKERS="1",
                )
            )
            for _ in range(2)
        ]  # fmt: skip
        for each in (one, other):
            each.wait_until_it_answers()
            each.with_renderers(1)
        yield one, other


def test_when_the_leader_is_killed_the_other_renders_within_its_lease(two_services: tuple[Service, Service]) -> None:
    leader, other = two_services
    other.get(f"{PICTURE}?w=20")
    before = other.renders_started
    with ThreadPoolExecutor(8) as readers, leader.frozen_renderers():
        lost = readers.submit(leader.get, f"{PICTURE}?w=77&type=png")
        block_until(lambda: leader.renders_started == 1, 10, "the leader renders")
        waiting = [readers.submit(other.get, f"{PICTURE}?w=77&type=png") for _ in range(4)]
        time.sleep(0.5)
        assert not any(each.done() for each in waiting)
        assert other.renders_started == before
        leader.send(signal.SIGKILL)
        begun = time.monotonic()
        answers = [each.result() for each in waiting]
        took = time.monotonic() - begun
        assert lost.exception() is not None
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert shown(answers[0].body).size == (77, 58)
    assert took < 10 * LEASE
    assert other.renders_started == before + 1


async def test_client_that_leaves_during_a_render_does_not_affect_the_others(
    serve: Serve, get: Get, people: Path, own_valkey: Valkey
) -> None:
    """The others may wait in the same process or in another one."""
    one, other = [await serve(url=own_valkey.url, cache={"prefix": "left"}) for _ in range(2)]
    pid = await frozen_worker(one)
    first = asyncio.create_task(get(one, 1, "?w=77"))
    await until_metric(one, RENDERS, 1)
    waiting = [asyncio.create_task(get(client, 1, "?w=77")) for client in (one, other)]
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    os.kill(pid, signal.SIGCONT)
    here, there = [await each for each in waiting]
    assert (here.status, there.status) == (200, 200)
    assert await here.read() == await there.read()
    assert await metric(one, RENDERS) == 1


async def test_picture_that_changes_during_its_render_keeps_its_own_validator(
    serve: Serve, get: Get, people: Path
) -> None:
    """The old picture is sent with its own entity tag, never with that of the new one."""
    client = await serve(writes={"enabled": True})
    old = await get(client, 1, "?w=60&type=png")
    (people / "coming").write_bytes(saved(quarters(40, 40), "JPEG"))
    pid = await frozen_worker(client)
    try:
        under_way = asyncio.create_task(get(client, 1, "?w=77&type=png"))
        await until_metric(client, RENDERS, 2)
        os.replace(people / "coming", people / "1.jpg")
        assert (await client.request("PURGE", PICTURE)).status == 204
    finally:
        os.kill(pid, signal.SIGCONT)
    late = await under_way
    assert late.status == 200
    size = shown(await late.read()).size
    assert size in ((77, 58), (77, 77))
    for _ in range(3):
        await settled(client)
        after = await get(client, 1, "?w=77&type=png")
        assert shown(await after.read()).size == (77, 77)
        assert (after.headers["ETag"] == late.headers["ETag"]) == (size == (77, 77))
    changed = await get(client, 1, "?w=60&type=png", If_None_Match=old.headers["ETag"])
    assert (changed.status, shown(await changed.read()).size) == (200, (60, 60))


async def until_recorded(port: int, picture: Path, valkey: Valkey) -> None:
    """Change *picture* and request it as stored until its record is in the cache: a busy machine may drop a put."""
    async with Redis.from_url(valkey.url) as redis, aiohttp.ClientSession() as session, asyncio.timeout(60):
        while not await redis.hexists("contact-image:{6}", "original"):
            os.utime(picture)
            await asyncio.sleep(0.2)  # until the purge of the watched folder
            async with session.get(f"http://127.0.0.1:{port}{IMAGE.format(6)}") as response:
                assert response.status == 200
            await asyncio.sleep(0.2)  # until the put


async def test_renditions_of_one_contact_are_bounded(images: Path, own_valkey: Valkey) -> None:
    """The server keeps at most `cache.max_fields` renditions, and the process `cache.memory_bytes`."""
    fields, sizes = 100, 2_000
    (images / "6.png").write_bytes(saved(Image.effect_noise((80, 80), 90).convert("RGB"), "PNG"))
    with running(
        "--images", images,
        CONTACT_IMAGE_CACHE__URL=own_valkey.url, CONTACT_IMAGE_CACHE__MAX_FIELDS=str(fields),
        CONTACT_IMAGE_CACHE__MEMORY_BYTES="500000", CONTACT_IMAGE_RENDER__WORKERS="1",
    ) as service:  # fmt: skip

        async def read(session: aiohttp.ClientSession, asked: Iterator[int]) -> None:
            for at in asked:
                width, height = 60 + at % 50, 60 + at // 50
                url = f"http://127.0.0.1:{service.port}{IMAGE.format(6)}?w={width}&h={height}&fit=fill"
                async with session.get(url) as response:
                    assert response.status == 200
                    assert shown(await response.read()).size == (width, height)

        async def readers(asked: Iterator[int]) -> None:
            async with aiohttp.ClientSession() as session:
                await asyncio.gather(*(read(session, asked) for _ in range(16)))

        await until_recorded(service.port, images / "6.png", own_valkey)
        await readers(iter(range(sizes // 2)))
        half_way = resident(service)
        await readers(iter(range(sizes // 2, sizes)))
        assert resident(service) - half_way < 14_000_000  # all renditions together are 28 MB
        assert service.renders_started == sizes
    async with Redis.from_url(own_valkey.url) as redis:
        assert fields // 2 < await redis.hlen("contact-image:{6}") <= fields
        assert await redis.hexists("contact-image:{6}", "original")
        async with asyncio.timeout(60):
            while len(await redis.keys("*")) >= 10:
                await asyncio.sleep(0.1)  # a lease that was not released expires


def resident(service: Service) -> int:
    """Return the bytes of memory of the first process."""
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
