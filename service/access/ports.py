"""The port of verifiers, and the messages that every verifier uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from service.access.identity import Identity
from service.access.schemes import AuthOptions, Credential
from service.errors import N_

WRONG = N_("The credentials are wrong.")
UNAVAILABLE = N_("The credentials cannot be verified at the moment.")
CROWDED = N_("Too many credentials wait to be verified.")


class BadFile(ValueError):
    """A file of users or keys cannot be used. The text names the place of the fault, and quotes nothing of the file."""


class Verifier(Protocol):
    """Verifies credentials. The caller remembers the results."""

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """Return the identity that *credential* belongs to. *app_token* is the request's `SO-AppToken`.

        Raises:
            NotAuthenticated: the credential is wrong. `CredentialExpired`: it was valid earlier.
            Forbidden: the application token is missing or wrong.
            VerificationUnavailable: the credential cannot be verified at the moment.
        """
        ...

    async def refresh(self) -> None:
        """Read again what credentials are verified by, if it has changed.

        The basis of identities that would not be returned any more is withdrawn.
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and files."""
        ...


VerifierFactory = Callable[[AuthOptions, Verifier | None], Verifier]
"""Makes a verifier from the settings and from the verifier of SuperOffice, which is None if its URL is not set.

Raises `BadFile`.
"""
