"""Authentication and authorization of requests, which precede every lookup.

Texts of credentials leave this module only for the verification of credentials.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from aiohttp import hdrs, web
from moka_py import Moka

from service.access.identity import READER, Identity, Role
from service.access.schemes import SCHEMES, Scheme
from service.access.verification import CredentialVerification
from service.errors import N_, Forbidden, NotAuthenticated
from service.protocol.signatures import has_signature, verify
from service.web.credentials import XSRF_MISSING, CredentialReader, is_session, parse_credential
from service.web.requester import Requester, kept_target

_SIGNED_CAPACITY = 8192
"""Signed URLs that are remembered as verified."""
_SIGNED_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD)
"""The methods that a signature covers."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The configured *schemes*, and what requests without credentials may do: *anonymous*.

    *keys* are the keys of signed URLs by their ids. *address* returns the client's address.
    """

    schemes: frozenset[Scheme]
    anonymous: frozenset[Role]
    keys: Mapping[str, bytes]
    session_cookie: str
    address: Callable[[web.BaseRequest], str]


class Authenticator:
    """Finds the requester of a request. *verification* remembers verified credentials."""

    def __init__(self, verification: CredentialVerification, policy: AccessPolicy) -> None:
        self._verification, self._policy, self._schemes = verification, policy, policy.schemes
        self._anonymous = Requester(policy.anonymous) if policy.anonymous or not policy.schemes else None
        self._presented = CredentialReader(policy.schemes, policy.session_cookie).presented
        self._signed: Moka[bytes, Requester] = Moka(_SIGNED_CAPACITY)
        self.challenge = ", ".join(
            row.challenge for scheme, row in SCHEMES.items() if scheme in policy.schemes and row.challenge
        )
        """The value of `WWW-Authenticate`; empty if no configured scheme has a challenge."""

    @property
    def default_requester(self) -> Requester | None:
        """The requester of every request when no authentication scheme is configured; None otherwise."""
        return None if self._schemes else self._anonymous

    def replace_keys(self, keys: Mapping[str, bytes]) -> None:
        """Verify signed URLs by *keys* from now on, those too that were verified before."""
        self._policy = replace(self._policy, keys=keys)
        self._signed = Moka(_SIGNED_CAPACITY)

    def address(self, request: web.BaseRequest) -> str:
        """Return the address of the client that sent *request*."""
        return self._policy.address(request)

    def known_requester(self, request: web.BaseRequest) -> Requester | None:
        """Return the requester of *request* if it is known without a verification."""
        if not self._schemes:
            return self._anonymous
        signed = None
        if Scheme.SIGNED in self._schemes and has_signature(request.raw_path):
            signed = self._signed.get(self._verification.digest(request.raw_path))
            if signed is None or signed.until is None or signed.until <= time.time():
                return None
        presented = self._presented(request)
        if presented is None or (signed is not None and is_session(presented)):
            return signed or self._anonymous
        identity = self._verification.remembered(self._verification.digest(presented))
        return None if identity is None else _private(identity, signed)

    async def authorize(self, request: web.Request, role: Role) -> Requester:
        """Return the requester of *request*, which needs *role*.

        Raises:
            NotAuthenticated: the credentials are missing or wrong.
            Forbidden: the role, the signature or the application token does not allow the request.
            TooManyAttempts: the client's address has failed too often.
            VerificationUnavailable: the credentials cannot be verified at the moment.
        """
        requester = self.known_requester(request) or await self._authenticate(request)
        if requester.target is not None and not requester.private and request.method not in _SIGNED_METHODS:
            raise Forbidden(N_("A signed URL is for GET and HEAD alone."))
        if role in requester.roles:
            return requester
        if not self._schemes:
            raise Forbidden(
                N_("Pictures cannot be changed here until the setting %(setting)s is true (%(variable)s=true)."),
                {"setting": "writes.enabled", "variable": "CONTACT_IMAGE_WRITES__ENABLED"},
            )
        if requester is self._anonymous:
            raise self._missing_credentials()
        raise Forbidden(N_("Your role does not allow this."))

    async def _authenticate(self, request: web.Request) -> Requester:
        signed = None
        if Scheme.SIGNED in self._schemes and has_signature(request.raw_path):
            checked = verify(request.raw_path, self._policy.keys, time.time())
            signed = Requester(READER, until=checked.exp, target=kept_target(checked.target))
            self._signed.set(self._verification.digest(request.raw_path), signed)
        presented = self._presented(request)
        if presented is None or (signed is not None and is_session(presented)):
            if signed is None:
                raise self._missing_credentials()
            return signed
        digest, credential = self._verification.digest(presented), parse_credential(presented)
        identity = await self._verification.identify(digest, credential, presented[1], self.address(request))
        return _private(identity, signed)

    def _missing_credentials(self) -> NotAuthenticated | Forbidden:
        """Return the error for a request without credentials."""
        if self._schemes == {Scheme.SIGNED}:
            return Forbidden(N_("The signature of the URL is missing or wrong."))
        if Scheme.SESSION in self._schemes:
            return NotAuthenticated(XSRF_MISSING)
        return NotAuthenticated(N_("Credentials are required."))


@lru_cache(1024)
def _requester(roles: frozenset[Role], name: str) -> Requester:
    return Requester(roles, private=True, name=name)


def _private(identity: Identity, signed: Requester | None) -> Requester:
    """Return the requester with *identity*, which has the rights of a *signed* URL in addition."""
    if signed is None:
        return _requester(identity.roles, identity.name)
    roles = identity.roles | signed.roles
    return Requester(roles, private=True, until=signed.until, target=signed.target, name=identity.name)
