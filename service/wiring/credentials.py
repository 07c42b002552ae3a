"""The composition of authentication: verifiers, signing keys and the access policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType

from aiohttp import web

from service.access.identity import EVERYTHING, READER, Role
from service.access.places import Places
from service.access.ports import BadFile, Verifier, VerifierFactory
from service.access.schemes import SCHEMES, Scheme
from service.access.throttle import Throttle
from service.access.verification import CredentialVerification
from service.ending import end
from service.errors import Forbidden, NotAuthenticated, VerificationUnavailable
from service.protocol.signatures import parse_key
from service.settings import AuthSettings, BadSettings, Settings
from service.web.client_address import client_address
from service.web.keys import AUTHENTICATOR, METRICS
from service.web.metrics import Metrics
from service.web.security import AccessPolicy, Authenticator

_FILES = ("users_file", "jwt_key_file")
"""Settings of `[auth]` that name files."""


async def authenticator(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """A cleanup context of *app*: make its `Authenticator` from *settings*, and close it at the end."""
    app[CREDENTIALS] = credentials = Credentials(settings, app[METRICS])
    app[AUTHENTICATOR] = credentials.authenticator
    keeping = asyncio.create_task(credentials.keep_current()) if settings.auth.schemes else None
    yield
    if keeping is not None:
        await end(keeping)
    await credentials.close()


class Credentials:
    """The verifiers and the signing keys of an application, made from *settings*. A reload replaces some of them.

    What SuperOffice does is counted by *metrics*.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        auth = settings.auth
        self._superoffice = _superoffice(auth, metrics)
        self._verifiers = make_verifiers(auth, self._superoffice)
        self._verification = CredentialVerification(
            self._verifiers, Throttle(), Places(), remember_for=auth.remember_for
        )
        self.authenticator = Authenticator(self._verification, _access_policy(settings))

    def read(self, auth: AuthSettings) -> Callable[[], None]:
        """Read the files of users and keys that *auth* names. Return a function that replaces what was in force.

        It does not change the verifiers that ask servers, nor what is remembered of their results. This method blocks.
        Raise `BadSettings`.
        """
        try:
            verifiers = make_verifiers(auth, self._superoffice, self._verifiers)
        except BadFile as error:
            raise BadSettings([str(error)]) from error

        def replace() -> None:
            # A replaced verifier ends the verifications that have begun. Its threads end when it is deleted.
            self._verifiers = verifiers
            self._verification.replace(verifiers)
            self.authenticator.replace_keys(_signing_keys(auth))

        return replace

    async def keep_current(self) -> None:
        """Read changed files of users and keys again, until cancelled."""
        await self._verification.keep_current()

    async def close(self) -> None:
        """Close the verifiers."""
        await self._verification.close()


CREDENTIALS = web.AppKey("credentials", Credentials)


def files_in_use(auth: AuthSettings) -> list[str]:
    """Return the names of the settings whose files the verifiers of *auth* read."""
    used = {_setting(scheme, auth) for scheme in auth.schemes}
    return [f"auth.{name}" for name in _FILES if name in used]


async def check_files(auth: AuthSettings) -> None:
    """Raise `BadSettings` when a file of users or keys cannot be used."""
    for verifier in _verifiers(auth).values():
        await verifier.close()


async def check_verifiers(auth: AuthSettings) -> None:
    """Raise `BadSettings` when a file of users or keys cannot be used, or a verifier's server does not answer."""
    verifiers, faults = _verifiers(auth), []
    app_token = auth.app_tokens[0].get_secret_value() if auth.app_tokens else None
    for scheme, verifier in verifiers.items():
        probe = SCHEMES[scheme].probe
        try:
            if probe is not None:
                await verifier.verify(probe, app_token)
        except VerificationUnavailable as error:
            mended = f"make it reachable from this host, or correct auth.{_setting(scheme, auth)}"
            faults.append(f"{scheme}: {error.__cause__ or error}: {mended}")
        except (NotAuthenticated, Forbidden):
            pass  # the expected answer
    for verifier in verifiers.values():
        await verifier.close()
    if faults:
        raise BadSettings(faults)


def remarks(auth: AuthSettings) -> list[str]:
    """Return what an operator should know of the usable files that *auth* names."""
    if "auth.users_file" not in files_in_use(auth):
        return []
    from service.access.verifiers.users_storage import read
    from service.access.verifiers.users_text import decoys

    costs = decoys(read(Path(auth.users_file)))
    if len(costs) == 1:
        return []
    return [
        f"{auth.users_file} has hashes of {len(costs)} costs, and every refusal takes the time of all: "
        "set passwords again with `contact-image user add`"
    ]


def _verifiers(auth: AuthSettings) -> dict[Scheme, Verifier]:
    try:
        return make_verifiers(auth, _superoffice(auth))
    except BadFile as error:
        raise BadSettings([str(error)]) from error


def make_verifiers(
    auth: AuthSettings, superoffice: Verifier | None, kept: Mapping[Scheme, Verifier] = MappingProxyType({})
) -> dict[Scheme, Verifier]:
    """Return the verifier of every scheme in *auth*; several schemes may share one. The caller closes them.

    *superoffice* is the verifier of SuperOffice, if it has a URL. Verifiers of *kept* that read no file are returned as
    they are. A verifier is imported here: most are not needed, and their libraries would take a tenth of the start.
    Raises `BadFile`.
    """
    verifiers: dict[Scheme, Verifier] = {}
    for scheme in auth.schemes:
        setting, factory = _setting(scheme, auth), SCHEMES[scheme].verifier
        if setting == "superoffice_url" and superoffice is not None:
            verifiers[scheme] = superoffice
        elif scheme in kept and setting not in _FILES:
            verifiers[scheme] = kept[scheme]
        elif setting is not None and factory:
            make: VerifierFactory = resolve_name(factory)
            verifiers[scheme] = make(auth, superoffice)
    return verifiers


def _setting(scheme: Scheme, auth: AuthSettings) -> str | None:
    """Return the name of the setting in *auth* that decides what verifies *scheme*."""
    return next((name for name in SCHEMES[scheme].needs if getattr(auth, name)), None)


def _superoffice(auth: AuthSettings, metrics: Metrics | None = None) -> Verifier | None:
    if not auth.superoffice_url:
        return None
    from service.access.verifiers.superoffice import SuperOffice

    app_tokens = [token.get_secret_value() for token in auth.app_tokens]
    make = partial(SuperOffice, auth.superoffice_url, session_cookie=auth.session_cookie, app_tokens=app_tokens)
    if metrics is None:
        return make()
    verifier = make(took=partial(metrics.took, "superoffice"))
    metrics.gauges.watch("breaker_open", lambda: verifier.breaker_open, "superoffice")
    return verifier


def _signing_keys(auth: AuthSettings) -> dict[str, bytes]:
    """Return the keys of signed URLs by their ids."""
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
        _signing_keys(auth),
        auth.session_cookie,
        lambda request: client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), proxies),
    )
