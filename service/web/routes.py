"""Which path leads where, and what every request gets: an id, a count, a line in the log, and an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from aiohttp import web

from service.access.identity import Role
from service.errors import N_, PictureError, Unexpected
from service.web.gallery import gallery
from service.web.health import METRICS, healthz, metrics, readyz
from service.web.imageinfo import imageinfo
from service.web.methods import by_method
from service.web.metrics import Route
from service.web.picture import nothing, picture, refuse
from service.web.request_id import REQUEST_ID, new_request_id
from service.web.security import AUTHENTICATOR, Handler, needs
from service.web.writes import delete_picture, purge_picture, put_picture

log = structlog.get_logger()

_CONTACT = "/{_contact:(?i:api/v1/contact)}/{contact}"
_END = "{_end:/?}"
"""A slash at the end of a path leads to the same resource."""
_IMAGE = _CONTACT + "/{_image:(?i:image)}" + _END
_INFO = _CONTACT + "/{_info:(?i:imageinfo)}" + _END
WENT_WRONG = N_("Something went wrong on our side.")


def add_routes(app: web.Application, shown: Sequence[int] = ()) -> None:
    """Every path leads to one handler, which knows its methods: a refusal has our shape, or is aiohttp's parser's.

    With *shown*, contacts that have pictures, `/` is a page that shows these.
    """
    page = needs(Role.READ, gallery(shown)) if shown else None
    paths: tuple[tuple[str, Route, Handler], ...] = (
        (
            _IMAGE,
            "image",
            by_method(
                GET=needs(Role.READ, picture),
                HEAD=needs(Role.READ, picture),
                PUT=needs(Role.WRITE, put_picture),
                POST=needs(Role.WRITE, put_picture),
                DELETE=needs(Role.WRITE, delete_picture),
                PURGE=needs(Role.PURGE, purge_picture),
            ),
        ),
        (_INFO, "imageinfo", by_method(GET=needs(Role.READ, imageinfo), HEAD=needs(Role.READ, imageinfo))),
        ("/healthz" + _END, "healthz", healthz),
        ("/readyz" + _END, "readyz", readyz),
        ("/metrics" + _END, "metrics", needs(Role.READ, metrics)),
        *([("/", "gallery", by_method(GET=page, HEAD=page))] if page else ()),
        ("/{_anything:.*}", "other", nothing),
    )
    for path, route, handler in paths:
        app.router.add_route("*", path, answered(route, handler), expect_handler=_let_wait)


async def _let_wait(_: web.Request) -> None:
    """Who sends `Expect: 100-continue` is answered when the body is wanted (`web.bodies`)."""


def _tell(request: web.Request, error: PictureError, status: int) -> None:
    """A line for a refusal: a fault of ours or of the store's is a warning, a missing picture an everyday thing.

    It tells what was asked, and from where, but no query, which may be signed.
    """
    tell = log.warning if status >= 500 else log.debug if status == 404 else log.info
    cause = {"cause": repr(error.__cause__)} if error.__cause__ else {}
    tell(
        "request.refused",
        method=request.method,
        path=request.path[:256],
        client=request.app[AUTHENTICATOR].address(request),
        reason=str(error),
        kind=type(error).__name__,
        status=status,
        **cause,
    )


def answered(route: Route, handler: Handler) -> Handler:
    """*handler*, whose errors become answers, and whose requests are counted under *route* and logged."""

    async def answer(request: web.Request) -> web.StreamResponse:
        begun = time.perf_counter()
        REQUEST_ID.set(request_id := new_request_id())
        try:
            response = await handler(request)
        except PictureError as error:
            response = refuse(request, error, request_id)
            _tell(request, error, response.status)
        except Exception:  # a fault of ours: the client gets our shape, and the log the traceback
            log.exception("request.failed", path=request.path)
            response = refuse(request, Unexpected(WENT_WRONG), request_id)
        seconds = time.perf_counter() - begun
        request.app[METRICS].request(route, request.method, response.status, seconds)
        log.debug("request", method=request.method, path=request.path, status=response.status, seconds=seconds)
        return response

    return answer
