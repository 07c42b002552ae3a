"""The places of uploads are divided among clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from service.errors import Overloaded
from service.pictures.upload_places import UploadPlaces


async def upload(places: UploadPlaces, client: str, received: asyncio.Event) -> str:
    """Upload until *received*, and return *client*."""
    with places.taken(client) as place:

        async def body() -> None:
            await received.wait()

        await place.receive(body())
    return client


@asynccontextmanager
async def uploads(places: UploadPlaces, clients: str) -> AsyncIterator[tuple[list[asyncio.Task[str]], asyncio.Event]]:
    """Begin an upload of each of *clients*, which are letters."""
    received = asyncio.Event()
    tasks = [asyncio.create_task(upload(places, client, received)) for client in clients]
    await asyncio.sleep(0)
    yield tasks, received
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("present", "client", "withdrawn"),
    [
        ("aaaa", "b", 3),
        ("abaa", "c", 3),
        ("aaab", "c", 2),
        ("aabb", "c", 3),
        ("aaab", "b", 2),
        ("aabb", "a", None),
        ("abcd", "e", None),
        ("aaaa", "a", None),
        ("aaa", "b", None),
    ],
)
async def test_newest_upload_of_the_client_with_the_most_makes_room(
    present: str, client: str, withdrawn: int | None
) -> None:
    places = UploadPlaces(4)
    async with uploads(places, present) as (tasks, received):
        refused = withdrawn is None and len(present) == 4
        with ExitStack() as stack:
            if refused:
                with pytest.raises(Overloaded):
                    stack.enter_context(places.taken(client))
            else:
                stack.enter_context(places.taken(client))
            received.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    ended = [number for number, each in enumerate(results) if isinstance(each, Overloaded)]
    assert ended == ([] if withdrawn is None else [withdrawn])


async def test_upload_that_is_received_keeps_its_place() -> None:
    places = UploadPlaces(2)
    with places.taken("a") as one, places.taken("a"):
        await one.receive(asyncio.sleep(0))
        with pytest.raises(Overloaded), places.taken("b"):
            pass


async def test_place_is_free_after_an_upload_that_fails() -> None:
    places = UploadPlaces(1)

    async def fail() -> None:
        raise TimeoutError  # not that of the place

    for _ in range(3):
        with pytest.raises(TimeoutError), places.taken("a"):
            await fail()
    with places.taken("b"):
        pass
