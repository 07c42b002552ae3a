"""The resources `Imageinfo`: the stored pictures of one contact or of many, as SuperOffice's `BlobEntity`."""

from __future__ import annotations

import asyncio
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from aiohttp import web

from service.pictures.writes import stored_original
from service.protocol.blob_entity import NO_PICTURE, blob_entity, blob_id
from service.protocol.query import parse_contact_ids
from service.protocol.time_zones import HEADER, parse_time_zone
from service.web.headers import uncached
from service.web.keys import METRICS, STORE
from service.web.request_values import contact_id

_AT_ONCE = 8
"""Contacts of one request that are looked up in the store at the same time."""


async def imageinfo(request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD from the store instead of the cache, so that a change anywhere is seen at once."""
    contact, zone = contact_id(request), await _zone(request)
    return web.json_response(await _entity(request.app, contact, zone), headers=uncached(contact))


async def imageinfos(request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD with the entities of all contacts in `ids`, by id."""
    contacts, zone = parse_contact_ids(request.rel_url.raw_query_string), await _zone(request)
    free = asyncio.Semaphore(_AT_ONCE)

    async def entity(contact: int) -> dict[str, object]:
        async with free:
            return await _entity(request.app, contact, zone)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {contact: group.create_task(entity(contact)) for contact in contacts}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # it has a status
    return web.json_response({str(contact): task.result() for contact, task in tasks.items()}, headers=uncached())


async def _zone(request: web.Request) -> tzinfo:
    name = parse_time_zone(", ".join(request.headers.getall(HEADER, ())))
    # In a thread, because it reads a file. `ZoneInfo` caches the zones that were used last.
    return UTC if name is None else await asyncio.to_thread(ZoneInfo, name)


async def _entity(app: web.Application, contact: int, zone: tzinfo) -> dict[str, object]:
    """Return the entity of *contact*, with dates in *zone*."""
    app[METRICS].store_read()
    original = await stored_original(app[STORE], contact)
    if original is None:
        return NO_PICTURE
    readable = original.fault is None or not original.fault.permanent
    return blob_entity(
        blob_id(contact, original.version),
        original.size,
        original.format.media_type if readable else None,
        original.modified,
        zone,
        original.dimensions if readable else None,
    )
