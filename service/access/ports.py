"""What the use case needs of those who know whether a credential is good."""

from __future__ import annotations

from typing import Protocol

from service.access.identity import Identity
from service.errors import N_
from service.protocol.credentials import Credential

WRONG = N_("The credentials are wrong.")
UNAVAILABLE = N_("The credentials cannot be verified at the moment.")
CROWDED = N_("Too many credentials wait to be verified.")
"""What is told of a credential, whoever has judged it."""


class Verifier(Protocol):
    """Tells whether a credential is good. What it answers is remembered by who asks it, not by itself."""

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """Who *credential* belongs to; *app_token* is the request's `SO-AppToken`.

        Raises:
            NotAuthenticated: it is wrong. `CredentialExpired`: it was right once.
            Forbidden: it may be right, but the application token beside it is missing or wrong.
            VerificationUnavailable: that cannot be told at the moment.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
