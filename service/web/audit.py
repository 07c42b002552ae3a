"""The audit of changes: one line in the log for every authorized write, deletion and purge."""

from __future__ import annotations

import structlog
from aiohttp import web

from service.errors import PictureError
from service.web.keys import AUTHENTICATOR
from service.web.problems import status_of
from service.web.request_values import Handler
from service.web.requester import REQUESTER

log = structlog.get_logger()


def audited(handler: Handler) -> Handler:
    """Return *handler*, which changes something for an authorized requester, with a line in the log about its result.

    A change whose request was cut off may have been made nevertheless.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        result: int | str = "cut off"
        try:
            response = await handler(request)
            result = response.status
            return response
        except PictureError as error:
            result = status_of(error)
            raise
        finally:
            log.info(
                "audit.change",
                who=request[REQUESTER].name or "anonymous",
                client=request.app[AUTHENTICATOR].address(request),
                what=request.method,
                contact=request.match_info["contact"][:32],
                result=result,
            )

    return handle
