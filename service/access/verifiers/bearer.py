"""Bearer tokens: JSON web tokens of an identity provider, and opaque tokens of SuperOffice."""

from __future__ import annotations

from pathlib import Path

from service.access.identity import Identity
from service.access.ports import WRONG, Verifier
from service.access.schemes import AuthOptions, Bearer, Credential
from service.access.verifiers.jwt import JsonWebTokens, TokenRules, is_jwt
from service.access.verifiers.keys import KeyFile, Keys
from service.access.verifiers.published import PublishedKeys
from service.access.verifiers.watched_file import require_unwritable
from service.errors import NotAuthenticated


class BearerTokens:
    """A `Verifier` that passes a token to one of two verifiers, by the token's form. Either may be None."""

    def __init__(self, json_web_tokens: Verifier | None, superoffice: Verifier | None) -> None:
        self._json_web_tokens, self._superoffice = json_web_tokens, superoffice

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. A JSON web token that is refused is not sent to SuperOffice."""
        if isinstance(credential, Bearer):
            by_form = self._json_web_tokens if is_jwt(credential.token) else None
            verifier = by_form or self._superoffice
            if verifier is not None:
                return await verifier.verify(credential, app_token)
        raise NotAuthenticated(WRONG)

    async def refresh(self) -> None:
        """Refresh the keys of JSON web tokens."""
        if self._json_web_tokens is not None:
            await self._json_web_tokens.refresh()

    async def close(self) -> None:
        """Close both. SuperOffice may be closed more than once, since other schemes use it too."""
        for verifier in (self._json_web_tokens, self._superoffice):
            if verifier is not None:
                await verifier.close()


def make_verifier(auth: AuthOptions, superoffice: Verifier | None) -> BearerTokens:
    """See `VerifierFactory`. Raise `BadFile` for a file that others may write, unless the settings accept it."""
    if auth.jwt_jwks_url:
        keys: Keys = PublishedKeys(auth.jwt_jwks_url)
    else:
        keys = KeyFile(path := Path(auth.jwt_key_file))
        require_unwritable(path, auth)
    rules = TokenRules(auth.jwt_issuer, auth.jwt_audience, auth.jwt_types, auth.jwt_roles_claim, auth.jwt_required)
    return BearerTokens(JsonWebTokens(keys, rules), superoffice)
