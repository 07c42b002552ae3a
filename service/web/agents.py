"""The operations of SuperOffice's BLOB agent that its client libraries call in place of REST: a contact's picture."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from service.errors import N_, BadParameter, NoPicture, UploadTimedOut
from service.pictures.values import Picture
from service.protocol.negotiate import RequestedPicture, requested_picture
from service.protocol.query import parse_contact_id
from service.web import request_values
from service.web.access_log import ANSWER, Answer
from service.web.changing import retry_while_changing
from service.web.connections import Connection
from service.web.headers import uncached
from service.web.keys import BODIES, NEW_TRACE, PICTURES, RESPONSE_POLICY, TRUSTED_PROXIES
from service.web.request_values import Handler
from service.web.waiting_client import WaitingClient

_MAX_BODY = 1_024
"""Bytes of a request's body at most."""
_TIMEOUT = 10.0
"""Seconds for the body."""
_RAW = "application/octet-stream"


def contact_image(*, sized: bool) -> Handler:
    """Return the handler of `GetContactImage`; *sized*: of `GetContactImageWithSize`, the largest that fits.

    The answer has the bytes if `Accept` names `application/octet-stream`, and otherwise a JSON string in base64.
    Without a picture it is empty.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        members, policy = await _members(request), request.app[RESPONSE_POLICY]
        contact = members.get("contactid")
        sides = [members.get(name) for name in ("width", "height")] if sized else [None, None]
        if type(contact) is not int or not all(type(each) in (int, type(None)) for each in sides):
            raise _malformed()
        parse_contact_id(str(contact))  # no store has names for larger numbers
        query = "&".join(f"{name}={side}" for name, side in zip("wh", sides, strict=True) if side is not None)
        raw = _RAW in (request_values.field(request, "Accept") or "").lower()
        requested = requested_picture(policy.parse(query), None if raw else "application/json", policy.preference)
        headers = uncached(contact)
        try:
            picture = await retry_while_changing(lambda reread: _load(request, contact, requested, reread=reread))
        except NoPicture:
            return web.Response(headers=headers)
        headers["Content-Type"] = _RAW if raw else "application/json; charset=utf-8"
        return await request.app[BODIES].send(request, headers, picture, status=200, json=not raw)

    return answer


async def _load(request: web.Request, contact: int, requested: RequestedPicture, *, reread: bool) -> Picture:
    pictures, trace, connection = request.app[PICTURES], request.app[NEW_TRACE](), request.protocol
    assert isinstance(connection, Connection)
    trace.client = WaitingClient(request, connection, request.app[TRUSTED_PROXIES])
    with connection.cancelled_if_lost():
        selection = await pictures.select(contact, requested, trace, whole=True, reload=reread)
        picture = await pictures.load(selection, trace)
    request[ANSWER] = Answer(selection.owner, selection.field, trace.source, trace.fwd is None)
    return picture


async def _members(request: web.Request) -> dict[str, Any]:
    """Return the members of the JSON object in the body, by name in lower case.

    Raise `BadParameter` or `UploadTimedOut`.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_TIMEOUT):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > _MAX_BODY:
                    raise _malformed()
        members = json.loads(body)
    except TimeoutError:
        raise UploadTimedOut(N_("The upload stood still for too long.")) from None
    except (ValueError, RecursionError) as error:
        raise _malformed() from error
    if not isinstance(members, dict):
        raise _malformed()
    return {name.lower(): value for name, value in members.items()}


def _malformed() -> BadParameter:
    return BadParameter(N_("The body is cut short or malformed."))
