"""Two processes and one server: a format that failed in one process is not tried in the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.formats import Format
from tests.conftest import Serve
from tests.failing_writers import PoolWithFailingWriters
from tests.faults.conftest import Client, settled, subscribed
from tests.waiting import until
from tests.web.conftest import IMAGE, Get

pytestmark = pytest.mark.usefixtures("people")

AVIF, WEBP = Format.AVIF, Format.WEBP
ACCEPT = "image/avif, image/webp"
Two = tuple[Client, Client, list[PoolWithFailingWriters]]


@pytest.fixture
def two(serve: Serve) -> Callable[[str], Awaitable[Two]]:
    async def start(prefix: str) -> Two:
        pools = [PoolWithFailingWriters(AVIF), PoolWithFailingWriters(AVIF)]
        one, other = [
            await serve(adapters={"renderer": pool}, cache={"prefix": prefix}, writes={"enabled": True})
            for pool in pools
        ]
        await subscribed(one, other)
        return one, other, pools

    return start


def tried(pools: list[PoolWithFailingWriters]) -> int:
    return sum(pool.tried[AVIF] for pool in pools)


async def test_format_that_failed_is_ruled_out_in_both(two: Callable[[str], Awaitable[Two]], get: Get) -> None:
    one, other, pools = await two("failures-known")
    assert (await get(other, 1, "?w=40&type=webp")).status == 200  # its memory has a record without the failure
    first = await get(one, 1, "?w=60", Accept=ACCEPT)
    await settled(one)

    async def known() -> bool:
        answer = await get(other, 1, "?w=60&type=avif", method="HEAD", If_None_Match="*")
        return answer.status == 500

    await until(known, 10, "the other process has the failure")
    for method in ("HEAD", "GET", "GET"):
        answer = await get(other, 1, "?w=60", method=method, Accept=ACCEPT)
        assert (answer.status, answer.headers["ETag"]) == (200, first.headers["ETag"])
    unchanged = await get(other, 1, "?w=60", Accept=ACCEPT, If_None_Match=first.headers["ETag"])
    assert unchanged.status == 304
    assert tried(pools) == 1
    assert (await other.request("PURGE", IMAGE.format(1))).status == 204
    assert (await get(one, 1, "?w=60", Accept=ACCEPT)).content_type == "image/webp"
    assert tried(pools) == 2


async def test_follower_does_not_try_the_format_that_failed_for_the_leader(
    two: Callable[[str], Awaitable[Two]], get: Get
) -> None:
    one, other, pools = await two("failures-waiting")
    for client in (one, other):
        assert (await get(client, 1, "?w=40&type=webp")).status == 200
    for width in range(60, 70):
        answers = await asyncio.gather(
            *(get(client, 1, f"?w={width}", Accept=ACCEPT) for client in (one, other, one, other))
        )
        assert {(each.status, each.content_type) for each in answers} == {(200, "image/webp")}
        assert len({each.headers["ETag"] for each in answers}) == 1
    assert 10 <= tried(pools) < 15  # 20 if both tried; a late lookup on a busy machine costs one more
