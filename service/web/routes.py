"""The table of paths. Every routed request gets an id, a count, a line in the log, and an answer to its errors."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from aiohttp import web

from service.access.identity import Role
from service.errors import N_, Misdirected, PictureError, Unexpected, UnknownPath
from service.web.agents import contact_image
from service.web.audit import audited
from service.web.connections import ClientLeft
from service.web.cross_origin import refuse_foreign
from service.web.files import content, file
from service.web.health import healthz, metrics, readyz, readyz_in_a_word
from service.web.imageinfo import imageinfo, imageinfos
from service.web.keys import ACCESS_LOG, AUTHENTICATOR, CORS, HOSTS, METRICS, REFUSALS
from service.web.methods import by_method, read_only
from service.web.metrics import Route
from service.web.picture import picture
from service.web.refusals import WENT_WRONG, refuse
from service.web.request_ids import identify
from service.web.request_values import Handler
from service.web.requester import REQUESTER
from service.web.writes import delete_picture, purge_picture, put_picture

log = structlog.get_logger()

_CONTACT = "/{_contact:(?i:api/v1/contact)}/{contact}"
_END = "{_end:/?}"
"""A path with a slash at its end names the same resource."""
_IMAGE = _CONTACT + "/{_image:(?i:image)}" + _END
_INFO = _CONTACT + "/{_info:(?i:imageinfo)}" + _END
_INFOS = "/{_contact:(?i:api/v1/contact)}/{_info:(?i:imageinfo)}" + _END
_AGENT = "/{_agent:(?i:api/v1/agents/blob)}"
_OPERATIONS = {
    "GetContactImage": contact_image(sized=False),
    "GetContactImageWithSize": contact_image(sized=True),
}
_ANY_PAGE = {"Access-Control-Allow-Origin": "*"}
_TEMPLATE = "/api/v1/Contact/{contactId}/Image"

_PROBES: tuple[Route, ...] = ("healthz", "readyz")
"""Resources that say nothing about pictures, and that orchestrators request by other names of the host."""


def add_routes(
    app: web.Application, described: bytes, pages: Mapping[str, Handler], *, operators_apart: bool = False
) -> None:
    """Add a handler for every path to *app*. It handles all methods, so that aiohttp answers no error itself.

    *described* is the description of the interface. *pages* are the handlers of the pages for people by path.
    *operators_apart*: metrics and the parts of readiness are elsewhere (`web.operators`).
    """
    infos = imageinfos()
    paths: tuple[tuple[str, Route, Handler], ...] = (
        (
            _IMAGE,
            "image",
            by_method(
                GET=_needs(Role.READ, picture),
                HEAD=_needs(Role.READ, picture),
                PUT=_needs(Role.WRITE, audited(put_picture)),
                POST=_needs(Role.WRITE, audited(put_picture)),
                DELETE=_needs(Role.WRITE, audited(delete_picture)),
                PURGE=_needs(Role.PURGE, audited(purge_picture)),
            ),
        ),
        (_INFO, "imageinfo", by_method(GET=_needs(Role.READ, imageinfo), HEAD=_needs(Role.READ, imageinfo))),
        (_INFOS, "imageinfo", by_method(GET=_needs(Role.READ, infos), HEAD=_needs(Role.READ, infos))),
        *(
            (_AGENT + f"/{{_{name}:(?i:{name})}}" + _END, "agent", by_method(POST=_needs(Role.READ, handler)))
            for name, handler in _OPERATIONS.items()
        ),
        ("/healthz" + _END, "healthz", read_only(healthz)),
        ("/readyz" + _END, "readyz", read_only(readyz_in_a_word if operators_apart else readyz)),
        *(() if operators_apart else (("/metrics" + _END, "metrics", _needs(Role.READ, read_only(metrics))),)),
        *((f"/{name}", "page", file(name, _ANY_PAGE)) for name in ("client.js", "client.d.ts")),
        ("/openapi.json", "page", content(described, ".json", _ANY_PAGE)),
        *((path, "page", handler) for path, handler in pages.items()),
        ("/{_anything:.*}", "other", _unknown_path),
    )
    for path, route, handler in paths:
        app.router.add_route("*", path, _answered(route, handler), expect_handler=_ignore_expect)


def _answered(route: Route, handler: Handler) -> Handler:
    """Return *handler* with an answer to its errors, a count of its requests under *route*, and a line in the log."""

    async def answer(request: web.Request) -> web.StreamResponse:
        begun, refused = time.perf_counter(), True
        request_id = identify(request)
        try:
            if route not in _PROBES and not request.app[HOSTS].serves(request):
                raise Misdirected(N_("The host that the request names is not served here."))
            response = await handler(request)
            refused = False
        except PictureError as error:
            response = refuse(request, error, request_id)
            client = request.app[AUTHENTICATOR].address(request)
            request.app[REFUSALS].refused(request, error, response.status, client)
            request.app[METRICS].refused(error)
        except ClientLeft:
            raise  # `FastPath` counts and logs it
        except Exception:  # a bug: the traceback is for the log only
            log.exception("request.failed", path=request.path)
            response = refuse(request, Unexpected(WENT_WRONG), request_id)
        seconds = time.perf_counter() - begun
        size = 0 if request.method == "HEAD" else response.content_length or 0
        request.app[METRICS].request(route, request.method, response.status, seconds, size)
        if not refused:
            request.app[ACCESS_LOG].answered(request, response, seconds, size)
        return response

    return answer


async def _unknown_path(_: web.Request) -> web.StreamResponse:
    raise UnknownPath(
        N_("There is nothing at this path. A contact's picture is at %(template)s."), {"template": _TEMPLATE}
    )


async def _ignore_expect(_: web.Request) -> None:
    """Do not answer `Expect: 100-continue` yet: `web.bodies` does when it needs the body."""


def _needs(role: Role, handler: Handler) -> Handler:
    """Return *handler* for requesters with *role*; others get an error."""

    async def handle(request: web.Request) -> web.StreamResponse:
        authenticator = request.app[AUTHENTICATOR]
        if role is not Role.READ:
            unauthenticated = authenticator.default_requester is not None
            refuse_foreign(request.headers, request.app[CORS], unauthenticated=unauthenticated)
        if REQUESTER not in request:
            request[REQUESTER] = await authenticator.authorize(request, role)
        return await handler(request)

    return handle
