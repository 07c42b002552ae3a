"""Garbage under every kind of key: it is a miss, it is replaced, and it delays no other request."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.caches.entry_format import EntryFormat
from service.formats import Format
from service.pictures.records import encode
from service.pictures.values import RECORD, THUMB_HASH_FIELD, Entry, Fault, Original
from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tests.faults.conftest import NO_MEMORY, RENDERS, Client, Readers, settled, undisturbed
from tests.pixels import shown
from tests.waiting import until
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import large, saved

VERSION = "10-1797f2a1b2c3d4e5-0123456789abcdef01234567"
Plant = Callable[[Redis, str], Awaitable[object]]
QUERY = "?w=20&type=png"
FORMAT = EntryFormat("")
"""The format of values without a secret, which a stranger can write."""
_prefixes, _widths = itertools.count(), itertools.count(300)


@pytest.fixture
def prefix() -> str:
    return f"garbage-{next(_prefixes)}"


@pytest.fixture
async def client(serve: Serve, people: Path, prefix: str) -> Client:
    return await serve(cache={"prefix": prefix, "mezzanine_for": 600} | NO_MEMORY)


async def string(redis: Redis, key: str) -> object:
    return await redis.set(key, b"\x80\x04garbage")


async def short_lived_string(redis: Redis, key: str) -> object:
    return await redis.set(key, b"", ex=3_600)


async def list_(redis: Redis, key: str) -> object:
    return await redis.lpush(key, b"one", b"two")


async def set_(redis: Redis, key: str) -> object:
    return await redis.sadd(key, b"one", b"two")


async def hash_(redis: Redis, key: str) -> object:
    return await redis.hset(key, RECORD, b"garbage")


async def stream(redis: Redis, key: str) -> object:
    return await redis.xadd(key, {"field": "value"})


PLANTS: tuple[Plant, ...] = (string, short_lived_string, list_, set_, hash_, stream)


async def kept(client: Client, get: Get, redis: Redis, prefix: str) -> dict[bytes, bytes]:
    """Return the fields of contact 1 in the server: its record and its only rendition."""

    async def both() -> bool:
        await get(client, 1, QUERY)
        await settled(client)
        return bool(await redis.hlen(f"{prefix}:{{1}}") == 3)  # with the ThumbHash

    await until(both, 60, "the rendition is kept")
    fields: dict[bytes, bytes] = await redis.hgetall(f"{prefix}:{{1}}")  # type: ignore[assignment]
    del fields[THUMB_HASH_FIELD.encode()]
    return fields


@pytest.mark.parametrize("kind", ["{key}", "{key}:mezzanine", "{key}:fence", "{key}:lead:{field}"])
async def test_key_of_another_type_is_a_miss_and_is_replaced(
    client: Client, get: Get, shared_valkey: Valkey, prefix: str, kind: str
) -> None:
    async with Redis.from_url(shared_valkey.url) as redis:
        (field,) = (await kept(client, get, redis, prefix)).keys() - {RECORD.encode()}
        expected = await (await get(client, 1, QUERY)).read()

        async def trial(plant: Plant) -> None:
            await redis.unlink(*(await redis.keys(f"{prefix}:*")))
            await plant(redis, kind.format(key=f"{prefix}:{{1}}", field=field.decode()))
            before, begun = await metric(client, RENDERS), time.monotonic()
            for _ in range(3):
                response = await get(client, 1, QUERY)
                assert response.status == 200
                assert await response.read() == expected
                await settled(client)
            assert time.monotonic() - begun < 20  # a follower would wait for 21 s
            assert "; hit" in response.headers["Cache-Status"]
            assert await metric(client, RENDERS) - before == 1

        for plant in PLANTS:
            await undisturbed(partial(trial, plant), client)


async def test_garbage_in_any_field_is_a_miss_and_is_replaced(
    client: Client, get: Get, shared_valkey: Valkey, prefix: str
) -> None:
    async with Redis.from_url(shared_valkey.url) as redis:
        fields = await kept(client, get, redis, prefix)
        expected = await get(client, 1, QUERY)

        async def trial(field: bytes, value: bytes) -> None:
            await redis.hset(f"{prefix}:{{1}}", field, value)
            before = await metric(client, RENDERS)
            for _ in range(2):
                response = await get(client, 1, QUERY)
                assert response.status == 200
                assert response.headers["ETag"] == expected.headers["ETag"]
                assert await response.read() == await expected.read()
                await settled(client)
            assert "; hit" in response.headers["Cache-Status"]
            assert await metric(client, RENDERS) - before <= 1

        for field, value in fields.items():
            place = f" {prefix}:{{1}} {field.decode()}"
            entry = FORMAT.unpack(value, place)
            assert isinstance(entry, Entry)
            another = FORMAT.pack(Entry("another", entry.stored_at, "", b"another's"), place)
            foreign = [b"", b"garbage", b"\x80\x04N.", value[:-1], value[:12], value + b"\0", value[:-1] + b"\xff",
                       bytes(len(value)), another]  # fmt: skip
            for each in foreign:
                await undisturbed(partial(trial, field, each), client)


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b"7", b'"text"', b"{}", b'{"contact": 1}', b"\xff\xfe", b"[" * 100_000, b'{"format": "JPEG"}',
     encode(Original(2, VERSION, 10, 1_700_000_000, Format.JPEG, alpha=False)),  # another contact
     encode(Original(1, VERSION[:-1] + "0", 10, 1_700_000_000, Format.JPEG, alpha=False)),  # another version
     encode(Original(1, VERSION, 10, 1_700_000_000, Format.JPEG, alpha=False,
                     fault=Fault("%(a)3000000d", (("a", 1),), 1e10)))],
    ids=range(13),
)  # fmt: skip
async def test_foreign_record_is_a_miss(
    client: Client, get: Get, shared_valkey: Valkey, prefix: str, record: bytes
) -> None:
    expected = await get(client, 1, QUERY)
    async with Redis.from_url(shared_valkey.url) as redis:
        await kept(client, get, redis, prefix)
        foreign = FORMAT.pack(Entry(VERSION, time.time(), "", record), f" {prefix}:{{1}} {RECORD}")
        await redis.hset(f"{prefix}:{{1}}", RECORD, foreign)
    response = await get(client, 1, QUERY)
    assert (response.status, response.headers["ETag"]) == (200, expected.headers["ETag"])
    assert await response.read() == await expected.read()


@pytest.mark.parametrize("detail", ["", "0x0 0x0", "2400x1800 1024x768", "99999x99999 1x1", "garbage"])
async def test_damaged_mezzanine_is_no_fault_of_the_original(
    client: Client, get: Get, images: Path, shared_valkey: Valkey, prefix: str, detail: str
) -> None:
    (images / "7.jpg").write_bytes(saved(large(), "JPEG", quality=90))
    async with Redis.from_url(shared_valkey.url) as redis:
        key = f"{prefix}:{{7}}:mezzanine"

        async def left() -> bool:
            await get(client, 7, f"?w={next(_widths)}")
            await settled(client)
            return bool(await redis.hkeys(key))

        await until(left, 60, "a mezzanine is kept")
        (digest,) = await redis.hkeys(key)
        place = f" {key} {digest.decode()}"
        real = FORMAT.unpack(await redis.hget(key, digest), place)  # type: ignore[arg-type]
        assert isinstance(real, Entry)
        await redis.hset(key, digest, FORMAT.pack(replace(real, detail=detail or real.detail, body=b"garbage"), place))
    for width in (64, 65):
        response = await get(client, 7, f"?w={width}")
        assert response.status == 200
        assert shown(await response.read()).width == width


async def test_large_values_are_dropped_and_all_answers_are_hits_again(
    serve: Serve, people: Path, get: Get, own_valkey: Valkey
) -> None:
    own_valkey.stop()
    own_valkey.start(maxmemory="512mb")
    readers = Readers(await serve(url=own_valkey.url, cache={"prefix": "large"} | NO_MEMORY), get)
    await readers.read()
    await readers.in_use()
    await settled(readers.client)
    async with Redis.from_url(own_valkey.url, socket_timeout=60) as redis:
        rendition = next(
            field for field in await redis.hkeys("large:{1}") if field.decode() not in (RECORD, THUMB_HASH_FIELD)
        )
        for field in (RECORD, rendition):
            await redis.hset("large:{1}", field, bytes(67_108_864))  # type: ignore[arg-type]
        await readers.read(5)
        await readers.in_use()
        await settled(readers.client)
        for field in (RECORD, rendition):
            assert await redis.hstrlen("large:{1}", field) < 1_000_000  # type: ignore[arg-type]


async def test_garbage_on_the_channel_is_ignored(client: Client, get: Get, shared_valkey: Valkey, prefix: str) -> None:
    async with Redis.from_url(shared_valkey.url) as redis:
        for message in (b"", b"\xff", b"purged", b"purged x", b"purged x -1", b"purged x " + b"9" * 5_000, b"arrived",
                        b"purged x \xd9\xa1", b"something else"):  # fmt: skip
            await redis.publish(f"{prefix}:news", message)
        assert (await get(client, 1, "?w=20")).status == 200
        cache = client.server.app[CACHE]  # type: ignore[attr-defined]
        epoch = cache.epoch(1)
        await redis.publish(f"{prefix}:news", "purged x 1")

        async def received() -> bool:
            return bool(cache.epoch(1) != epoch)

        await until(received, 60, "a valid message is received")
