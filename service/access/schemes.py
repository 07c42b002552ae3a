"""The table of authentication schemes: what a request carries, how it is challenged, what verifies it.

This module does not import the verifiers. It names their factories, so that only those that are needed are imported.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from pydantic import SecretStr

AUTHORIZATION, APP_TOKEN, XSRF_HEADER = "Authorization", "SO-AppToken", "X-XSRF-TOKEN"


class Scheme(StrEnum):
    """An authentication scheme, by its name in the settings."""

    BASIC = "basic"
    BEARER = "bearer"
    SOTICKET = "soticket"
    SESSION = "session"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that a request carries. Its repr shows no secret, so that none is logged by mistake."""

    scheme: ClassVar[Scheme]


@dataclass(frozen=True, slots=True)
class Basic(Credential):
    """A user and a password (RFC 7617). The password may be empty."""

    scheme = Scheme.BASIC
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer(Credential):
    """A bearer token (RFC 6750): a JSON web token, or SuperOffice's opaque `8A:…`."""

    scheme = Scheme.BEARER
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SoTicket(Credential):
    """SuperOffice's opaque ticket `7T:…`."""

    scheme = Scheme.SOTICKET
    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session(Credential):
    """The values of SuperOffice's session cookie and of the `XSRF-TOKEN` cookie. `X-XSRF-TOKEN` equals the latter."""

    scheme = Scheme.SESSION
    cookie: str = field(repr=False)
    xsrf: str = field(repr=False)


class AuthOptions(Protocol):
    """The settings that verifiers are made from: those of `[auth]`, under the same names."""

    schemes: tuple[Scheme, ...]
    users_file: str
    superoffice_url: str
    app_tokens: tuple[SecretStr, ...]
    session_cookie: str
    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_url: str
    jwt_key_file: str
    jwt_types: tuple[str, ...]
    jwt_roles_claim: str
    jwt_required: str

    @property
    def accept(self) -> Collection[str]: ...


def _basic(value: str) -> Basic | None:
    """Return the user and the password in *value*, base64 of `user:password` in UTF-8 (RFC 7617 section 2)."""
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Basic(user, password) if colon and user else None


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """A row of the table."""

    needs: tuple[str, ...]
    """Names of settings in `[auth]`. At least one of them must be set.

    If the first of them that is set is `superoffice_url`, SuperOffice verifies the credentials.
    """
    verifier: str = ""
    """Otherwise: the factory of the verifier, a `VerifierFactory`, as an object reference (`package.module:name`)."""
    challenge: str = ""
    """The scheme's part of `WWW-Authenticate`."""
    field: str = ""
    """The header field that carries the credential. In `Authorization` the scheme's name precedes its value."""
    parse: Callable[[str], Credential | None] | None = None
    """Returns the credential in the field's value, or None for a malformed one."""
    probe: Credential | None = None
    """A credential that is unknown everywhere: its refusal shows that the verifier's server answers."""


SCHEMES: Mapping[Scheme, SchemeRow] = {
    Scheme.BASIC: SchemeRow(
        needs=("users_file", "superoffice_url"),
        verifier="service.access.verifiers.users_file:make_verifier",
        challenge='Basic realm="contact-image", charset="UTF-8"',  # first, since old browsers know only this one
        field=AUTHORIZATION,
        parse=_basic,
        probe=Basic("contact-image-check", ""),
    ),
    Scheme.BEARER: SchemeRow(
        needs=("jwt_jwks_url", "jwt_key_file", "superoffice_url"),
        verifier="service.access.verifiers.bearer:make_verifier",
        challenge='Bearer realm="contact-image"',
        field=AUTHORIZATION,
        parse=Bearer,
        probe=Bearer("eyJhbGciOiJFUzI1NiJ9.e30.AA"),  # a JSON web token, which SuperOffice refuses as well
    ),
    Scheme.SOTICKET: SchemeRow(
        needs=("superoffice_url",),
        challenge='SoTicket realm="contact-image"',
        field=AUTHORIZATION,
        parse=SoTicket,
        probe=SoTicket("7T:contact-image-check"),
    ),
    Scheme.SESSION: SchemeRow(
        needs=("superoffice_url",),
        challenge='Session realm="contact-image"',
        field=XSRF_HEADER,  # it accompanies the cookies that are the credential: see service.web.credentials
        probe=Session("contact-image-check", "contact-image-check"),
    ),
    Scheme.SIGNED: SchemeRow(needs=("signing_keys",)),  # verified without a verifier: see service.protocol.signatures
}

CREDENTIAL_FIELDS = tuple(
    dict.fromkeys((AUTHORIZATION, APP_TOKEN, *(row.field for row in SCHEMES.values() if row.field)))
)
"""The header fields that carry credentials, except `Cookie`."""

# RFC 9110 section 11.4: a scheme, spaces, and token68. SuperOffice's tickets and tokens have colons and dots as well.
_AUTHORIZATION_VALUE = re.compile(r"([A-Za-z]{1,32}) {1,8}([\x21-\x7e]{1,16384})")


def parse_field(field: str, lines: Sequence[str]) -> Credential | None:
    """Return the credential in the *lines* of the header *field*.

    None: it is malformed or of an unknown scheme, or there are several lines, since the field is not a list.
    """
    if len(lines) != 1:
        return None
    name, value = None, lines[0]
    if field == AUTHORIZATION:
        match = _AUTHORIZATION_VALUE.fullmatch(value.strip(" \t"))
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
    for scheme, row in SCHEMES.items():
        if row.parse is not None and row.field == field and name in (None, scheme):
            return row.parse(value)
    return None
