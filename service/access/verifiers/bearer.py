"""Bearer tokens: an identity provider's JSON web tokens, and SuperOffice's opaque ones."""

from __future__ import annotations

from service.access.identity import Identity
from service.access.ports import WRONG, Verifier
from service.access.verifiers.jwt import is_jwt
from service.errors import NotAuthenticated
from service.protocol.credentials import Bearer, Credential


class BearerTokens:
    """A `Verifier` that gives a token to the one of the two that it is for. Either may be missing."""

    def __init__(self, tokens: Verifier | None, superoffice: Verifier | None) -> None:
        self._tokens, self._superoffice = tokens, superoffice

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. A JSON web token that is refused is not shown to SuperOffice as well."""
        if isinstance(credential, Bearer):
            verifier = self._tokens if self._tokens is not None and is_jwt(credential.token) else self._superoffice
            if verifier is not None:
                return await verifier.verify(credential, app_token)
        raise NotAuthenticated(WRONG)

    async def close(self) -> None:
        """Close both; SuperOffice, which may be asked about other schemes too, can be closed again."""
        for verifier in (self._tokens, self._superoffice):
            if verifier is not None:
                await verifier.close()
