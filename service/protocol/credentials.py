"""What a request says of who is asking, as values. Knows nothing of whether it is true.

None of these values shows itself: what stands in a log by mistake is a name, not a secret.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from enum import StrEnum

CREDENTIAL_FIELDS = ("Authorization", "SO-AppToken", "X-XSRF-TOKEN")
"""The header fields, beside `Cookie`, that say who is asking."""


class Scheme(StrEnum):
    """The ways to say who is asking, by their names in the settings."""

    BASIC = "basic"
    BEARER = "bearer"
    SOTICKET = "soticket"
    SESSION = "session"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Basic:
    """RFC 7617. The password may be empty."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """RFC 6750: a JWT, or SuperOffice's opaque `8A:…`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SoTicket:
    """SuperOffice's opaque `7T:…`."""

    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """The values of a session's cookie, and of its `XSRF-TOKEN` cookie, which the request's header is equal to."""

    cookie: str = field(repr=False)
    xsrf: str = field(repr=False)


Credential = Basic | Bearer | SoTicket | Session

# RFC 9110 §11.4: a scheme, spaces, and token68; SuperOffice's tickets and tokens have a colon and dots as well.
_AUTHORIZATION = re.compile(r"([A-Za-z]{1,32}) {1,8}([\x21-\x7e]{1,16384})")


def parse_authorization(text: str) -> Basic | Bearer | SoTicket | None:
    """Read an `Authorization` field; None where it is malformed, or of a scheme that is none of ours."""
    match = _AUTHORIZATION.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    scheme, value = match[1].lower(), match[2]
    if scheme == Scheme.BASIC:
        return _basic(value)
    if scheme == Scheme.BEARER:
        return Bearer(value)
    return SoTicket(value) if scheme == Scheme.SOTICKET else None


def _basic(value: str) -> Basic | None:
    """*value* is base64 of `user:password` in UTF-8; a user's name has no colon (RFC 7617 section 2)."""
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Basic(user, password) if colon and user else None
