"""Who is asking, read from a request and settled before anything is looked up; and what they may do.

No text that says who is asking leaves this module but to those who judge it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs, web
from moka_py import Moka
from multidict import istr

from service.access.identity import READER, Identity, Role
from service.access.ports import WRONG
from service.access.verification import CredentialVerification
from service.errors import N_, Forbidden, NotAuthenticated
from service.protocol.credentials import Credential, Scheme, Session, parse_authorization
from service.protocol.signatures import has_signature, verify
from service.web.cross_origin import refuse_foreign
from service.web.keys import AUTHENTICATOR, CORS, REQUESTER

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_XSRF_COOKIE, _XSRF_HEADER, _APP_TOKEN = "XSRF-TOKEN", istr("X-XSRF-TOKEN"), istr("SO-AppToken")
_FIELD, _SESSION = "field", "session"
_CHALLENGES = {
    Scheme.BASIC: 'Basic realm="contact-image", charset="UTF-8"',  # first: browsers of old know this one alone
    Scheme.BEARER: 'Bearer realm="contact-image"',
    Scheme.SOTICKET: 'SoTicket realm="contact-image"',
    Scheme.SESSION: 'Session realm="contact-image"',
}


@dataclass(frozen=True, slots=True)
class Requester:
    """Who is asking, as far as an answer depends on it.

    *private*: somebody in particular, so that no cache may share the answer. *until*, in Unix seconds: no cache may
    keep it longer. *target* is the request's target where it differs: without the signature.
    """

    roles: frozenset[Role]
    private: bool = False
    until: int | None = None
    target: str | None = None


REFUSED_REQUESTER = Requester(frozenset(), private=True)
"""Who was not let in: what they are told is for nobody else."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """How one may come in. With no *schemes*, everybody may do what *nobody* lists; with some, that is what those may
    do who say nothing. *keys* are those of signed URLs, by their ids."""

    schemes: frozenset[Scheme]
    nobody: frozenset[Role]
    keys: Mapping[str, bytes]
    session_cookie: str
    address: Callable[[web.BaseRequest], str]
    """Where a request comes from."""


_Said = tuple[str | None, ...]
"""What a request says of who sends it: `_FIELD`, the application token, and the lines of `Authorization`; or
`_SESSION`, the application token, the session's cookie, the `XSRF-TOKEN` cookie, and the header that must equal it."""


class Authenticator:
    """Settles who is asking. What it has settled once it knows again without asking, for as long as *guard* does."""

    def __init__(self, guard: CredentialVerification, policy: AccessPolicy) -> None:
        self._guard, self._access_policy, self._schemes = guard, policy, policy.schemes
        self._nobody = Requester(policy.nobody) if policy.nobody or not policy.schemes else None
        self._by_field = bool(self._schemes - {Scheme.SIGNED})
        self._signed: Moka[bytes, Requester] = Moka(8192)
        self.challenge = ", ".join(text for scheme, text in _CHALLENGES.items() if scheme in self._schemes)
        """For `WWW-Authenticate`; empty where there is nothing that the field could ask for."""

    @property
    def everybody(self) -> Requester | None:
        """Who sends any request, where nobody is asked who they are."""
        return None if self._schemes else self._nobody

    def address(self, request: web.BaseRequest) -> str:
        """Where *request* comes from, behind proxies that are trusted to say so."""
        return self._access_policy.address(request)

    def settled(self, request: web.BaseRequest) -> Requester | None:
        """Who sends *request*, where that is known at once; None where it is to be asked, or is nobody we let in."""
        if not self._schemes:
            return self._nobody
        signed = None
        if Scheme.SIGNED in self._schemes and has_signature(request.raw_path):
            signed = self._signed.get(self._guard.digest(request.raw_path))
            if signed is None or signed.until is None or signed.until <= time.time():
                return None
        said = self._said(request)
        if said is None or (signed is not None and said[0] == _SESSION):
            return signed or self._nobody
        identity = self._guard.remembered(self._guard.digest(said))
        return None if identity is None else _private(identity, signed)

    async def admit(self, request: web.Request, role: Role) -> Requester:
        """Who sends *request*, to do what takes *role*.

        Raises:
            NotAuthenticated: nobody that we know, or with the wrong credentials.
            Forbidden: their role, their signature or their application token does not allow it.
            TooManyAttempts: their address has been wrong too often.
            VerificationUnavailable: it cannot be told at the moment.
        """
        requester = self.settled(request) or await self._ask(request)
        if role in requester.roles:
            return requester
        if not self._schemes:
            raise Forbidden(
                N_("Pictures cannot be changed here until the setting %(setting)s is true (%(variable)s=true)."),
                {"setting": "writes.enabled", "variable": "CONTACT_IMAGE_WRITES__ENABLED"},
            )
        if requester is self._nobody:
            raise self._wanting()
        if not requester.private:
            raise Forbidden(N_("A signed URL is for GET and HEAD alone."))
        raise Forbidden(N_("Your role does not allow this."))

    async def _ask(self, request: web.Request) -> Requester:
        signed = None
        if Scheme.SIGNED in self._schemes and has_signature(request.raw_path):
            checked = verify(request.raw_path, self._access_policy.keys, time.time())
            signed = Requester(READER, until=checked.exp, target=checked.target)
            self._signed.set(self._guard.digest(request.raw_path), signed)
        said = self._said(request)
        if said is None or (signed is not None and said[0] == _SESSION):
            if signed is None:
                raise self._wanting()
            return signed
        digest, credential = self._guard.digest(said), _credential(said)
        identity = await self._guard.identify(digest, credential, said[1], self.address(request))
        return _private(identity, signed)

    def _said(self, request: web.BaseRequest) -> _Said | None:
        fields = request.headers
        if hdrs.AUTHORIZATION in fields and self._by_field:
            return _FIELD, fields.get(_APP_TOKEN), *fields.getall(hdrs.AUTHORIZATION)
        header = fields.get(_XSRF_HEADER)
        if Scheme.SESSION not in self._schemes or (header is None and hdrs.COOKIE not in fields):
            return None
        cookies = request.cookies
        session = cookies.get(self._access_policy.session_cookie)
        if session is None and header is None:
            return None
        return _SESSION, fields.get(_APP_TOKEN), session, cookies.get(_XSRF_COOKIE), header

    def _wanting(self) -> NotAuthenticated | Forbidden:
        """The refusal of who says nothing."""
        if self._schemes == {Scheme.SIGNED}:
            return Forbidden(N_("The signature of the URL is missing or wrong."))
        if Scheme.SESSION in self._schemes:
            return NotAuthenticated(N_("X-XSRF-TOKEN HTTP header missing"))
        return NotAuthenticated(N_("Credentials are required."))


def needs(role: Role, handler: Handler) -> Handler:
    """*handler*, for those alone who have *role*."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        authenticator = request.app[AUTHENTICATOR]
        if role is not Role.READ:
            refuse_foreign(request.headers, request.app[CORS], anybody=authenticator.everybody is not None)
        if REQUESTER not in request:
            request[REQUESTER] = await authenticator.admit(request, role)
        return await handler(request)

    return guarded


def target(request: web.BaseRequest) -> str:
    """The target of *request*, without what signs it: what it is looked up and kept by."""
    requester = request.get(REQUESTER)
    return (requester and requester.target) or request.raw_path


def _credential(said: _Said) -> Credential | NotAuthenticated:
    """What was *said* as a value, or the refusal of what is seen to be wrong.

    Raises `NotAuthenticated` where a session comes without its header, which is no guess: pages forget it.
    """
    if said[0] == _FIELD:
        line = said[2] if len(said) == 3 else None  # it is no list: several lines are none of them
        return parse_authorization(line or "") or NotAuthenticated(WRONG)
    _, _, session, cookie, header = said
    if header is None:
        raise NotAuthenticated(N_("X-XSRF-TOKEN HTTP header missing"))
    if not session:
        return NotAuthenticated(WRONG)
    if not cookie or not hmac.compare_digest(_bytes(cookie), _bytes(header)):
        return NotAuthenticated(N_("The X-XSRF-TOKEN header is not equal to the XSRF-TOKEN cookie."))
    return Session(session, cookie)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@lru_cache(64)
def _requester(roles: frozenset[Role]) -> Requester:
    return Requester(roles, private=True)


def _private(identity: Identity, signed: Requester | None) -> Requester:
    if signed is None:
        return _requester(identity.roles)
    return Requester(identity.roles | signed.roles, private=True, until=signed.until, target=signed.target)
