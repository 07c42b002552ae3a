"""The table of authentication schemes: what a request carries, how it is challenged, what verifies it.

A verifier is imported when it is made: most are not needed, and their libraries would take a tenth of the start.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from pydantic import SecretStr

    from service.access.ports import Verifier

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


def _basic(value: str) -> Basic | None:
    """Return the user and the password in *value*, base64 of `user:password` in UTF-8 (RFC 7617 section 2)."""
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Basic(user, password) if colon and user else None


def _verify_basic(auth: AuthOptions, superoffice: Verifier | None) -> Verifier | None:
    if not auth.users_file:
        return superoffice
    from service.access.verifiers.users_file import UsersFile

    return UsersFile(Path(auth.users_file))


def _verify_bearer(auth: AuthOptions, superoffice: Verifier | None) -> Verifier:
    from service.access.verifiers.bearer import BearerTokens

    if not auth.jwt_jwks_url and not auth.jwt_key_file:
        return BearerTokens(None, superoffice)
    from service.access.verifiers.jwt import JsonWebTokens
    from service.access.verifiers.keys import KeyFile
    from service.access.verifiers.published import PublishedKeys

    keys = PublishedKeys(auth.jwt_jwks_url) if auth.jwt_jwks_url else KeyFile(Path(auth.jwt_key_file))
    return BearerTokens(JsonWebTokens(keys, issuer=auth.jwt_issuer, audience=auth.jwt_audience), superoffice)


def _verify_by_superoffice(_: AuthOptions, superoffice: Verifier | None) -> Verifier | None:
    return superoffice


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """A row of the table."""

    needs: tuple[str, ...]
    """Names of settings in `[auth]`. At least one of them must be set."""
    challenge: str = ""
    """The scheme's part of `WWW-Authenticate`."""
    field: str = ""
    """The header field that carries the credential. In `Authorization` the scheme's name precedes its value."""
    parse: Callable[[str], Credential | None] | None = None
    """Returns the credential in the field's value, or None for a malformed one."""
    verifier: Callable[[AuthOptions, Verifier | None], Verifier | None] | None = None
    """Makes the verifier from the settings and from the verifier of SuperOffice, if its URL is set."""
    probe: Credential | None = None
    """A credential that is unknown everywhere: its refusal shows that the verifier's server answers."""


SCHEMES: Mapping[Scheme, SchemeRow] = {
    Scheme.BASIC: SchemeRow(
        needs=("users_file", "superoffice_url"),
        challenge='Basic realm="contact-image", charset="UTF-8"',  # first, since old browsers know only this one
        field=AUTHORIZATION,
        parse=_basic,
        verifier=_verify_basic,
        probe=Basic("contact-image-check", ""),
    ),
    Scheme.BEARER: SchemeRow(
        needs=("jwt_jwks_url", "jwt_key_file", "superoffice_url"),
        challenge='Bearer realm="contact-image"',
        field=AUTHORIZATION,
        parse=Bearer,
        verifier=_verify_bearer,
        probe=Bearer("eyJhbGciOiJFUzI1NiJ9.e30.AA"),  # a JSON web token, which SuperOffice refuses as well
    ),
    Scheme.SOTICKET: SchemeRow(
        needs=("superoffice_url",),
        challenge='SoTicket realm="contact-image"',
        field=AUTHORIZATION,
        parse=SoTicket,
        verifier=_verify_by_superoffice,
        probe=SoTicket("7T:contact-image-check"),
    ),
    Scheme.SESSION: SchemeRow(
        needs=("superoffice_url",),
        challenge='Session realm="contact-image"',
        field=XSRF_HEADER,  # it accompanies the cookies that are the credential: see service.web.credentials
        verifier=_verify_by_superoffice,
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


def make_verifiers(auth: AuthOptions) -> dict[Scheme, Verifier]:
    """Return the verifier of every scheme in *auth*; several schemes may share one. The caller closes them.

    Raises `BadFile`.
    """
    superoffice: Verifier | None = None
    if auth.superoffice_url:
        from service.access.verifiers.superoffice import SuperOffice

        app_tokens = [token.get_secret_value() for token in auth.app_tokens]
        superoffice = SuperOffice(auth.superoffice_url, session_cookie=auth.session_cookie, app_tokens=app_tokens)
    factories = {scheme: SCHEMES[scheme].verifier for scheme in auth.schemes}
    made = {scheme: make(auth, superoffice) for scheme, make in factories.items() if make is not None}
    return {scheme: verifier for scheme, verifier in made.items() if verifier is not None}
