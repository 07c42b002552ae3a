"""The resources `Imageinfo`: the stored pictures of one contact or of many, as SuperOffice's `BlobEntity`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from aiohttp import web

from service.pictures.values import RECORD, Original
from service.pictures.writes import stored_original
from service.protocol.blob_entity import NO_PICTURE, blob_entity, blob_id
from service.protocol.query import parse_contact_ids
from service.protocol.time_zones import HEADER, parse_time_zone
from service.web.access_log import ANSWER, Answer
from service.web.connections import Connection
from service.web.headers import uncached
from service.web.keys import METRICS, NEW_TRACE, STORE, THUMB_HASHES
from service.web.request_values import Handler, contact_id

_AT_ONCE = 8
"""Contacts of lists that are looked up in the store at the same time, so that other requests come between them."""


async def imageinfo(request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD from the store instead of the cache, so that a change anywhere is seen at once."""
    contact, zone = contact_id(request), await _zone(request)
    entities = await _entities(request.app, [contact], zone, nullcontext())
    request[ANSWER] = Answer(contact, RECORD, "store", hit=False)
    return web.json_response(entities[contact], headers=uncached(contact))


def imageinfos() -> Handler:
    """Return the handler of GET and HEAD that answers with the entities of all contacts in `ids`, by id."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def answer(request: web.Request) -> web.StreamResponse:
        contacts, zone = parse_contact_ids(request.rel_url.raw_query_string), await _zone(request)
        connection = request.protocol
        assert isinstance(connection, Connection)
        with connection.cancelled_if_lost():
            entities = await _entities(request.app, contacts, zone, free)
        request[ANSWER] = Answer(None, RECORD, "store", hit=False)
        return web.json_response({str(contact): each for contact, each in entities.items()}, headers=uncached())

    return answer


async def _zone(request: web.Request) -> tzinfo:
    name = parse_time_zone(", ".join(request.headers.getall(HEADER, ())))
    # In a thread, because it reads a file. `ZoneInfo` caches the zones that were used last.
    return UTC if name is None else await asyncio.to_thread(ZoneInfo, name)


async def _entities(
    app: web.Application, contacts: Iterable[int], zone: tzinfo, free: AbstractAsyncContextManager[object]
) -> dict[int, dict[str, object]]:
    """Return the entities of *contacts*, with dates in *zone*. Each is looked up while *free* is held."""

    async def find(contact: int) -> Original | None:
        async with free:
            app[METRICS].store_read()
            with app[NEW_TRACE]().timed("store"):
                return await stored_original(app[STORE], contact)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {contact: group.create_task(find(contact)) for contact in contacts}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # it has a status
    found = {contact: task.result() for contact, task in tasks.items()}
    hashes = await app[THUMB_HASHES].of(each for each in found.values() if each is not None and _is_readable(each))
    return {
        contact: NO_PICTURE if original is None else _entity(original, zone, hashes.get(contact))
        for contact, original in found.items()
    }


def _entity(original: Original, zone: tzinfo, thumb_hash: str | None) -> dict[str, object]:
    readable = _is_readable(original)
    return blob_entity(
        blob_id(original.contact, original.version),
        original.size,
        original.format.media_type if readable else None,
        original.modified,
        zone,
        original.dimensions if readable else None,
        thumb_hash,
    )


def _is_readable(original: Original) -> bool:
    return original.fault is None or not original.fault.permanent
