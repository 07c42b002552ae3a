"""Two processes and one server: a render in one process serves both."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.pictures.values import RECORD
from service.web.keys import CACHE
from service.wiring.caches import LEASE
from tests.faults.conftest import RENDERS, Client, Pair, settled, undisturbed
from tests.waiting import until
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric, until_metric
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

_widths = itertools.count(100)


async def renders(*clients: Client) -> float:
    return sum([await metric(client, RENDERS) for client in clients])


async def test_identical_misses_in_two_processes_are_one_render(pair: Pair, get: Get) -> None:
    async def trial() -> None:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        asked = await asyncio.gather(*(get(pair[at % 2], 1, query) for at in range(1_000)))
        assert {response.status for response in asked} == {200}
        assert len({await response.read() for response in asked}) == 1
        assert len({response.headers["ETag"] for response in asked}) == 1
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


async def test_rendition_of_one_process_is_a_hit_in_the_other(pair: Pair, get: Get) -> None:
    async def trial() -> None:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        first = await get(pair[0], 1, query)
        await settled(pair[0])
        second = await get(pair[1], 1, query)
        assert await second.read() == await first.read()
        assert "; hit" in second.headers["Cache-Status"]
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


async def test_follower_is_woken_when_the_rendition_is_put(pair: Pair, get: Get) -> None:
    """This happens long before the lease expires."""

    async def trial() -> float:
        query, before = f"?w={next(_widths)}", await renders(*pair)
        pid = await frozen_worker(pair[0])
        try:
            first = asyncio.create_task(get(pair[0], 1, query))
            await until_metric(pair[0], RENDERS, before + 1)
            second = asyncio.create_task(get(pair[1], 1, query))
            await asyncio.sleep(0.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        leading = await first
        begun = time.perf_counter()
        following = await second
        assert await leading.read() == await following.read()
        assert "collapsed" in following.headers["Cache-Status"]
        assert await metric(pair[1], RENDERS) == 0
        return time.perf_counter() - begun

    took: list[float] = []

    async def timed() -> None:
        took.append(await trial())

    for _ in range(3):
        await undisturbed(timed, *pair)
    assert min(took) < LEASE / 4


async def test_lease_is_renewed_while_its_holder_renders(pair: Pair, get: Get) -> None:
    """The render takes longer than one lease."""

    async def trial() -> None:
        query = f"?w={next(_widths)}"
        before = [await renders(client) for client in pair]
        pid = await frozen_worker(pair[0])
        try:
            first = asyncio.create_task(get(pair[0], 1, query))
            await until_metric(pair[0], RENDERS, before[0] + 1)
            second = asyncio.create_task(get(pair[1], 1, query))
            await asyncio.sleep(LEASE * 1.5)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await (await first).read() == await (await second).read()
        assert await renders(pair[1]) == before[1]

    await undisturbed(trial, *pair)


async def test_picture_that_cannot_be_rendered_costs_the_fleet_one_attempt(
    serve_two: Callable[..., Awaitable[Pair]], get: Get, images: Path
) -> None:
    pair = await serve_two()
    contacts = itertools.count(50)
    broken = saved(quarters(160, 120), "JPEG", quality=95)[:600]

    async def trial() -> None:
        contact, before = next(contacts), await renders(*pair)
        (images / f"{contact}.jpg").write_bytes(broken)
        for client in pair:
            await get(client, contact)  # both have a record without a fault
        asked = await asyncio.gather(*(get(pair[at % 2], contact, f"?w={30 + at // 10}") for at in range(20)))
        assert {response.status for response in asked} == {422}
        later = [(await get(client, contact, "?w=40")).status for client in pair]
        assert later == [422, 422]
        assert await renders(*pair) - before == 1

    await undisturbed(trial, *pair)


@pytest.mark.usefixtures("spawned_renderers", "always_on_processor")
async def test_picture_that_exceeds_its_time_is_refused_after_two_renders_of_the_fleet(
    serve_two: Callable[..., Awaitable[Pair]], get: Get
) -> None:
    pair = await serve_two(render={"timeout": 6})
    for client in pair:
        assert (await get(client, 1)).status == 200  # both have a record without strikes

    async def too_late(client: Client) -> int:
        await frozen_worker(client)
        response = await get(client, 1, "?w=82")
        await settled(client)
        return response.status

    async def dropped(client: Client) -> bool:
        return client.server.app[CACHE].local(1, RECORD) is None  # type: ignore[attr-defined]

    assert await too_late(pair[0]) == 503
    await until(lambda: dropped(pair[1]), 60, "the other process drops the record without the strike")
    assert await too_late(pair[1]) == 422
    await until(lambda: dropped(pair[0]), 60, "the first process drops the record without the fault")
    assert (await get(pair[0], 1, "?w=83")).status == 422
    assert await renders(*pair) == 2
