"""Who may come in: the part of the composition that is about credentials."""

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
from service.web.keys import AUTHENTICATOR
from service.web.security import AccessPolicy, Authenticator

log = structlog.get_logger()

_LONG_ENOUGH = 16
"""Bytes of a signing key below which it may be guessed from one signed URL."""


async def authenticator(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """A resource of *app*: its `Authenticator`, as *settings* say."""
    for kid, secret in _keys(settings.auth).items():
        if len(secret) < _LONG_ENOUGH:
            log.warning("auth.short_signing_key", key=kid, bytes=len(secret), at_least=_LONG_ENOUGH)
    guard = CredentialVerification(verifiers(settings.auth), Throttle(), remember_for=settings.auth.remember_for)
    app[AUTHENTICATOR] = Authenticator(guard, _access_policy(settings))
    yield
    await guard.close()


_STRANGERS: dict[Scheme, Credential] = {
    Scheme.BASIC: Basic("contact-image-check", ""),
    Scheme.BEARER: Bearer("eyJhbGciOiJFUzI1NiJ9.e30.AA"),  # a JSON web token: SuperOffice refuses it as well
    Scheme.SOTICKET: SoTicket("7T:contact-image-check"),
    Scheme.SESSION: Session("contact-image-check", "contact-image-check"),
}
"""Who nobody knows: that they are refused shows that who judges them is there."""


async def inspect(auth: AuthSettings) -> None:
    """Raises `BadSettings` where a file of users or of keys cannot be used."""
    for each in _usable(auth).values():
        await each.close()


async def question(auth: AuthSettings) -> None:
    """Raises `BadSettings` as `inspect` does, and where who is to be asked about credentials does not answer."""
    judges, faults = _usable(auth), []
    app_token = auth.app_tokens[0].get_secret_value() if auth.app_tokens else None
    for scheme, judge in judges.items():
        try:
            await judge.verify(_STRANGERS[scheme], app_token)
        except VerificationUnavailable as error:
            faults.append(f"{scheme}: {error}")
        except (NotAuthenticated, Forbidden):
            pass  # as it should be
    for judge in judges.values():
        await judge.close()
    if faults:
        raise BadSettings(faults)


def _usable(auth: AuthSettings) -> dict[Scheme, Verifier]:
    from service.access.verifiers.keys import BadKeys
    from service.access.verifiers.user_lines import BadUsers

    try:
        return verifiers(auth)
    except (BadKeys, BadUsers) as error:
        raise BadSettings([str(error)]) from error


def verifiers(auth: AuthSettings) -> dict[Scheme, Verifier]:
    """Who judges the credentials of each scheme that is on; closed by the caller. Raises `BadKeys` and `BadUsers`.

    What they stand on is imported here: most of it is not needed, and it would be a tenth of the start.
    """
    superoffice = _superoffice(auth)
    judges: dict[Scheme, Verifier] = {}
    for scheme in auth.schemes:
        if scheme is Scheme.BASIC and auth.users_file:
            from service.access.verifiers.users_file import UsersFile

            judges[scheme] = UsersFile(Path(auth.users_file))
        elif scheme is Scheme.BEARER:
            from service.access.verifiers.bearer import BearerTokens

            judges[scheme] = BearerTokens(_tokens(auth), superoffice)
        elif scheme is not Scheme.SIGNED and superoffice is not None:
            judges[scheme] = superoffice
    return judges


def _superoffice(auth: AuthSettings) -> Verifier | None:
    if not auth.superoffice_url:
        return None
    from service.access.verifiers.superoffice import SuperOffice

    tokens = [each.get_secret_value() for each in auth.app_tokens]
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
    """The keys of signed URLs, by their ids."""
    return dict(parse_key(each.get_secret_value()) for each in auth.signing_keys)


def _access_policy(settings: Settings) -> AccessPolicy:
    auth, proxies = settings.auth, settings.server.trusted_proxies
    if auth.schemes:
        nobody = READER if auth.anonymous_read else frozenset[Role]()
    else:
        nobody = EVERYTHING if settings.writes.enabled else READER
    return AccessPolicy(
        frozenset(auth.schemes),
        nobody,
        _keys(auth),
        auth.session_cookie,
        lambda request: client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), proxies),
    )
