"""Verification of credentials: the results are remembered and shared, and failures are counted by client address."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from hashlib import blake2b

from moka_py import Moka

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG, Verifier
from service.access.schemes import Credential, Scheme
from service.access.throttle import Throttle
from service.errors import (
    N_,
    CredentialExpired,
    Forbidden,
    NotAuthenticated,
    PictureError,
    TooManyAttempts,
    VerificationUnavailable,
)

_CAPACITY = 16_384
"""Credentials whose results are remembered, valid or not."""
_REMEMBER_REFUSAL_FOR = 5.0
"""Seconds, at most, that a refusal is remembered: the cause may have been corrected."""
_TIMEOUT = 10.0
"""Seconds for one verification. Verifiers have shorter time limits of their own."""

_Result = Identity | PictureError


class CredentialVerification:
    """Verifies credentials by *verifiers*, one for every configured scheme.

    A valid credential is remembered for *remember_for* seconds, by a digest under a key that this process makes for
    itself: the credential is not in a memory dump.
    """

    def __init__(self, verifiers: Mapping[Scheme, Verifier], throttle: Throttle, *, remember_for: float) -> None:
        self._verifiers, self._throttle, self._remember_for = verifiers, throttle, remember_for
        self._in_force = frozenset(verifiers.values())
        self._keyed_hash = blake2b(key=secrets.token_bytes(32), digest_size=16)
        # With the time of expiry, and the verifier that the result is from.
        self._results: Moka[bytes, tuple[float, _Result, Verifier]] = Moka(_CAPACITY)
        self._running: dict[bytes, asyncio.Task[_Result]] = {}
        self._replaced: list[dict[bytes, asyncio.Task[_Result]]] = []  # running ones of replaced verifiers

    def digest(self, presented: object) -> bytes:
        """Return the digest of *presented*, a text or a tuple of texts: the key of a remembered result."""
        digest = self._keyed_hash.copy()
        digest.update(repr(presented).encode())  # the repr, since joined texts would be ambiguous
        return digest.digest()

    def remembered(self, digest: bytes) -> Identity | None:
        """Return the identity that is remembered for *digest*; None if there is none, or a refusal."""
        result = self._remembered(digest)
        return result if isinstance(result, Identity) else None

    async def identify(
        self, digest: bytes, credential: Credential | NotAuthenticated, app_token: str | None, address: str
    ) -> Identity:
        """Return the identity of *credential*. An error in its place is counted as a failure, and raised.

        *digest* is that of the credential's texts, *address* the client's.

        Raises what a `Verifier` raises, and `TooManyAttempts` when *address* has failed too often.
        """
        result = self._remembered(digest)
        if isinstance(result, Identity):
            return result  # a valid credential is accepted from an address that has failed too often
        if digest in self._running:
            return await self._identify(digest, credential, app_token, address)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await (slot := self._throttle.slot(address)).acquire()
        except TimeoutError:
            raise VerificationUnavailable(CROWDED) from None
        try:
            return await self._identify(digest, credential, app_token, address)
        finally:
            slot.release()

    async def _identify(
        self, digest: bytes, credential: Credential | NotAuthenticated, app_token: str | None, address: str
    ) -> Identity:
        result = self._remembered(digest)  # it may be known by now, after the wait for a slot
        if isinstance(result, Identity):
            return result
        if (seconds := self._throttle.wait(address)) > 0:
            raise TooManyAttempts(
                N_("Too many wrong credentials came from your address. Try again in %(seconds)s seconds."),
                {"seconds": int(seconds) + 1},
            )
        if isinstance(credential, NotAuthenticated):
            result = credential
        elif result is None:
            result = await self._verify_once(digest, credential, app_token)
        if isinstance(result, Identity):
            return result
        if isinstance(result, NotAuthenticated | Forbidden) and not isinstance(result, CredentialExpired):
            self._throttle.failed(address)  # guesses fail in these ways
        raise _without_traceback(result)

    def replace(self, verifiers: Mapping[Scheme, Verifier]) -> None:
        """Verify by *verifiers* from now on. Results of verifiers that are not among them are forgotten.

        Verifications that have begun end as they would have, and their results are not remembered.
        """
        self._verifiers, self._in_force = verifiers, frozenset(verifiers.values())
        self._replaced = [running for running in (*self._replaced, self._running) if running]
        self._running = {}

    async def close(self) -> None:
        """Cancel running verifications, and close the verifiers."""
        tasks = tuple(task for running in (*self._replaced, self._running) for task in running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for verifier in set(self._verifiers.values()):
            await verifier.close()

    def _remembered(self, digest: bytes) -> _Result | None:
        found = self._results.get(digest)
        if found is None or found[2] not in self._in_force or time.monotonic() >= found[0]:
            return None
        return found[1]

    async def _verify_once(self, digest: bytes, credential: Credential, app_token: str | None) -> _Result:
        """Return the result that all concurrent callers with *digest* share. A cancelled caller does not end it."""
        running = self._running
        task = running.get(digest)
        if task is None:
            task = running[digest] = asyncio.create_task(self._verify(digest, credential, app_token))
            task.add_done_callback(lambda _: running.pop(digest, None))
        return await asyncio.shield(task)

    async def _verify(self, digest: bytes, credential: Credential, app_token: str | None) -> _Result:
        verifier = self._verifiers.get(credential.scheme)
        result: _Result
        if verifier is None:
            return NotAuthenticated(WRONG)
        try:
            async with asyncio.timeout(_TIMEOUT):
                result = await verifier.verify(credential, app_token)
        except TimeoutError:
            return VerificationUnavailable(UNAVAILABLE)
        except (NotAuthenticated, Forbidden) as error:
            result = _without_traceback(error)
        except PictureError as error:
            return _without_traceback(error)  # not remembered: the next verification may succeed
        seconds = self._remember_for if isinstance(result, Identity) else min(_REMEMBER_REFUSAL_FOR, self._remember_for)
        if isinstance(result, Identity) and result.until is not None:
            seconds = min(seconds, result.until - time.time())
        self._results.set(digest, (time.monotonic() + seconds, result, verifier))
        return result


def _without_traceback(error: PictureError) -> PictureError:
    """Return a copy of *error* without its traceback, whose frames hold the credential."""
    return type(error)(error.message, error.values)
