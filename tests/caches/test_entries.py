"""Stored values: their format and keys; damaged and foreign values are misses."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from service.caches.entry_format import LONGEST_HEAD, EntryFormat
from service.caches.redis import RedisCache
from service.pictures.values import RECORD, Entry, EntryHead
from tests.caches.conftest import ENTRY, SECRET, found, keep

PLACE = " prefix:{42} one"
FORMAT = EntryFormat(SECRET)
WHOLE = FORMAT.pack(ENTRY, PLACE)
HEAD = len(FORMAT.pack_reference(ENTRY, PLACE))
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


async def test_concurrent_lookups_are_sent_together(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 1, "one")
    await found(redis, 1, "one")  # makes the connection
    before = await client.info("stats")
    await asyncio.gather(*(redis.get(1, ("one",)) for _ in range(25)), *(redis.head(1, "one") for _ in range(25)))
    after = await client.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] >= 50
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 4  # one is the plain client's


async def test_contact_is_a_hash_with_a_field_for_each_rendition_and_a_time_to_live(
    redis: RedisCache, client: Redis
) -> None:
    await keep(redis, 42, "one")
    await keep(redis, 42, "two")
    key = redis.key(42)
    assert key.endswith(":{42}")
    assert set(await client.hkeys(key)) == {b"one", b"two"}
    assert 0 < await client.ttl(key) <= 60


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"not what was put",
        b"\x80\x04pickled",
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE[:10],
    ],
    ids=["empty", "foreign", "pickle", "cut short", "too long", "half a head"],
)
async def test_damaged_value_is_a_miss_and_is_replaced(redis: RedisCache, client: Redis, value: bytes) -> None:
    await keep(redis, 42, "one")
    await client.hset(redis.key(42), "one", value)
    assert await found(redis, 42, "one") is None
    assert await redis.head(42, "one") is None
    await keep(redis, 42, "one")
    assert await found(redis, 42, "one") == ENTRY


async def test_foreign_key_is_a_miss_and_is_replaced(redis: RedisCache, client: Redis) -> None:
    await client.set(redis.key(42), b"foreign")
    assert await found(redis, 42, "one") is None
    assert await redis.head(42, "one") is None
    await keep(redis, 42, "one")
    assert await found(redis, 42, "one") == ENTRY


async def test_value_of_another_place_is_a_miss(redis: RedisCache, client: Redis) -> None:
    await keep(redis, 42, "one")
    value = await client.hget(redis.key(42), "one")
    await client.hset(redis.key(42), "two", value)
    await client.hset(redis.key(43), "one", value)
    assert await redis.get(42, ("one", "two")) == [ENTRY, None]
    assert await found(redis, 43, "one") is None


async def test_number_of_renditions_of_a_contact_is_bounded_and_its_record_stays(
    redis: RedisCache, client: Redis
) -> None:
    await keep(redis, 42, RECORD)
    for width in range(100):
        await keep(redis, 42, f"{width}:0")
    assert await client.hlen(redis.key(42)) == 8
    assert await found(redis, 42, "99:0") == ENTRY
    assert await found(redis, 42, RECORD) == ENTRY


@given(st.builds(Entry, short, st.floats(0, 1e10), short, st.binary(max_size=2_000)))
def test_unpack_returns_what_was_packed(entry: Entry) -> None:
    value, reference = FORMAT.pack(entry, PLACE), FORMAT.pack_reference(entry, PLACE)
    assert FORMAT.unpack(value, PLACE) == entry
    head = EntryHead(entry.version, entry.detail, len(entry.body))
    assert FORMAT.unpack(reference, PLACE) == head
    assert FORMAT.unpack_head(value[:LONGEST_HEAD], len(value), PLACE) == head
    assert FORMAT.unpack_head(reference, len(reference), PLACE) == head


@given(st.binary(max_size=200), st.integers(0, 200))
def test_unpack_rejects_random_and_truncated_bytes(data: bytes, cut: int) -> None:
    assert FORMAT.unpack(data, PLACE) is None
    assert FORMAT.unpack_head(data, len(data), PLACE) is None
    if cut < len(WHOLE):
        assert FORMAT.unpack(WHOLE[:cut], PLACE) is None
        assert FORMAT.unpack_head(WHOLE[:cut], cut, PLACE) is None


@pytest.mark.parametrize("value", [WHOLE, FORMAT.pack_reference(ENTRY, PLACE)], ids=["whole", "reference"])
@given(data=st.data(), change=st.integers(1, 255))
def test_unpack_rejects_a_value_with_a_changed_byte(value: bytes, data: st.DataObject, change: int) -> None:
    changed = bytearray(value)
    changed[at := data.draw(st.integers(0, len(value) - 1))] ^= change
    assert FORMAT.unpack(bytes(changed), PLACE) is None
    if at < HEAD:
        assert FORMAT.unpack_head(bytes(changed), len(changed), PLACE) is None


@pytest.mark.parametrize("secret", ["", "another secret of thirty-two characters"])
def test_unpack_rejects_a_value_of_another_secret(secret: str) -> None:
    other = EntryFormat(secret)
    assert other.unpack(WHOLE, PLACE) is None
    assert other.unpack_head(WHOLE, len(WHOLE), PLACE) is None
    assert FORMAT.unpack(other.pack(ENTRY, PLACE), PLACE) is None


def test_head_of_one_value_does_not_fit_another() -> None:
    another = FORMAT.pack(Entry("1-2-3", ENTRY.stored_at, ENTRY.detail, b"\xff\x00 picture"), PLACE)
    assert FORMAT.unpack(WHOLE[:HEAD] + another[HEAD:], PLACE) is None


def test_value_of_another_place_has_no_head() -> None:
    assert FORMAT.unpack_head(WHOLE, len(WHOLE), PLACE + "x") is None
    assert FORMAT.unpack(WHOLE, PLACE + "x") is None


def test_head_has_a_largest_length() -> None:
    long = Entry("v" * LONGEST_HEAD, 1.0, "", b"")
    assert FORMAT.unpack(FORMAT.pack(long, PLACE), PLACE) is None
    assert FORMAT.unpack(FORMAT.pack_reference(long, PLACE), PLACE) is None


def test_seals_of_one_value_differ() -> None:
    """Two values under one nonce would tell the key."""
    assert len({FORMAT.pack(ENTRY, PLACE) for _ in range(100)}) == 100


def test_no_text_of_the_format_has_the_secret() -> None:
    assert SECRET not in f"{vars(FORMAT)!r}"
