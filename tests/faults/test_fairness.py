"""Clients that ask for more than the service can render."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp

from tests.conftest import Serve
from tests.faults.conftest import Client
from tests.web.conftest import IMAGE, Get
from tools.pictures.drawing import quarters, saved

_CONNECTIONS = 80
_WANTED = 3
"""Pictures that the polite client asks for, one after the other."""


async def flood(client: Client) -> None:
    """Request random large renditions over many connections from another address, until cancelled."""
    sizes = random.Random(1)
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> None:
            while True:
                width = sizes.randrange(3_800, 4_096)
                url = client.make_url(f"{IMAGE.format(1 + width % 3)}?w={width}&type=avif")
                async with session.get(url) as response:
                    await response.read()
                if response.status == 503:
                    await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as connections:
            for _ in range(_CONNECTIONS):
                connections.create_task(ask())


async def test_flood_from_one_address_does_not_keep_other_clients_out(serve: Serve, get: Get, images: Path) -> None:
    for contact in range(1, 6):
        (images / f"{contact}.jpg").write_bytes(saved(quarters(400, 300), "JPEG"))
    client = await serve()
    flooding = asyncio.create_task(flood(client))
    await asyncio.sleep(1.0)
    answers = [await get(client, 4 + at % 2, f"?w={100 + at}") for at in range(_WANTED)]
    assert not flooding.done()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    assert [answer.status for answer in answers] == [200] * _WANTED
