"""A shared cache in this process's memory, for tests: an adapter of `SharedCache` without a server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from service.pictures.ports import CacheUnavailable, FenceToken, HeldLease, Lease
from service.pictures.values import ABSENCE, RECORD, Entry, EntryHead, MezzanineOwner, Owner, contact_of


class StubServer:
    """The state that the `StubCache`s of a fleet share. While *error* is set, they raise it."""

    def __init__(self) -> None:
        self.error: CacheUnavailable | None = None
        self.entries: dict[Owner, dict[str, Entry]] = {}
        self.fences: dict[Owner, bytes] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        """The token of each lease, and its end by the loop's clock."""
        self.waiting: dict[str, asyncio.Event] = {}
        self.caches: list[StubCache] = []
        self.stores: set[str] = set()


class StubCache:
    """A process's connection to *server*. Its leases last *lease* seconds unless they are renewed."""

    _tokens = itertools.count()

    def __init__(self, server: StubServer, *, lease: float = 2.0) -> None:
        self.server, self._lease = server, lease
        self._on_purge: Callable[[int | None], None] = lambda _: None
        self.set_subscribed: Callable[[bool], None] = lambda _: None

    def subscribe(self, on_purge: Callable[[int | None], None], on_change: Callable[[bool], None]) -> None:
        def changed(up: bool) -> None:
            if up:
                on_purge(None)  # calls may have been lost
            on_change(up)

        self._on_purge, self.set_subscribed = on_purge, changed
        self.server.caches.append(self)
        changed(self.server.error is None)

    async def get(self, owner: Owner, fields: Sequence[str]) -> list[Entry | None]:
        self._answer()
        return [self.server.entries.get(owner, {}).get(field) for field in fields]

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        (entry,) = await self.get(owner, (field,))
        return None if entry is None else EntryHead(entry.version, entry.detail, len(entry.body))

    async def fence(self, owner: Owner) -> FenceToken:
        self._answer()
        return FenceToken(self.server.fences.setdefault(contact_of(owner), self._token().encode()))

    async def acquire(self, owner: Owner, field: str, version: str) -> Entry | FenceToken:
        (entry,) = await self.get(owner, (field,))
        if entry is not None and entry.version == version:
            return entry
        fence, name, now = (await self.fence(owner)).fence, f"{owner}:{field}", asyncio.get_running_loop().time()
        _, end = self.server.leases.get(name, ("", 0.0))
        if end > now:
            return FenceToken(fence, held=HeldLease(end - now, self.server.waiting[name]))
        lease = Lease(name, self._token(), self._lease)
        self.server.leases[name] = lease.token, now + lease.seconds
        self.server.waiting[name] = asyncio.Event()
        return FenceToken(fence, lease)

    async def is_led(self, owner: Owner, field: str) -> bool:
        self._answer()
        _, end = self.server.leases.get(f"{owner}:{field}", ("", 0.0))
        return end > asyncio.get_running_loop().time()

    async def put(
        self, owner: Owner, field: str, entry: Entry, token: FenceToken, *, life: float, sole: bool = False
    ) -> bool:
        self._answer()
        valid = self.server.fences.get(contact_of(owner)) == token.fence
        if valid:
            kept = self.server.entries.get(owner, {})
            if sole and RECORD in kept and kept[RECORD].version:
                self.server.entries[owner] = kept | {ABSENCE: entry}
            else:
                kept = {} if sole else kept
                self.server.entries[owner] = kept | {field: entry}
                if field == RECORD:
                    self.server.entries[owner].pop(ABSENCE, None)
        if token.lease is not None:
            await self.release(token.lease)
        return valid

    async def renew(self, lease: Lease) -> bool:
        self._answer()
        now = asyncio.get_running_loop().time()
        token, end = self.server.leases.get(lease.name, ("", 0.0))
        if token != lease.token or end <= now:
            return False
        self.server.leases[lease.name] = token, now + lease.seconds
        return True

    async def release(self, lease: Lease) -> None:
        self._answer()
        if self.server.leases.get(lease.name, ("", 0.0))[0] == lease.token:
            del self.server.leases[lease.name]
            self.server.waiting.pop(lease.name).set()

    async def announce(self, contact: int) -> None:
        self._answer()
        for each in self.server.caches:
            if each is not self:
                each._on_purge(contact)

    async def purge(self, contact: int | None) -> None:
        self._answer()
        if contact is None:
            self.server.entries.clear()
            self.server.fences.clear()
            for each in self.server.caches:
                each._on_purge(None)
        else:
            for owner in (contact, MezzanineOwner(contact)):
                self.server.entries.pop(owner, None)
            self.server.fences.pop(contact, None)
            await self.announce(contact)

    async def check(self) -> str:
        self._answer()
        return "stub"

    async def stores(self, own: str | None) -> list[str]:
        self._answer()
        self.server.stores |= {own} if own else set()
        return list(self.server.stores)

    async def close(self) -> None:
        if self in self.server.caches:
            self.server.caches.remove(self)

    def _answer(self) -> None:
        if self.server.error is not None:
            raise self.server.error

    def _token(self) -> str:
        return str(next(self._tokens))
