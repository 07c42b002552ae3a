"""The methods that change a contact's picture (PUT, POST, DELETE), and PURGE, which removes it from the caches."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from service.access.identity import Role
from service.errors import N_, Forbidden, NoPicture, PreconditionFailed, PurgePending
from service.pictures.ports import Check
from service.pictures.values import Original
from service.protocol.blob_entity import blob_id
from service.protocol.conditionals import preconditions_hold
from service.protocol.negotiate import requested_picture
from service.protocol.query import Query
from service.web.bodies import receive
from service.web.connections import Connection
from service.web.headers import uncached
from service.web.keys import CACHE, NEW_TRACE, PICTURES, RESPONSE_POLICY, TRUSTED_PROXIES, UPLOAD_LIMITS, WRITES
from service.web.request_values import contact_id
from service.web.requester import REQUESTER
from service.web.waiting_client import WaitingClient


async def put_picture(request: web.Request) -> web.StreamResponse:
    """Answer PUT and POST: store the picture in the body. The answer is its blob id as JSON."""
    contact, limits, writes = contact_id(request), request.app[UPLOAD_LIMITS], request.app[WRITES]
    if contact <= 0:
        raise NoPicture(N_("There is no contact %(contact)s."), {"contact": str(contact)})
    check = _conditions(request)
    connection = request.protocol
    assert isinstance(connection, Connection)
    client = WaitingClient(request, connection, request.app[TRUSTED_PROXIES])
    await writes.require(contact, client, check)
    body = partial(receive, request, max_bytes=limits.max_bytes, timeout=limits.timeout)
    async with writes.uploading(contact, client, body) as upload:
        original = await writes.put(contact, client, upload, check)
    headers = uncached(contact)
    headers["ETag"] = _etag(request, original)
    return web.json_response(blob_id(contact, original.version), headers=headers)


async def delete_picture(request: web.Request) -> web.StreamResponse:
    """Answer DELETE: remove the contact's picture."""
    contact = contact_id(request)
    await request.app[WRITES].delete(contact, _conditions(request))
    return _no_content(contact)


async def purge_picture(request: web.Request) -> web.StreamResponse:
    """Answer PURGE: invalidate all cached entries of the contact."""
    contact = contact_id(request)
    with request.app[NEW_TRACE]().timed("purge"):
        reached = await request.app[CACHE].purge(contact)
    if not reached:
        raise PurgePending(N_("The purge has not reached every process yet. It is tried until it has."))
    return _no_content(contact)


def _no_content(contact: int) -> web.Response:
    return web.Response(status=204, headers=uncached(contact))


def _etag(request: web.Request, original: Original) -> str:
    """Return the ETag of *original* for a GET without parameters and `Accept`."""
    plain = requested_picture(Query(), None, request.app[RESPONSE_POLICY].preference)
    return request.app[PICTURES].validator(original, plain)


def _conditions(request: web.Request) -> Check:
    """Return the check of the request's conditions against the current picture.

    Raise `Forbidden` for conditions of a requester who may not read: 412 shows whether there is a picture.
    """
    fields = [_joined(request, name) for name in ("If-Match", "If-None-Match", "If-Unmodified-Since")]
    if Role.READ not in request[REQUESTER].roles and any(each is not None for each in fields):
        raise Forbidden(N_("Your role does not allow this."))

    def check(present: Original | None) -> None:
        etag = None if present is None else _etag(request, present)
        if not preconditions_hold(etag, None if present is None else present.modified, *fields):
            raise PreconditionFailed(N_("The picture is not the one that the request expects."))

    return check


def _joined(request: web.Request, name: str) -> str | None:
    """Return all lines of a field, of any length: without the whole condition the write might pass."""
    values = request.headers.getall(name, None)
    return None if values is None else ", ".join(values)
