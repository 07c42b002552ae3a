"""The number of lookups in Redis that a request costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.web.conftest import Client, Get

pytestmark = pytest.mark.usefixtures("people")

_prefixes = itertools.count()


@contextmanager
def lookups(server: Valkey, contact: int) -> Iterator[list[list[str]]]:
    """Fill a list with the fields of each lookup of *contact* during the block."""
    client, fields = Redis.from_url(server.url), list[list[str]]()
    with client.monitor() as monitor:
        yield fields
        client.echo("the-end")
        while (command := monitor.next_command()["command"]) != "ECHO the-end":
            name, *arguments = command.split()
            if name == "HMGET" and f"{{{contact}}}" in arguments[0]:
                fields.append(arguments[1:])


@pytest.fixture
def serve_far(serve: Serve) -> Serve:
    """Start services over a folder whose pictures are kept in Redis. They share the entries there."""
    prefix = f"lookups-{next(_prefixes)}"

    async def start(**cache: Any) -> Client:
        return await serve(images={"near": False}, cache={"prefix": prefix} | cache)

    return start


async def made_and_forgotten(serve_far: Serve, get: Get, contact: int, query: str, **headers: str) -> Client:
    """Have a picture made by one service. Return another one, whose memory is empty."""
    client = await serve_far()
    await get(client, contact, query, **headers)
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    return await serve_far()


@pytest.mark.parametrize("query", ["", "?w=40", "?w=40&type=PNG", "?w=30&h=20&fit=cover"])
async def test_hit_in_redis_costs_one_lookup(serve_far: Serve, get: Get, shared_valkey: Valkey, query: str) -> None:
    client = await made_and_forgotten(serve_far, get, 1, query)
    with lookups(shared_valkey, 1) as found:
        response = await get(client, 1, query)
    assert response.headers["Cache-Status"].startswith("contact-image; hit")
    assert len(found) == 1


async def test_304_and_head_look_up_the_record_and_no_picture(
    serve_far: Serve, get: Get, shared_valkey: Valkey
) -> None:
    client = await made_and_forgotten(serve_far, get, 1, "?w=40")
    with lookups(shared_valkey, 1) as of_head:
        etag = (await get(client, 1, "?w=40", method="HEAD")).headers["ETag"]
    client = await serve_far()
    with lookups(shared_valkey, 1) as of_304:
        assert (await get(client, 1, "?w=40", If_None_Match=etag)).status == 304
    assert of_head == of_304 == [["original", "absence"]]


async def test_304_to_a_repeat_looks_up_no_picture(serve_far: Serve, get: Get, shared_valkey: Valkey) -> None:
    client = await serve_far(memory_bytes=0)
    for _ in range(2):
        etag = (await get(client, 1, "?w=40")).headers["ETag"]
        await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    with lookups(shared_valkey, 1) as of_304:
        assert (await get(client, 1, "?w=40", If_None_Match=etag)).status == 304
    assert of_304 == [["original", "absence"]]
    with lookups(shared_valkey, 1) as of_200:
        response = await get(client, 1, "?w=40", If_None_Match='"other"')
    assert response.status == 200
    assert response.headers["Cache-Status"].startswith("contact-image; hit")
    assert len(of_200) == 1


async def test_picture_of_another_kind_than_most_costs_a_second_lookup(
    serve_far: Serve, get: Get, shared_valkey: Valkey
) -> None:
    accept = "image/png, image/jpeg"  # a PNG with alpha stays a PNG
    client = await made_and_forgotten(serve_far, get, 2, "?w=40", Accept=accept)
    with lookups(shared_valkey, 2) as found:
        response = await get(client, 2, "?w=40", Accept=accept)
    assert response.content_type == "image/png"
    assert response.headers["Cache-Status"].startswith("contact-image; hit")
    assert len(found) == 2


async def test_rendition_alone_is_looked_up_where_memory_has_the_record(
    serve_far: Serve, get: Get, shared_valkey: Valkey
) -> None:
    client = await made_and_forgotten(serve_far, get, 1, "?w=40")
    await get(client, 1, "?w=30")
    with lookups(shared_valkey, 1) as found:
        response = await get(client, 1, "?w=40")
    assert response.headers["Cache-Status"].startswith("contact-image; hit")
    assert len(found) == 1
    assert "original" not in found[0]
