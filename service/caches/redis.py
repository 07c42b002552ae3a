"""The Redis cache: one hash per contact, two fields per rendition (its head and its body), one time to live.

Works with Redis 7.0 or newer and with Valkey. Raises `CacheUnavailable` for whatever goes wrong with the server.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import TypeVar, cast
from zlib import crc32

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from service.pictures.ports import CacheUnavailable
from service.pictures.values import Entry, EntryHead, MezzanineOf, Owner

T = TypeVar("T")

_VERSION = 1
"""Of the encoding. A value of another version is a miss, and is replaced."""

_PUT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[1]) end
local body, head, limit = ARGV[1], 'head:' .. ARGV[1], tonumber(ARGV[4])
if redis.call('HLEN', KEYS[1]) >= limit and redis.call('HEXISTS', KEYS[1], head) == 0 then
  local victim = string.gsub(redis.call('HRANDFIELD', KEYS[1]), '^head:', '')
  redis.call('HDEL', KEYS[1], victim, 'head:' .. victim)
end
redis.call('HSET', KEYS[1], body, ARGV[2], head, ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
"""


class RedisCache:
    """A `RenditionCache` on a Redis or Valkey server.

    *timeout* bounds a look-up's wait for the server and *put_timeout* a put's, in seconds. Both are tried
    once: the library's own retries stall a request for a minute when the server is frozen.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        timeout: float,
        put_timeout: float,
        connections: int,
        kept_for: int,
        mezzanine_for: int,
        max_fields: int,
    ) -> None:
        self._reader = _client(url, timeout, connections)
        self._writer = _client(url, put_timeout, max(1, connections // 4))  # a slow put must not hold up a look-up
        self._put = self._writer.register_script(_PUT)
        self._prefix, self._max_fields = prefix, max_fields
        self._kept_for, self._mezzanine_for = kept_for, mezzanine_for

    def key(self, owner: Owner) -> str:
        """The hash of all of a contact's renditions; its mezzanine's is beside it, in the same slot of a cluster."""
        if isinstance(owner, MezzanineOf):
            return f"{self._prefix}:{{{owner.contact}}}:mezzanine"
        return f"{self._prefix}:{{{owner}}}"

    async def get(self, owner: Owner, field: str) -> Entry | None:
        head, body = await self._read(owner, [f"head:{field}", field])
        parsed = _parse_head(head)
        if parsed is None or body is None or len(body) != parsed.length or crc32(body) != parsed.checksum:
            return None
        return Entry(parsed.version, parsed.stored_at, parsed.detail, body)

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        (head,) = await self._read(owner, [f"head:{field}"])
        parsed = _parse_head(head)
        return EntryHead(parsed.version, parsed.detail, parsed.length) if parsed else None

    async def put(self, owner: Owner, field: str, entry: Entry) -> None:
        body = entry.body
        head = json.dumps([_VERSION, entry.version, entry.stored_at, entry.detail, len(body), crc32(body)])
        limit = 2 * self._max_fields
        life = self._mezzanine_for if isinstance(owner, MezzanineOf) else self._kept_for
        await _answer(self._put(keys=[self.key(owner)], args=[field, body, head, limit, life]))

    async def check(self) -> str:
        info = await _answer(self._writer.info("server", "memory"))
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version")
        limit = int(info.get("maxmemory", 0))
        bound = f"{limit:,} bytes, {info.get('maxmemory_policy')}" if limit else "no memory limit"
        return f"{name} {version}, {bound}"

    async def close(self) -> None:
        await self._reader.aclose()
        await self._writer.aclose()

    async def _read(self, owner: Owner, fields: list[str]) -> list[bytes | None]:
        try:
            got = await _answer(cast(Awaitable[list[bytes | None]], self._reader.hmget(self.key(owner), fields)))
        except _Foreign:
            return [None] * len(fields)
        if not isinstance(got, list) or len(got) != len(fields) or not all(isinstance(x, bytes | None) for x in got):
            raise CacheUnavailable("the answer is no Redis server's")
        return got


def _client(url: str, timeout: float, connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=3,
        max_connections=connections,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


class _Foreign(CacheUnavailable):
    """Somebody else's value sits under our key."""


class _Head:
    __slots__ = ("checksum", "detail", "length", "stored_at", "version")

    def __init__(self, version: str, stored_at: float, detail: str, length: int, checksum: int) -> None:
        self.version, self.stored_at, self.detail = version, stored_at, detail
        self.length, self.checksum = length, checksum


def _parse_head(text: bytes | None) -> _Head | None:
    """The head, or None when it is missing, damaged, foreign or of another version."""
    if text is None:
        return None
    try:
        match json.loads(text):
            case [int(written), str(version), float(at) | int(at), str(detail), int(length), int(checksum)]:
                return _Head(version, at, detail, length, checksum) if written == _VERSION else None
    except (ValueError, RecursionError):
        return None
    return None


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            raise _Foreign(str(error)) from error
        raise CacheUnavailable(str(error)) from error
    except Exception as error:  # the library's own mistakes too: the cache must never fail a request
        raise CacheUnavailable(f"{type(error).__name__}: {error}") from error
