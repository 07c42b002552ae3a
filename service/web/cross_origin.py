"""Writes that a browser sends for a page of another origin, with what it remembers of its user: refused.

As Go's http.CrossOriginProtection: by what browsers say of a request and pages cannot forge, without tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import hdrs

from service.errors import N_, Forbidden
from service.protocol.origins import parse_origin
from service.web.cors import Cors

_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")
_OWN = ("same-origin", "none")
"""`Sec-Fetch-Site` of our own pages, and of what the user typed or clicked outside of any page."""


def refuse_foreign(headers: Mapping[str, str], cors: Cors, *, anybody: bool) -> None:
    """Raise `Forbidden` where *headers* are of a write for another origin's page, and *cors* does not list that one.

    Browsers send `Sec-Fetch-Site` over TLS and to loopback, older ones `Origin` alone; who sends neither is none. Where
    *anybody* may write, who comes by a browser must have come by loopback's own name: any other may be that of a page
    elsewhere, which its owner has pointed here (DNS rebinding), so that all is "same origin".
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get(hdrs.ORIGIN)
    if cors.trusts(origin) or (site is None and origin is None):
        return
    host = headers.get(hdrs.HOST, "").lower()
    ours = site in _OWN if site is not None else _host(origin or "") == host
    if not ours or (anybody and not _LOOPBACK.fullmatch(host)):
        raise Forbidden(N_("A page of another origin may not change pictures."))


def _host(origin: str) -> str | None:
    """Host and port of *origin*, as `Host` names them; None of one that is hidden (`null`)."""
    return (parse_origin(origin) or "").partition("://")[2] or None
