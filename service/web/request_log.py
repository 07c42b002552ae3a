"""What is logged of a request: its id, one line when it is answered, and one more when it is refused."""

from __future__ import annotations

import itertools
import os
import secrets
from contextvars import ContextVar

import structlog
from aiohttp import web

from service.errors import PictureError

log = structlog.get_logger()

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request that the current task answers: for the log, and for the body of an error."""
_run = secrets.token_hex(4)
_requests = itertools.count(1)


def new_request_id() -> str:
    """Return a unique id. The processes of one service are forked and share `_run`, so it contains the process id."""
    return f"{_run}-{os.getpid():x}-{next(_requests):x}"


def log_request(request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
    """Log that *request* was answered with *response*, *seconds* after it was read."""
    log.debug("request", method=request.method, path=request.path, status=response.status, seconds=seconds)


def log_refusal(request: web.BaseRequest, error: PictureError, status: int, client: str) -> None:
    """Log that *request* from the address *client* failed with *error*.

    The query is left out, because it may be signed. A failure of the service is a warning; 404 is for debugging.
    """
    write = log.warning if status >= 500 else log.debug if status == 404 else log.info
    cause = {"cause": repr(error.__cause__)} if error.__cause__ else {}
    write(
        "request.refused",
        method=request.method,
        path=request.path[:256],
        client=client,
        reason=str(error),
        kind=type(error).__name__,
        status=status,
        **cause,
    )
