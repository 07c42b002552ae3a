"""Entries that are put straight into Redis, as copies of those of one contact, and draws of contacts.

The copies are sealed by the service's own cache, so a service finds them as if another process had put them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path
from random import Random

import uvloop
from redis.asyncio import Redis

from service.caches.redis import RedisCache
from service.pictures import records
from service.pictures.values import RECORD, Entry
from service.settings import load_settings
from tools.bench.instruments.bare import ACCEPT
from tools.bench.instruments.processes import get, service

Draw = Callable[[Sequence[int], int, Random], Sequence[int]]
"""Returns this number of the items, in the order in which they are requested."""

_AT_ONCE = 32
"""Contacts that are put at the same time."""
_TRIES = 5
"""Requests for the rendition: on a busy machine the first one may be answered without a put."""
_TIMEOUT = 10.0
"""Seconds that one lookup may take on a busy machine."""


def seed(url: str, images: Path, path: str, source: int, contacts: Iterable[int]) -> None:
    """Have the rendition at *path* of the contact *source* made, and copy it to each of *contacts*.

    *path* has a place for the contact. The folder *images* has the picture of *source*.
    """
    with service(images, cache__url=url, cache__memory_bytes="0", render__queue_timeout="60") as server:
        for _ in range(_TRIES):
            get(server.port, path.format(source), ACCEPT)
    uvloop.run(copy(url, source, contacts))


async def copy(url: str, source: int, contacts: Iterable[int]) -> None:
    """Copy the entries of the contact *source* in the cache at *url* to each of *contacts*."""
    settings = load_settings().cache
    cache = RedisCache(
        url, secret="", prefix=settings.prefix, timeout=_TIMEOUT, max_body=settings.max_entry_bytes,
        max_fields=settings.max_fields, lease=_TIMEOUT, fence=_TIMEOUT,
    )  # fmt: skip
    left = iter(contacts)

    async def put_next() -> None:
        for contact in left:
            token = await cache.fence(contact)
            for field, entry in entries.items():
                copy = _record(entry, contact) if field == RECORD else entry
                if not await cache.put(contact, field, copy, token, life=settings.kept_for):
                    raise SystemExit(f"the cache refused an entry of the contact {contact}")

    try:
        entries = await _entries(url, cache, source)
        await asyncio.gather(*(put_next() for _ in range(_AT_ONCE)))
    finally:
        await cache.close()


def uniform(items: Sequence[int], count: int, random: Random) -> list[int]:
    """Return *count* draws from *items*, each as likely as the others."""
    return random.choices(items, k=count)


def zipf(items: Sequence[int], count: int, random: Random) -> list[int]:
    """Return *count* draws from *items*, whose first one is drawn n times as often as the n-th (exponent 1.0)."""
    weights = accumulate(1 / rank for rank in range(1, len(items) + 1))
    return random.choices(items, cum_weights=list(weights), k=count)


def in_turn(items: Sequence[int]) -> Draw:
    """Return a draw that gives each of *items* once, over all its calls."""
    left = iter(items)

    def draw(_: Sequence[int], count: int, random: Random) -> list[int]:
        drawn = list(islice(left, count))
        if len(drawn) < count:
            raise SystemExit("every contact has been asked: use fewer runs")
        random.shuffle(drawn)
        return drawn

    return draw


async def _entries(url: str, cache: RedisCache, contact: int) -> dict[str, Entry]:
    """Return the entries of *contact* by field: its record and its renditions."""
    async with Redis.from_url(url, decode_responses=True) as client:
        fields = [str(field) for field in await client.hkeys(cache.key(contact))]
    await cache.fence(contact)  # over its connection, the cache learns what the seals depend on
    found = await cache.get(contact, fields) if fields else []
    entries = {field: entry for field, entry in zip(fields, found, strict=True) if entry is not None}
    if RECORD not in entries or len(entries) < 2:
        raise SystemExit(f"the cache has no rendition of the contact {contact}")
    return entries


def _record(entry: Entry, contact: int) -> Entry:
    """Return a record as that of *contact*."""
    original = records.decode(entry.body)
    assert original is not None
    return replace(entry, body=records.encode(replace(original, contact=contact)))
