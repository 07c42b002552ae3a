"""What is kept in the server comes back as it went; what is damaged, foreign or half there is a miss."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from service.caches.entry_format import LONGEST_HEAD, pack, unpack, unpack_head
from service.caches.redis import RedisCache
from service.pictures.values import BLANK, RECORD, Entry, EntryHead, MezzanineOwner
from tests.caches.conftest import ENTRY, got, keep

PLACE = "prefix:{42} one"
WHOLE = pack(ENTRY, PLACE)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


async def test_gives_back_exactly_what_was_put(cache: RedisCache) -> None:
    await keep(cache, 42, "319:0:contain:JPEG:d")
    assert await got(cache, 42, "319:0:contain:JPEG:d") == ENTRY


async def test_misses_what_was_never_put(cache: RedisCache) -> None:
    await keep(cache, 42, "one")
    assert await cache.get(42, ("other", "one")) == [None, ENTRY]
    assert await got(cache, 43, "one") is None
    assert await cache.head(43, "one") is None


async def test_tells_of_an_entry_without_its_body(cache: RedisCache) -> None:
    await keep(cache, 42, "one", replace(ENTRY, body=bytes(100_000)))
    assert await cache.head(42, "one") == EntryHead("1-2-3", "first-frame", 100_000)


async def test_a_later_put_takes_the_place_of_an_earlier(cache: RedisCache) -> None:
    await keep(cache, 42, "one")
    await keep(cache, 42, "one", replace(ENTRY, version="4-5-6", body=b"new"))
    assert await got(cache, 42, "one") == replace(ENTRY, version="4-5-6", body=b"new")


async def test_owners_are_kept_apart(cache: RedisCache) -> None:
    for owner in (BLANK, 1, MezzanineOwner(1)):
        await keep(cache, owner, "one", replace(ENTRY, detail=str(owner)))
    for owner in (BLANK, 1, MezzanineOwner(1)):
        assert await got(cache, owner, "one") == replace(ENTRY, detail=str(owner))
    assert await got(cache, 0, "one") is None


async def test_many_that_ask_together_each_get_their_own(cache: RedisCache) -> None:
    for contact in range(300):
        await keep(cache, contact, "one", replace(ENTRY, body=b"%d" % contact))
    found = await asyncio.gather(*(cache.get(contact, ("none", "one")) for contact in range(300)))
    assert found == [[None, replace(ENTRY, body=b"%d" % contact)] for contact in range(300)]


async def test_what_is_asked_for_together_travels_together(cache: RedisCache, client: Redis) -> None:
    await keep(cache, 1, "one")
    await got(cache, 1, "one")  # the connection is made
    before = await client.info("stats")
    await asyncio.gather(*(cache.get(1, ("one",)) for _ in range(25)), *(cache.head(1, "one") for _ in range(25)))
    after = await client.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] >= 50
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 4  # of sockets; one is this client's


async def test_a_contact_is_one_hash_of_one_field_a_rendition_with_a_time_to_live(
    cache: RedisCache, client: Redis
) -> None:
    await keep(cache, 42, "one")
    await keep(cache, 42, "two")
    key = cache.key(42)
    assert key.endswith(":{42}")
    assert set(await client.hkeys(key)) == {b"one", b"two"}
    assert 0 < await client.ttl(key) <= 60


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"not what was put",
        b"\x80\x04pickled",
        pack(ENTRY, PLACE)[:-1],
        pack(ENTRY, PLACE) + b"x",
        pack(ENTRY, PLACE)[:10],
    ],
    ids=["empty", "foreign", "pickle", "cut short", "too long", "half a head"],
)
async def test_a_damaged_value_is_a_miss_and_is_replaced(cache: RedisCache, client: Redis, value: bytes) -> None:
    await keep(cache, 42, "one")
    await client.hset(cache.key(42), "one", value)
    assert await got(cache, 42, "one") is None
    assert await cache.head(42, "one") is None
    await keep(cache, 42, "one")
    assert await got(cache, 42, "one") == ENTRY


async def test_a_foreign_value_under_our_key_is_a_miss_and_gives_way(cache: RedisCache, client: Redis) -> None:
    await client.set(cache.key(42), b"somebody else's")
    assert await got(cache, 42, "one") is None
    assert await cache.head(42, "one") is None
    await keep(cache, 42, "one")
    assert await got(cache, 42, "one") == ENTRY


async def test_a_value_of_another_place_is_a_miss(cache: RedisCache, client: Redis) -> None:
    await keep(cache, 42, "one")
    value = await client.hget(cache.key(42), "one")
    await client.hset(cache.key(42), "two", value)
    await client.hset(cache.key(43), "one", value)
    assert await cache.get(42, ("one", "two")) == [ENTRY, None]
    assert await got(cache, 43, "one") is None


async def test_the_number_of_renditions_of_a_contact_is_bounded_and_its_record_stays(
    cache: RedisCache, client: Redis
) -> None:
    await keep(cache, 42, RECORD)
    for width in range(100):
        await keep(cache, 42, f"{width}:0")
    assert await client.hlen(cache.key(42)) == 8
    assert await got(cache, 42, "99:0") == ENTRY
    assert await got(cache, 42, RECORD) == ENTRY


@given(st.builds(Entry, short, st.floats(0, 1e10), short, st.binary(max_size=2_000)))
def test_a_frame_comes_back_as_it_went(entry: Entry) -> None:
    value = pack(entry, PLACE)
    assert unpack(value, PLACE) == entry
    assert unpack_head(value[:LONGEST_HEAD], len(value)) == EntryHead(entry.version, entry.detail, len(entry.body))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_other_bytes_are_no_frame(data: bytes, cut: int) -> None:
    value = pack(ENTRY, PLACE)
    assert unpack(data, PLACE) is None
    unpack_head(data, len(data))  # raises nothing
    if cut < len(value):
        assert unpack(value[:cut], PLACE) is None


@given(st.integers(0, len(pack(ENTRY, PLACE)) - 1), st.integers(1, 255))
def test_a_frame_with_a_byte_changed_is_none(at: int, change: int) -> None:
    value = bytearray(pack(ENTRY, PLACE))
    value[at] ^= change
    assert unpack(bytes(value), PLACE) is None
    unpack_head(bytes(value[:LONGEST_HEAD]), len(value))  # raises nothing
