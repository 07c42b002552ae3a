"""What is stored for a contact, as SuperOffice's `BlobEntity`."""

from __future__ import annotations

import asyncio
from datetime import UTC
from zoneinfo import ZoneInfo

from aiohttp import web

from service.pictures.ports import WritableStore
from service.pictures.writes import present
from service.protocol.blob_entity import NO_PICTURE, blob_entity, blob_id
from service.protocol.query import parse_contact_id
from service.protocol.time_zones import HEADER, parse_time_zone
from service.web.headers import common
from service.web.health import METRICS

STORE = web.AppKey("store", WritableStore)


async def imageinfo(request: web.Request) -> web.StreamResponse:
    """GET and HEAD: asked of the store itself, so that it is true at once wherever the picture was changed."""
    contact = parse_contact_id(request.match_info["contact"])
    name = parse_time_zone(", ".join(request.headers.getall(HEADER, ())))
    # In a thread, for it reads a file. The few that are asked for stay in `ZoneInfo`'s own cache.
    zone = UTC if name is None else await asyncio.to_thread(ZoneInfo, name)
    request.app[METRICS].store_read()
    original = await present(request.app[STORE], contact)
    entity = NO_PICTURE
    if original is not None:
        id = blob_id(contact, original.version)
        known = original.fault is None or not original.fault.permanent
        media_type = original.format.media_type if known else None
        entity = blob_entity(id, original.size, media_type, original.modified, zone)
    headers = common(contact, None)
    headers["Cache-Control"] = "no-store"
    return web.json_response(entity, headers=headers)
