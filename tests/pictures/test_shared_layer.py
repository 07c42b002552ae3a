"""Background calls to the shared cache: their order within one contact, and their independence across contacts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.pictures.caching.shared_layer import SharedLayer
from service.pictures.values import MezzanineOwner, Owner
from service.web.metrics import Metrics
from tests.caches.stub import StubCache, StubServer
from tests.waiting import until


def layer() -> SharedLayer:
    return SharedLayer(StubCache(StubServer()), Metrics())


def noting(name: str, notes: list[str], gate: asyncio.Event | None = None) -> Callable[[object], Awaitable[None]]:
    """Return a call that waits for *gate* and then adds *name* to *notes*."""

    async def call(_: object) -> None:
        if gate is not None:
            await gate.wait()
        notes.append(name)

    return call


async def test_a_call_after_others_waits_for_the_calls_of_its_contact() -> None:
    shared, notes, put = layer(), [], asyncio.Event()
    owners: tuple[Owner, ...] = (1, MezzanineOwner(1))
    for owner in owners:
        shared.in_background(owner, noting("put", notes, put))
    shared.in_background(1, noting("release", notes), after_others=True)
    await asyncio.sleep(0.05)
    assert notes == []
    put.set()
    await shared.settle()
    assert notes == ["put", "put", "release"]


async def test_a_call_after_others_does_not_wait_for_the_calls_of_other_contacts() -> None:
    shared, notes, never = layer(), [], asyncio.Event()
    for contact in range(2, 500):
        shared.in_background(contact, noting("put", notes, never))
    shared.in_background(1, noting("release", notes), after_others=True)
    await until(lambda: notes == ["release"])
    never.set()
    await shared.settle()
