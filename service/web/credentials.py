"""The credentials of a request: the texts that carry them, and the value that these texts mean."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from aiohttp import hdrs, web
from multidict import istr

from service.access.ports import WRONG
from service.access.schemes import (
    APP_TOKEN,
    AUTHORIZATION,
    SCHEMES,
    XSRF_HEADER,
    Credential,
    Scheme,
    Session,
    parse_field,
)
from service.errors import N_, NotAuthenticated

XSRF_MISSING = N_("X-XSRF-TOKEN HTTP header missing")

_APP_TOKEN, _XSRF_COOKIE, _XSRF_HEADER = istr(APP_TOKEN), "XSRF-TOKEN", istr(XSRF_HEADER)

PresentedTexts = tuple[str | None, ...]
"""The name of the header field that carries a credential, the application token, and the lines of that field.

For Basic there is no application token.

For a session: `X-XSRF-TOKEN`, the application token, that header, the session's cookie and the `XSRF-TOKEN` cookie.
"""


class CredentialReader:
    """Reads the credentials of requests when *schemes* are configured.

    *session_cookie* is the name of the cookie that holds a session.

    `Authorization` is read for every scheme with a header field, so that a credential of another scheme is refused.
    """

    def __init__(self, schemes: Collection[Scheme], session_cookie: str) -> None:
        rows = [row for scheme, row in SCHEMES.items() if scheme in schemes and row.field]
        names = [AUTHORIZATION] if rows else []
        names += [row.field for row in rows if row.parse is not None]
        self._fields = tuple((istr(name), name) for name in dict.fromkeys(names))
        self._session_cookie = session_cookie if Scheme.SESSION in schemes else None

    def presented(self, request: web.BaseRequest) -> PresentedTexts | None:
        """Return the texts of the credential in *request*; None if it has none."""
        headers = request.headers
        for field, name in self._fields:
            if field in headers:
                lines = headers.getall(field)
                # It does not belong to Basic: another value would cause another verification of the same password.
                basic = lines[0][:6].lower() == "basic "
                return name, None if basic else headers.get(_APP_TOKEN), *lines
        if self._session_cookie is None:
            return None
        header = headers.get(_XSRF_HEADER)
        if header is None and hdrs.COOKIE not in headers:
            return None
        cookies = request.cookies
        session = cookies.get(self._session_cookie)
        if session is None and header is None:
            return None
        return XSRF_HEADER, headers.get(_APP_TOKEN), header, session, cookies.get(_XSRF_COOKIE)


def is_session(presented: PresentedTexts) -> bool:
    """Return whether *presented* is a session, which browsers add to requests on their own."""
    return presented[0] == XSRF_HEADER


def parse_credential(presented: PresentedTexts) -> Credential | NotAuthenticated:
    """Return the credential in *presented*, or the error for one that is malformed or of an unknown scheme.

    Raise `NotAuthenticated` for a session without `X-XSRF-TOKEN`. It does not count as a wrong credential, since pages
    often omit this header.
    """
    name, _, *texts = presented
    if is_session(presented):
        return _parse_session(*texts)
    return parse_field(name or "", [text or "" for text in texts]) or NotAuthenticated(WRONG)


def _parse_session(header: str | None, cookie: str | None, xsrf: str | None) -> Session | NotAuthenticated:
    if header is None:
        raise NotAuthenticated(XSRF_MISSING)
    if not cookie:
        return NotAuthenticated(WRONG)
    if not xsrf or not hmac.compare_digest(_bytes(xsrf), _bytes(header)):
        return NotAuthenticated(N_("The X-XSRF-TOKEN header is not equal to the XSRF-TOKEN cookie."))
    return Session(cookie, xsrf)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
