"""The ids of requests, for the lines of the log and for answers: made here, or given by a trusted proxy."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar

from aiohttp import web
from multidict import MultiMapping, istr

from service.web.client_address import Networks, is_in

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request that the current task answers."""
TRACE_ID: ContextVar[str] = ContextVar("trace_id")
"""The id of the trace that the request of the current task belongs to, if it belongs to one."""
X_REQUEST_ID = istr("X-Request-ID")
_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""An id that a proxy may give: it fits into a header field and into a line of the log as it is."""
_ID = web.RequestKey("id", str)
_GIVEN = web.RequestKey("given_id", bool)
_run = secrets.token_hex(4)
_requests = itertools.count(1)


def new_request_id() -> str:
    """Return a unique id. The processes of one service are forked and share `_run`, so it contains the process id."""
    return f"{_run}-{os.getpid():x}-{next(_requests):x}"


def identify(request: web.BaseRequest) -> str:
    """Return the id of *request*, a new one at the first call. From now on the current task answers it."""
    if (known := request.get(_ID)) is None:
        request[_ID] = known = new_request_id()
    REQUEST_ID.set(known)
    return known


def given_id(fields: MultiMapping[str], peer: str | None, proxies: Networks) -> str | None:
    """Return the id in the header *fields* of a request from the address *peer*; None if there is none that counts.

    One counts if it is valid, the only one, and from one of *proxies*, which are the trusted ones.
    """
    values = fields.getall(X_REQUEST_ID, ())
    if len(values) != 1 or _VALID.fullmatch(values[0]) is None or not is_in(peer, proxies):
        return None
    return values[0]


def adopt_given_id(request: web.BaseRequest, proxies: Networks) -> str | None:
    """Return the id that one of *proxies* has given to *request*, which has it from now on; None if there is none."""
    given = given_id(request.headers, request.remote, proxies)
    if given is not None:
        request[_ID], request[_GIVEN] = given, True
    return given


def given_back(request: web.BaseRequest) -> Mapping[str, str]:
    """Return the header field that gives an adopted id back, for the answer to *request*; none without such an id."""
    return {X_REQUEST_ID: request[_ID]} if _GIVEN in request else {}


async def give_back(request: web.Request, response: web.StreamResponse) -> None:
    """Add that field to *response*, as a receiver of the signal `on_response_prepare`."""
    response.headers.update(given_back(request))
