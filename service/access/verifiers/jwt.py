"""JSON web tokens (RFC 7519) of an identity provider, verified by the rules of RFC 8725."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from service.access.identity import MAX_NAME, READER, Identity, Role
from service.access.ports import WRONG
from service.access.schemes import Bearer, Credential
from service.access.verifiers.keys import Key, Keys
from service.errors import N_, CredentialExpired, NotAuthenticated

_MAX_LENGTH = 16_384
"""Characters of a token."""
_LEEWAY = 30
"""Seconds that the provider's clock may differ from this one."""
_MAX_EXPIRY = 2**53
"""Unix seconds. A token with a later expiry expires then."""
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")

EXPIRED = N_("The credentials have expired.")


def is_jwt(token: str) -> bool:
    """Return whether *token* is three parts in base64url, the first of them a JSON object. No opaque token is."""
    form = _FORM.fullmatch(token) if len(token) <= _MAX_LENGTH else None
    if form is None:
        return False
    try:
        return isinstance(json.loads(urlsafe_b64decode(form[1] + "=" * (-len(form[1]) % 4))), dict)
    except (ValueError, RecursionError):
        return False


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be: its *issuer*, its *audience*, and its type (`typ`), one of *types* unless it has none.

    *roles_claim* is the claim that names roles. If *required* is not empty, it must be among the roles or the scope.
    """

    issuer: str
    audience: str
    types: Collection[str] = ("JWT", "at+jwt")
    roles_claim: str = "roles"
    required: str = ""


class JsonWebTokens:
    """A `Verifier` of tokens that are signed with one of *keys* and conform to *rules*."""

    def __init__(self, keys: Keys, rules: TokenRules) -> None:
        self._keys, self._rules = keys, rules
        self._types = {_type(each) for each in rules.types}

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. The identity expires with the token."""
        if not isinstance(credential, Bearer) or not is_jwt(credential.token):
            raise NotAuthenticated(WRONG)
        token = credential.token
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise NotAuthenticated(WRONG) from None
        if "typ" in header and _type(header["typ"]) not in self._types:
            raise NotAuthenticated(WRONG)
        name = header.get("kid")
        keys = await self._keys.current()
        found = self._claims(token, name, keys)
        if found is None and (name is None or all(key.name != name for key in keys)):
            found = self._claims(token, name, await self._keys.newer())
        if found is None:
            raise NotAuthenticated(WRONG)
        claims, key = found
        until = float(min(int(claims["exp"]), _MAX_EXPIRY) + _LEEWAY)
        return Identity(self._roles(claims), until, key.basis, str(claims.get("sub", ""))[:MAX_NAME])

    async def refresh(self) -> None:
        """Refresh the keys."""
        await self._keys.refresh()

    async def close(self) -> None:
        """Close the keys."""
        await self._keys.close()

    def _claims(self, token: str, name: str | None, keys: tuple[Key, ...]) -> tuple[dict[str, Any], Key] | None:
        """Return the claims of *token*, and the key that has signed it; None if none of *keys* has.

        Raises `NotAuthenticated`, `CredentialExpired`.
        """
        for key in keys:
            if name is not None and key.name not in (None, name):
                continue
            try:
                return self._decode(token, key, expires=True), key
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
                continue
            except jwt.ExpiredSignatureError:
                expired = True
            except jwt.PyJWTError:
                expired = False
            if expired and self._is_otherwise_valid(token, key):
                raise CredentialExpired(EXPIRED)
            raise NotAuthenticated(WRONG)
        return None

    def _is_otherwise_valid(self, token: str, key: Key) -> bool:
        """Return whether all claims except the expiry are right. The library checks the expiry before the others."""
        try:
            self._decode(token, key, expires=False)
        except jwt.PyJWTError:
            return False
        return True

    def _decode(self, token: str, key: Key, *, expires: bool) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.value,
            algorithms=key.algorithms,
            issuer=self._rules.issuer,
            audience=self._rules.audience,
            leeway=_LEEWAY,
            options={"require": ["exp", "iss", "aud"], "verify_exp": expires},
        )

    def _roles(self, claims: Mapping[str, object]) -> frozenset[Role]:
        """Return the roles in the claim of roles (a list, or words) and in `scope` (words, RFC 8693).

        They are READER if there is neither claim, and none if a claim names no role of this service.
        """
        present = [claims[name] for name in (self._rules.roles_claim, "scope") if name in claims]
        named: set[object] = set()
        for claim in present:
            if isinstance(claim, str):
                named.update(claim.split(" "))
            elif isinstance(claim, list):
                named.update(each for each in claim if isinstance(each, str))
        if self._rules.required and self._rules.required not in named:
            return frozenset()
        return frozenset(role for role in Role if role in named) if present else READER


def _type(text: object) -> str:
    """Return the `typ` *text* in the form that is compared (RFC 7515 section 4.1.9); an empty text if it is none."""
    return text.lower().removeprefix("application/") if isinstance(text, str) else ""
