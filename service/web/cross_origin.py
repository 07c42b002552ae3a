"""Refusal of writes that a browser sends on behalf of a page of another origin (CSRF).

It decides by header fields that browsers set and pages cannot set, as Go's http.CrossOriginProtection does. It needs
no tokens.
"""

from __future__ import annotations

import re

from aiohttp import hdrs
from multidict import MultiMapping

from service.errors import N_, Forbidden
from service.protocol.origins import parse_origin
from service.web.cors import Cors

_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")
_SITE = "Sec-Fetch-Site"
_OWN_SITES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site` for pages of this origin, and for requests that the user makes outside of any page."""


def refuse_foreign(headers: MultiMapping[str], cors: Cors, *, unauthenticated: bool) -> None:
    """Raise `Forbidden` when *headers* are of a write for a page of another origin that *cors* does not list.

    Browsers send `Sec-Fetch-Site` over TLS and to loopback, and older ones only `Origin`. A client that sends neither
    is not a browser. When *unauthenticated* requests may write, a browser must use a name of loopback as `Host`: any
    other name may belong to a foreign page whose owner lets it resolve to this host (DNS rebinding), and such a page
    is "same origin". Browsers send each of the fields once.
    """
    site, origin = headers.get(_SITE), headers.get(hdrs.ORIGIN)
    once = all(len(headers.getall(name, ())) <= 1 for name in (_SITE, hdrs.ORIGIN))
    if once and (cors.trusts(origin) or (site is None and origin is None)):
        return
    host = headers.get(hdrs.HOST, "").lower()
    same_origin = site in _OWN_SITES if site is not None else _host(origin or "") == host
    if not once or not same_origin or (unauthenticated and not _LOOPBACK.fullmatch(host)):
        raise Forbidden(N_("A page of another origin may not change pictures."))


def _host(origin: str) -> str | None:
    """Return the host and port of *origin* as in `Host`; None for an opaque origin (`null`)."""
    return (parse_origin(origin) or "").partition("://")[2] or None
