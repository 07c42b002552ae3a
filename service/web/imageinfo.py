"""The resource `Imageinfo`: a contact's stored picture as SuperOffice's `BlobEntity`."""

from __future__ import annotations

import asyncio
from datetime import UTC
from zoneinfo import ZoneInfo

from aiohttp import web

from service.pictures.writes import stored_original
from service.protocol.blob_entity import NO_PICTURE, blob_entity, blob_id
from service.protocol.time_zones import HEADER, parse_time_zone
from service.web.headers import uncached
from service.web.keys import METRICS, STORE
from service.web.request_values import contact_id


async def imageinfo(request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD from the store instead of the cache, so that a change anywhere is seen at once."""
    contact = contact_id(request)
    name = parse_time_zone(", ".join(request.headers.getall(HEADER, ())))
    # In a thread, because it reads a file. `ZoneInfo` caches the zones that were used last.
    zone = UTC if name is None else await asyncio.to_thread(ZoneInfo, name)
    request.app[METRICS].store_read()
    original = await stored_original(request.app[STORE], contact)
    entity = NO_PICTURE
    if original is not None:
        id = blob_id(contact, original.version)
        readable = original.fault is None or not original.fault.permanent
        media_type = original.format.media_type if readable else None
        entity = blob_entity(id, original.size, media_type, original.modified, zone)
    return web.json_response(entity, headers=uncached(contact))
