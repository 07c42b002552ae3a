"""Versions, targets and hosts that aiohttp's parser accepts although RFC 9112 forbids them."""

from __future__ import annotations

import re
from functools import lru_cache

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from service.web.request_values import HasFields

_VERSIONS = (HttpVersion11, HttpVersion10)
_ABSOLUTE = re.compile(r"https?://[^/?#]+/", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
"""`Host` with a name that is not empty (RFC 9110 sections 7.2 and 4.2.1)."""


def malformed(request: web.BaseRequest) -> bool:
    """Return whether *request* must be answered with 400 (RFC 9112 sections 2.3, 3.2, 3.2.4 and 6.1)."""
    target = request.raw_path
    if request.version not in _VERSIONS or request.method == hdrs.METH_CONNECT or "#" in target:
        return True
    if request.version == HttpVersion10 and hdrs.TRANSFER_ENCODING in request.headers:
        return True
    if not target.startswith("/") and not for_server(request) and _ABSOLUTE.match(target) is None:
        return True
    return not names_a_host(request)


def names_a_host(request: HasFields) -> bool:
    """Return whether `Host` is valid or absent. The parser refuses HTTP/1.1 without `Host`."""
    host = request.headers.get(hdrs.HOST)
    return host is None or _is_host(host)


def for_server(request: web.BaseRequest) -> bool:
    """Return whether *request* is `OPTIONS *`, which is about the server as a whole (RFC 9112 section 3.2.4)."""
    return request.raw_path == "*" and request.method == hdrs.METH_OPTIONS


@lru_cache(256)
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None
