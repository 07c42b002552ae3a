"""The shared cache in Redis 7.0 or newer, or in Valkey: a hash for each contact, with a field for each rendition.

Every failure of the server raises `CacheUnavailable`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from service.caches import scripts
from service.caches.entry_format import LONGEST_HEAD, EntryFormat
from service.caches.generation import Generation
from service.caches.news import ALL, News, arrived
from service.caches.pipeline import Command, Pipeline, ReplyTooLarge
from service.caches.subscription import Subscription
from service.caches.tls import disagreement
from service.pictures.ports import CacheFull, CacheUnavailable, FenceToken, HeldLease, Lease, Lookup
from service.pictures.values import ABSENCE, RECORD, Entry, EntryHead, MezzanineOwner, Owner, contact_of

T = TypeVar("T")

_TIMEOUT = 1.0
"""Seconds for a purge, and for every command that no request waits for."""
_FOREIGN = "the answer is no Redis server's"
_RECORD_BYTES = 65_536
"""Bytes that a reply may have besides its largest value: a record, which is looked up together with a rendition."""
_LARGE = 262_144
"""Bytes of the largest body that is kept in its entry's field, and received together with records."""
_STORE_NOTED = 60
"""Seconds for which the identity of a store is kept after it was noted."""
_SCAN_COUNT = 500
"""Keys in one step of a scan."""


class RedisCache:
    """A `SharedCache` on a Redis or Valkey server.

    A lookup has *timeout* seconds, and `acquire` twice as many, since it saves a render. A lease lasts *lease* seconds
    unless it is renewed. A put may follow its fence by *fence* seconds. Every command is tried once: with the library's
    retries, a frozen server would delay a request for a minute. A value that is larger than an entry with a body of
    *max_body* bytes is a miss: the server drops it, and it is not received to its end.

    A body above `_LARGE` bytes has a field of its own, and the field of its entry has a reference. It is received over
    a connection of its own, so that no other lookup waits behind it.

    Values are sealed with *secret*. *count* is called with "foreign" for each value that is not the fleet's, besides
    being a miss, and with "unknown_news" for each message that is not.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        prefix: str,
        timeout: float,
        max_body: int,
        max_fields: int,
        lease: float,
        fence: float,
        count: Callable[[Lookup], None] = lambda outcome: None,
    ) -> None:
        # Four connections: neither a large put nor a large body must delay a lookup.
        self._pool = pool = _pool(url)
        self._url, self._max_value = url, max_body + LONGEST_HEAD
        self._format, self._count = EntryFormat(secret), count
        self._prefix, self._channel, self._max_fields = prefix, f"{prefix}:news", max_fields
        self._lease, self._fence = lease, _milliseconds(fence)
        self._process = secrets.token_hex(6)
        self._generation = Generation(f"{prefix}:generation", self._channel, self._process)
        most = self._max_value + _RECORD_BYTES
        pipeline = partial(Pipeline, pool, max_reply=most, greeting=self._generation.greeting)
        self._read, self._large = (pipeline(timeout=timeout, on_too_large=self._drop_too_large) for _ in range(2))
        self._leases, self._write = pipeline(timeout=2 * timeout), pipeline(timeout=_TIMEOUT)
        self._generation.ask = self._write.ask
        self._client = Redis.from_pool(pool)
        self._watching: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._news = News(prefix, self._process, self._generation, count)

    def key(self, owner: Owner) -> str:
        """Return the key of the owner's hash. All keys of a contact are in the same slot of a cluster."""
        if isinstance(owner, MezzanineOwner):
            return f"{self._prefix}:{{{owner.contact}}}:mezzanine"
        return f"{self._prefix}:{{{owner}}}"

    def subscribe(self, on_purge: Callable[[int | None], None], on_change: Callable[[bool], None]) -> None:
        def changed(up: bool) -> None:
            on_change(up)
            if not up:  # the ends of leases are not received now
                self._news.wake_all()

        self._news.on_purge, lost = on_purge, partial(on_purge, None)
        self._generation.on_loss = partial(self._news.purge, None)
        self._watching = asyncio.create_task(self._generation.watch())
        self._subscription = Subscription(
            self._pool, self._channel, self._news.receive, changed, lost, partial(disagreement, self._url)
        )

    def get(self, owner: Owner, fields: Sequence[str]) -> Coroutine[Any, Any, list[Entry | None]]:
        return self._look_up(self._read, self.key(owner), fields)

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        key, head = self.key(owner), None
        try:
            match await self._read.ask("EVAL", scripts.HEAD, 1, key, self._max_value, field, LONGEST_HEAD):
                case [bytes(beginning), int(size)]:
                    head = self._format.unpack_head(beginning, size, _place(key, field, self._generation.epoch))
                    if head is None:
                        self._count("foreign")
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise CacheUnavailable(str(error)) from error
        return head

    async def fence(self, owner: Owner) -> FenceToken:
        name = self._lease_name(owner, "")
        _, fence, _ = await self._run_acquire(self._read, owner, name, secrets.token_hex(8), 0, "", "")
        return FenceToken(fence)

    async def acquire(self, owner: Owner, field: str, version: str) -> Entry | FenceToken:
        name, token, lease = self._lease_name(owner, field), secrets.token_hex(8), _milliseconds(self._lease)
        ended = self._news.awaited.setdefault(name, asyncio.Event())  # before the command: the lease may end at once
        try:
            answer = await self._run_acquire(self._leases, owner, name, token, lease, field, version)
            if len(answer) == 1:
                entry = self._entry(key := self.key(owner), field, answer[0])
                if isinstance(entry, EntryHead):
                    entry = await self._referred(key, field)
                if entry is not None and entry.version == version:
                    return entry
                answer = await self._run_acquire(self._leases, owner, name, token, lease, "", "")  # it is damaged
        except asyncio.CancelledError:
            self._ask_release(self._leases, Lease(name, token, self._lease))  # over the same connection, so it follows
            raise
        _, fence, held = answer
        if held:
            return FenceToken(fence, held=HeldLease(held / 1000, ended))
        return FenceToken(fence, Lease(name, token, self._lease))

    async def is_led(self, owner: Owner, field: str) -> bool:
        return bool(await _done(self._read.ask("EXISTS", self._lease_name(owner, field))))

    async def put(
        self, owner: Owner, field: str, entry: Entry, token: FenceToken, *, life: float, sole: bool = False
    ) -> bool:
        keys = [key := self.key(owner), self._fence_key(owner)]
        fence, _, epoch = token.fence.rpartition(b" ")
        place, body_field, body = _place(key, field, epoch.decode()), _body_field(field), b""
        if len(entry.body) > _LARGE:
            value = self._format.pack_reference(entry, place)
            body = self._format.pack(entry, _place(key, body_field, epoch.decode()))
        else:
            value = self._format.pack(entry, place)
        args: list[str | bytes | int] = [field, value, fence, self._max_fields, _milliseconds(life), RECORD]
        absence = self._format.pack(entry, _place(key, ABSENCE, epoch.decode())) if sole else b""
        args += absence, body_field, body
        if (lease := token.lease) is not None:
            keys.append(lease.name)
            args += (lease.token, self._channel, arrived(lease))
        return bool(await _done(self._write.ask("EVAL", scripts.PUT, len(keys), *keys, *args)))

    async def renew(self, lease: Lease) -> bool:
        life = _milliseconds(lease.seconds)
        return bool(await _done(self._write.ask("EVAL", scripts.RENEW, 1, lease.name, lease.token, life)))

    async def release(self, lease: Lease) -> None:
        await _done(self._ask_release(self._write, lease))

    async def announce(self, contact: int) -> None:
        await _done(self._write.ask("PUBLISH", self._channel, f"purged {self._process} {contact}"))

    async def purge(self, contact: int | None) -> None:
        if contact is None:
            await _done(self._unlink(f"{self._prefix}:{{*:fence"))  # first, so that puts under way are refused
            await _done(self._unlink(f"{self._prefix}:{{*"))
            await self._run_purge(ALL)
        else:
            keys = self.key(contact), self.key(MezzanineOwner(contact)), self._fence_key(contact)
            await self._run_purge(str(contact), *keys)

    async def check(self) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT):
                info = await _done(self._client.info("server", "memory"))
        except (TimeoutError, CacheUnavailable) as error:
            if (reason := await disagreement(self._url)) is not None:
                raise CacheUnavailable(reason) from error
            if isinstance(error, TimeoutError):
                raise CacheUnavailable(f"no answer within {_TIMEOUT:g} s") from error
            raise
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version")
        limit = int(info.get("maxmemory", 0))
        bound = f"{limit:,} bytes, {info.get('maxmemory_policy')}" if limit else "no memory limit"
        return f"{name} {version}, {bound}"

    async def stores(self, own: str | None) -> list[str]:
        args = int(time.time()), _STORE_NOTED, own or ""  # the access list need not allow TIME
        match await _done(self._write.ask("EVAL", scripts.STORES, 1, f"{self._prefix}:stores", *args)):
            case list() as found if all(isinstance(each, bytes) for each in found):
                return [each.decode(errors="replace") for each in found]
        raise CacheUnavailable(_FOREIGN)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._subscription is not None:
            await self._subscription.close()
        for pipeline in (self._read, self._large, self._leases, self._write):
            await pipeline.close()
        await self._client.aclose()

    def _fence_key(self, owner: Owner) -> str:
        return f"{self._prefix}:{{{contact_of(owner)}}}:fence"

    def _lease_name(self, owner: Owner, field: str) -> str:
        return f"{self.key(owner)}:lead:{field}"

    async def _look_up(self, pipeline: Pipeline, key: str, fields: Sequence[str], *, follow: bool = True) -> list[Any]:
        """Return what `_entry` returns for each of *fields*. With *follow*, return entries in place of their heads."""
        try:
            read = partial(self._entries, key, fields)
            found: list[Any] = await pipeline.ask("HMGET", key, *fields, read=read)
        except ReplyTooLarge:
            return [None] * len(fields)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                return [None] * len(fields)  # a foreign value has this key
            raise CacheUnavailable(str(error)) from error
        if follow:
            for at, entry in enumerate(found):
                if isinstance(entry, EntryHead):
                    found[at] = await self._referred(key, fields[at])
        return found

    def _entries(self, key: str, fields: Sequence[str], values: object) -> list[Any]:
        """Return what `_entry` returns for each of the *values* of *fields*, and None for a missing one."""
        if not isinstance(values, list) or len(values) != len(fields):
            raise CacheUnavailable(_FOREIGN)
        for at, value in enumerate(values):
            if value is not None:
                values[at] = self._entry(key, fields[at], value)
        return values

    def _entry(self, key: str, field: str, value: object) -> Entry | EntryHead | None:
        """Return the entry of a value, or its head if the body is in another field. Return None if it is foreign."""
        found = None
        if isinstance(value, memoryview | bytes) and len(value) <= self._max_value:
            found = self._format.unpack(value, _place(key, field, self._generation.epoch))
        if found is None:
            self._count("foreign")
        return found

    async def _referred(self, key: str, field: str) -> Entry | None:
        """Return the entry to which the value in *field* refers. Return None if it is foreign."""
        (entry,) = await self._look_up(self._large, key, (_body_field(field),), follow=False)
        return entry if isinstance(entry, Entry) else None

    def _ask_release(self, pipeline: Pipeline, lease: Lease) -> asyncio.Future[Any]:
        args = lease.token, self._channel, arrived(lease)
        return pipeline.ask("EVAL", scripts.RELEASE, 1, lease.name, *args)

    async def _run_acquire(
        self, pipeline: Pipeline, owner: Owner, lease: str, token: str, life: int, field: str, version: str
    ) -> list[Any]:
        """Run the script ACQUIRE. Return the value, or None, the fence and the milliseconds of a held lease."""
        keys = self.key(owner), self._fence_key(owner), lease
        args = token, self._fence, life, field, version, self._max_value
        match await _done(pipeline.ask("EVAL", scripts.ACQUIRE, 3, *keys, *args)):
            case [bytes(value)] if field:
                return [value]
            case [_, bytes(fence), int(held)] if 0 <= held <= life:
                return [None, b"%b %b" % (fence, self._generation.epoch.encode()), held]
        raise CacheUnavailable(_FOREIGN)

    def _drop_too_large(self, command: Command) -> None:
        """Have the server drop the values that make the reply to *command* too large."""
        if command[0] == "HMGET":
            self._write.ask("EVAL", scripts.DROP_TOO_LARGE, 1, command[1], self._max_value, *command[2:])

    async def _run_purge(self, contact: str, *keys: str) -> None:
        """Run the script PURGE. Raise `CacheUnavailable` unless the reply is its own."""
        known = self._generation
        args = *known.arguments, contact
        reply = await _done(self._write.ask("EVAL", scripts.PURGE, len(keys) + 1, known.key, *keys, *args))
        beginning, end = f"purged {self._process}:", f" {contact}"
        text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
        if not (text.startswith(beginning) and text.endswith(end) and known.heard(text[len(beginning) : -len(end)])):
            raise CacheUnavailable(_FOREIGN)

    async def _unlink(self, pattern: str) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._client.scan(cursor, match=pattern, count=_SCAN_COUNT)
            if keys and not isinstance(await self._client.unlink(*keys), int):
                raise CacheUnavailable(_FOREIGN)
            if not cursor:
                return


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        protocol=2,  # RESP2 connections get no push messages
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def _place(key: str, field: str, epoch: str) -> str:
    """Return what the seal of a value covers besides it. Neither epochs nor keys have spaces."""
    return f"{epoch} {key} {field}"


def _body_field(field: str) -> str:
    return f"{field} body"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


async def _done(call: Awaitable[T]) -> T:
    """Return the result of *call*. Raise `CacheUnavailable` for every exception."""
    try:
        return await call
    except CacheUnavailable:
        raise
    except ResponseError as error:
        raise (CacheFull if str(error).startswith("OOM") else CacheUnavailable)(str(error)) from error
    except Exception as error:  # errors of the library too: the cache must not fail a request
        raise CacheUnavailable(f"{type(error).__name__}: {error}") from error
