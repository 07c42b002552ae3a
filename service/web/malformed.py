"""Versions, targets and hosts that aiohttp's parser accepts although RFC 9112 forbids them."""

from __future__ import annotations

import re

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from service.web.hosts import is_host

_VERSIONS = (HttpVersion11, HttpVersion10)
_ABSOLUTE = re.compile(r"https?://[^/?#]+/", re.IGNORECASE)


def malformed(request: web.BaseRequest) -> bool:
    """Return whether *request* must be answered with 400 (RFC 9112 sections 2.3, 3.2, 3.2.4 and 6.1)."""
    target = request.raw_path
    if request.version not in _VERSIONS or request.method == hdrs.METH_CONNECT or "#" in target:
        return True
    if request.version == HttpVersion10 and hdrs.TRANSFER_ENCODING in request.headers:
        return True
    if not target.startswith("/") and not for_server(request) and _ABSOLUTE.match(target) is None:
        return True
    host = request.headers.get(hdrs.HOST)
    return host is not None and not is_host(host)  # the parser refuses HTTP/1.1 without `Host`


def for_server(request: web.BaseRequest) -> bool:
    """Return whether *request* is `OPTIONS *`, which is about the server as a whole (RFC 9112 section 3.2.4)."""
    return request.raw_path == "*" and request.method == hdrs.METH_OPTIONS
