"""Changing a contact's picture: PUT, POST and DELETE, and PURGE of what is cached of it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from service.access.identity import Role
from service.errors import N_, Forbidden, NoPicture, PreconditionFailed, PurgeOwed
from service.pictures.ports import Check
from service.pictures.values import Original
from service.protocol.blob_entity import blob_id
from service.protocol.conditionals import preconditions_hold
from service.protocol.negotiate import requested_picture
from service.protocol.query import Query, parse_contact_id
from service.web.bodies import receive
from service.web.headers import common
from service.web.keys import CACHE, PICTURES, REQUESTER, RESPONSE_POLICY, UPLOAD_LIMITS, WRITES


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How many bytes a picture may have, and how many seconds its next piece may take."""

    max_bytes: int
    timeout: float


async def put_picture(request: web.Request) -> web.StreamResponse:
    """PUT and POST: the picture in the body becomes the contact's. The answer is its blob id, as JSON."""
    contact, policy, writes = _contact(request), request.app[UPLOAD_LIMITS], request.app[WRITES]
    if contact <= 0:
        raise NoPicture(N_("There is no contact %(contact)s."), {"contact": str(contact)})
    check = _conditions(request)
    await writes.require(contact, check)
    async with writes.uploading() as upload:
        await receive(request, upload.write, max_bytes=policy.max_bytes, timeout=policy.timeout)
        original = await writes.put(contact, upload, check)
    headers = common(contact, None)
    headers["Cache-Control"] = "no-store"
    headers["ETag"] = _etag(request, original)
    return web.json_response(blob_id(contact, original.version), headers=headers)


async def delete_picture(request: web.Request) -> web.StreamResponse:
    """DELETE: the contact has no picture any more."""
    contact = _contact(request)
    await request.app[WRITES].delete(contact, _conditions(request))
    return _done(contact)


async def purge_picture(request: web.Request) -> web.StreamResponse:
    """PURGE: nothing that is cached of the contact is used any more."""
    contact = _contact(request)
    if not await request.app[CACHE].purge(contact):
        raise PurgeOwed(N_("The purge has not reached every process yet. It is tried until it has."))
    return _done(contact)


def _contact(request: web.Request) -> int:
    return parse_contact_id(request.match_info["contact"])


def _done(contact: int) -> web.Response:
    headers = common(contact, None)
    headers["Cache-Control"] = "no-store"
    return web.Response(status=204, headers=headers)


def _etag(request: web.Request, original: Original) -> str:
    """The ETag that GET gives who asks for nothing in particular."""
    plain = requested_picture(Query(), None, request.app[RESPONSE_POLICY].preference)
    return request.app[PICTURES].validator(original, plain)


def _conditions(request: web.Request) -> Check:
    """What the request says the present picture must be. Raises `Forbidden` for who may not look: 412 tells of it."""
    fields = [_whole(request, name) for name in ("If-Match", "If-None-Match", "If-Unmodified-Since")]
    if Role.READ not in request[REQUESTER].roles and any(each is not None for each in fields):
        raise Forbidden(N_("Your role does not allow this."))

    def check(present: Original | None) -> None:
        etag = None if present is None else _etag(request, present)
        if not preconditions_hold(etag, None if present is None else present.modified, *fields):
            raise PreconditionFailed(N_("The picture is not the one that the request expects."))

    return check


def _whole(request: web.Request, name: str) -> str | None:
    """All lines of a field, however long: a condition that is left out would let the write through."""
    values = request.headers.getall(name, None)
    return None if values is None else ", ".join(values)
