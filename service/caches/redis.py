"""The Redis cache: one hash per contact, one field per rendition, one time to live; news of purges and arrivals.

Works with Redis 7.0 or newer and with Valkey. Raises `CacheUnavailable` for whatever goes wrong with the server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from service.caches import scripts
from service.caches.entry_format import LONGEST_HEAD, pack, unpack, unpack_head
from service.caches.pipeline import Pipeline
from service.caches.subscription import Subscription
from service.caches.tls import disagreement
from service.pictures.ports import CacheFull, CacheUnavailable, Grant, Listener
from service.pictures.values import RECORD, Entry, EntryHead, MezzanineOwner, Owner, contact_of

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds for whatever no request waits for, and for a purge."""
_DIGITS = 10
"""Of a contact's id at most."""
_ALL = "*"
_FOREIGN = "the answer is no Redis server's"
_SCANNED = 500
"""Keys that are looked through at a time when everything is dropped."""


class RedisCache:
    """A `SharedCache` on a Redis or Valkey server.

    *timeout* bounds a look-up, in seconds; leading, which saves a render, may take twice as long. Everything is tried
    once: the library's own retries stall a request for a minute when the server is frozen. *lease* is how long a lead
    lasts unless it is renewed, and *fence* how long a put may come after its fence was taken, in seconds.
    """

    def __init__(self, url: str, *, prefix: str, timeout: float, max_fields: int, lease: float, fence: float) -> None:
        # A connection each: a large put must not hold up a look-up.
        pool, self._url = _pool(url), url
        self._read, self._lead = Pipeline(pool, timeout=timeout), Pipeline(pool, timeout=2 * timeout)
        self._write = Pipeline(pool, timeout=_PATIENCE)
        self._client = Redis.from_pool(pool)
        self._prefix, self._max_fields = prefix, max_fields
        self._lease, self._fence = _ms(lease), _ms(fence)
        self._me = secrets.token_hex(6)
        self._news: Subscription | None = None

    def key(self, owner: Owner) -> str:
        """The hash of all of a contact's renditions; its mezzanine's is beside it, in the same slot of a cluster."""
        if isinstance(owner, MezzanineOwner):
            return f"{self._prefix}:{{{owner.contact}}}:mezzanine"
        return f"{self._prefix}:{{{owner}}}"

    def listen(self, listener: Listener) -> None:
        def heard(message: str) -> None:
            kind, _, rest = message.partition(" ")
            if kind == "arrived":
                listener.arrived(rest)
            elif kind == "purged":
                sender, _, contact = rest.partition(" ")
                if contact == _ALL:
                    listener.purged(None)
                elif sender != self._me and contact.isdecimal() and len(contact) <= _DIGITS:
                    listener.purged(int(contact))

        explain = partial(disagreement, self._url)
        self._news = Subscription(self._client, f"{self._prefix}:news", heard, listener.listening, explain)

    async def get(self, owner: Owner, fields: Sequence[str]) -> list[Entry | None]:
        try:
            values = await self._read.ask("HMGET", key := self.key(owner), *fields)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return [None] * len(fields)  # somebody else's value sits under our key
            raise CacheUnavailable(str(error)) from error
        if not isinstance(values, list) or len(values) != len(fields):
            raise CacheUnavailable(_FOREIGN)
        found = zip(fields, values, strict=True)
        return [unpack(value, _place(key, field)) if isinstance(value, bytes) else None for field, value in found]

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        try:
            match await self._read.ask("EVAL", scripts.HEAD, 1, self.key(owner), field, LONGEST_HEAD):
                case [bytes(beginning), int(size)]:
                    return unpack_head(beginning, size)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise CacheUnavailable(str(error)) from error
        return None

    async def lead(self, owner: Owner, field: str, version: str) -> Entry | Grant:
        lock, token = self.arrival(owner, field), secrets.token_hex(8)
        answer = await self._leave(self._lead, owner, lock, token, self._lease, field, version)
        if len(answer) == 1:
            if (entry := unpack(answer[0], _place(self.key(owner), field))) is not None:
                return entry
            answer = await self._leave(self._lead, owner, lock, token, self._lease, "", "")  # it is damaged
        _, fence, others = answer
        return Grant(fence, None if others else (lock, token), others / 1000)

    async def fence(self, owner: Owner) -> Grant:
        _, fence, _ = await self._leave(self._read, owner, self.arrival(owner, ""), secrets.token_hex(8), 0, "", "")
        return Grant(fence)

    async def put(
        self, owner: Owner, field: str, entry: Entry, grant: Grant, *, life: float, alone: bool = False
    ) -> bool:
        keys = [key := self.key(owner), self._fence_of(owner)]
        value = pack(entry, _place(key, field))
        args: list[str | bytes | int] = [field, value, grant.fence, self._max_fields, _ms(life), RECORD, int(alone)]
        if grant.lock is not None:
            lock, token = grant.lock
            keys.append(lock)
            args += (token, self._channel, f"arrived {lock}")
        return bool(await _done(self._write.ask("EVAL", scripts.PUT, len(keys), *keys, *args)))

    async def renew(self, grant: Grant) -> bool:
        assert grant.lock is not None
        lock, token = grant.lock
        return bool(await _done(self._write.ask("EVAL", scripts.RENEW, 1, lock, token, self._lease)))

    async def release(self, grant: Grant) -> None:
        assert grant.lock is not None
        lock, token = grant.lock
        await _done(self._write.ask("EVAL", scripts.RELEASE, 1, lock, token, self._channel, f"arrived {lock}"))

    def arrival(self, owner: Owner, field: str) -> str:
        return f"{self.key(owner)}:lead:{field}"

    async def tell(self, contact: int) -> None:
        await _done(self._write.ask("PUBLISH", self._channel, self._purged(contact)))

    async def purge(self, contact: int) -> None:
        keys = self.key(contact), self.key(MezzanineOwner(contact)), self._fence_of(contact)
        await _done(self._write.ask("EVAL", scripts.PURGE, 3, *keys, self._channel, self._purged(contact)))

    async def purge_all(self) -> None:
        await _done(self._drop(f"{self._prefix}:{{*:fence"))  # at first, so that nothing old comes after
        await _done(self._drop(f"{self._prefix}:{{*"))
        await _done(self._write.ask("PUBLISH", self._channel, self._purged(_ALL)))

    async def check(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                info = await _done(self._client.info("server", "memory"))
        except (TimeoutError, CacheUnavailable) as error:
            if (reason := await disagreement(self._url)) is not None:
                raise CacheUnavailable(reason) from error
            if isinstance(error, TimeoutError):
                raise CacheUnavailable(f"no answer within {_PATIENCE:g} s") from error
            raise
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version")
        limit = int(info.get("maxmemory", 0))
        bound = f"{limit:,} bytes, {info.get('maxmemory_policy')}" if limit else "no memory limit"
        return f"{name} {version}, {bound}"

    async def close(self) -> None:
        if self._news is not None:
            await self._news.close()
        for pipeline in (self._read, self._lead, self._write):
            await pipeline.close()
        await self._client.aclose()

    @property
    def _channel(self) -> str:
        return f"{self._prefix}:news"

    def _purged(self, what: int | str) -> str:
        return f"purged {self._me} {what}"

    def _fence_of(self, owner: Owner) -> str:
        return f"{self._prefix}:{{{contact_of(owner)}}}:fence"

    async def _leave(
        self, pipeline: Pipeline, owner: Owner, lock: str, token: str, lease: int, field: str, version: str
    ) -> list[Any]:
        keys = self.key(owner), self._fence_of(owner), lock
        match await _done(pipeline.ask("EVAL", scripts.LEAD, 3, *keys, token, self._fence, lease, field, version)):
            case [bytes(value)] if field:
                return [value]
            case [_, bytes(fence), int(others)]:
                return [None, fence, others]
        raise CacheUnavailable(_FOREIGN)

    async def _drop(self, pattern: str) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._client.scan(cursor, match=pattern, count=_SCANNED)
            if keys:
                await self._client.unlink(*keys)
            if not cursor:
                return


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        protocol=2,  # whose connections say nothing unasked
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )


def _place(key: str, field: str) -> str:
    """What a value is sealed for: one that was kept, or answered, for another is none."""
    return f"{key} {field}"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


async def _done(call: Awaitable[T]) -> T:
    try:
        return await call
    except CacheUnavailable:
        raise
    except ResponseError as error:
        raise (CacheFull if str(error).startswith("OOM") else CacheUnavailable)(str(error)) from error
    except Exception as error:  # the library's own mistakes too: the cache must never fail a request
        raise CacheUnavailable(f"{type(error).__name__}: {error}") from error
