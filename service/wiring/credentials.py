"""Make the verifiers of credentials and the access policy from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from aiohttp import web

from service.access.identity import EVERYTHING, READER, Role
from service.access.ports import Verifier
from service.access.throttle import Throttle
from service.access.verification import CredentialVerification
from service.errors import Forbidden, NotAuthenticated, VerificationUnavailable
from service.protocol.credentials import Basic, Bearer, Credential, Scheme, Session, SoTicket
from service.protocol.signatures import parse_key
from service.settings import AuthSettings, BadSettings, Settings
from service.web.client_address import client_address
from service.web.security import AUTHENTICATOR, AccessPolicy, Authenticator

log = structlog.get_logger()

_MIN_KEY_BYTES = 16
"""Bytes that a signing key should have at least. A shorter one may be guessed from one signed URL."""


async def authenticator(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """Put the `Authenticator` of *settings* into *app*, and close it at the end."""
    for kid, secret in _keys(settings.auth).items():
        if len(secret) < _MIN_KEY_BYTES:
            log.warning("auth.short_signing_key", key=kid, bytes=len(secret), at_least=_MIN_KEY_BYTES)
    guard = CredentialVerification(verifiers(settings.auth), Throttle(), remember_for=settings.auth.remember_for)
    app[AUTHENTICATOR] = Authenticator(guard, _access_policy(settings))
    yield
    await guard.close()


_UNKNOWN_CREDENTIALS: dict[Scheme, Credential] = {
    Scheme.BASIC: Basic("contact-image-check", ""),
    Scheme.BEARER: Bearer("eyJhbGciOiJFUzI1NiJ9.e30.AA"),  # a JSON web token: SuperOffice refuses it as well
    Scheme.SOTICKET: SoTicket("7T:contact-image-check"),
    Scheme.SESSION: Session("contact-image-check", "contact-image-check"),
}
"""Credentials of no user. A verifier that refuses them works."""


async def inspect(auth: AuthSettings) -> None:
    """Raise `BadSettings` if a file of users or keys cannot be used."""
    for verifier in _usable_verifiers(auth).values():
        await verifier.close()


async def probe_verifiers(auth: AuthSettings) -> None:
    """Raise `BadSettings` if a file of users or keys cannot be used, or if a verifier is unavailable."""
    verifiers, faults = _usable_verifiers(auth), []
    app_token = auth.app_tokens[0].get_secret_value() if auth.app_tokens else None
    for scheme, verifier in verifiers.items():
        try:
            await verifier.verify(_UNKNOWN_CREDENTIALS[scheme], app_token)
        except VerificationUnavailable as error:
            faults.append(f"{scheme}: {error}")
        except (NotAuthenticated, Forbidden):
            pass  # the verifier works
    for verifier in verifiers.values():
        await verifier.close()
    if faults:
        raise BadSettings(faults)


def _usable_verifiers(auth: AuthSettings) -> dict[Scheme, Verifier]:
    from service.access.verifiers.keys import BadKeys
    from service.access.verifiers.user_lines import BadUsers

    try:
        return verifiers(auth)
    except (BadKeys, BadUsers) as error:
        raise BadSettings([str(error)]) from error


def verifiers(auth: AuthSettings) -> dict[Scheme, Verifier]:
    """Return the verifier of every scheme in the settings. The caller closes them. Raise `BadKeys` or `BadUsers`.

    Their libraries are imported here: most services need few of them, and they would take a tenth of the start.
    """
    superoffice = _superoffice(auth)
    made: dict[Scheme, Verifier] = {}
    for scheme in auth.schemes:
        if scheme is Scheme.BASIC and auth.users_file:
            from service.access.verifiers.users_file import UsersFile

            made[scheme] = UsersFile(Path(auth.users_file))
        elif scheme is Scheme.BEARER:
            from service.access.verifiers.bearer import BearerTokens

            made[scheme] = BearerTokens(_tokens(auth), superoffice)
        elif scheme is not Scheme.SIGNED and superoffice is not None:
            made[scheme] = superoffice
    return made


def _superoffice(auth: AuthSettings) -> Verifier | None:
    if not auth.superoffice_url:
        return None
    from service.access.verifiers.superoffice import SuperOffice

    tokens = [token.get_secret_value() for token in auth.app_tokens]
    return SuperOffice(auth.superoffice_url, session_cookie=auth.session_cookie, app_tokens=tokens)


def _tokens(auth: AuthSettings) -> Verifier | None:
    if not auth.jwt_jwks_url and not auth.jwt_key_file:
        return None
    from service.access.verifiers.jwt import JsonWebTokens
    from service.access.verifiers.keys import KeyFile
    from service.access.verifiers.published import PublishedKeys

    keys = PublishedKeys(auth.jwt_jwks_url) if auth.jwt_jwks_url else KeyFile(Path(auth.jwt_key_file))
    return JsonWebTokens(keys, issuer=auth.jwt_issuer, audience=auth.jwt_audience)


def _keys(auth: AuthSettings) -> dict[str, bytes]:
    """Return the keys of signed URLs, by id."""
    return dict(parse_key(key.get_secret_value()) for key in auth.signing_keys)


def _access_policy(settings: Settings) -> AccessPolicy:
    auth, proxies = settings.auth, settings.server.trusted_proxies
    if auth.schemes:
        anonymous = READER if auth.anonymous_read else frozenset[Role]()
    else:
        anonymous = EVERYTHING if settings.writes.enabled else READER
    return AccessPolicy(
        frozenset(auth.schemes),
        anonymous,
        _keys(auth),
        auth.session_cookie,
        lambda request: client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), proxies),
    )
