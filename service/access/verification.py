"""Verification of credentials: the results are remembered and shared, and failures are counted by client address."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from hashlib import blake2b
from typing import Any

import structlog
from moka_py import Moka

from service.access.identity import Identity
from service.access.places import Places
from service.access.ports import UNAVAILABLE, WRONG, Verifier
from service.access.schemes import Basic, Credential, Scheme
from service.access.throttle import Throttle, address_key
from service.ending import end
from service.errors import (
    N_,
    CredentialExpired,
    Forbidden,
    NotAuthenticated,
    PictureError,
    TooManyAttempts,
    VerificationUnavailable,
)

log = structlog.get_logger()

_CAPACITY = 16_384
"""Valid credentials that are remembered at most. It is also the bound for refused ones."""
_REMEMBER_REFUSAL_FOR = 5.0
"""Seconds, at most, that a refusal is remembered: the cause may have been corrected."""
_TIMEOUT = 10.0
"""Seconds for one verification. Verifiers have shorter time limits of their own."""

_REFRESH_PAUSE = 2.0
"""Seconds between two looks for changed files and keys."""

_Result = Identity | PictureError
_Running = dict[Hashable, asyncio.Task[_Result]]
"""Verifications under way, by digest, and by address unless the credential was valid earlier."""


class CredentialVerification:
    """Verifies credentials by *verifiers*, one for every configured scheme.

    A valid credential is remembered for *remember_for* seconds, by a digest under a key that this process makes for
    itself: the credential is not in a memory dump. After that time it is verified again, and is still no guess: neither
    the *throttle* nor the *places* of its address keep it out.
    """

    def __init__(
        self, verifiers: Mapping[Scheme, Verifier], throttle: Throttle, places: Places, *, remember_for: float
    ) -> None:
        self._verifiers, self._remember_for = verifiers, remember_for
        self._throttle, self._places = throttle, places
        self._in_force = frozenset(verifiers.values())
        self._keyed_hash = blake2b(key=secrets.token_bytes(32), digest_size=16)
        # With the time of expiry, and the verifier that the result is from. Wrong credentials remove no valid ones.
        self._identities: Moka[bytes, tuple[float, Identity, Verifier]] = Moka(_CAPACITY)
        self._refusals: Moka[bytes, tuple[float, PictureError, Verifier]] = Moka(_CAPACITY)
        self._running: _Running = {}
        self._replaced: list[_Running] = []  # running ones of replaced verifiers

    def digest(self, presented: object) -> bytes:
        """Return the digest of *presented*, a text or a tuple of texts: the key of a remembered result."""
        digest = self._keyed_hash.copy()
        digest.update(repr(presented).encode())  # the repr, since joined texts would be ambiguous
        return digest.digest()

    def remembered(self, digest: bytes) -> Identity | None:
        """Return the identity that is remembered for *digest*; None if there is none, or a refusal."""
        found = self._identities.get(digest)
        if found is None or found[2] not in self._in_force or time.monotonic() >= found[0]:
            return None
        return None if found[1].basis.withdrawn else found[1]

    async def identify(
        self, digest: bytes, credential: Credential | NotAuthenticated, app_token: str | None, address: str
    ) -> Identity:
        """Return the identity of *credential*. An error in its place is counted as a failure, and raised.

        *digest* is that of the credential's texts, *address* the client's.

        Raises what a `Verifier` raises, and `TooManyAttempts` when *address* has failed too often.
        """
        if (identity := self.remembered(digest)) is not None:
            return identity
        if isinstance(credential, NotAuthenticated):
            self._require_attempts(address, None)
            result: _Result = self._counted(credential, address, None)
        else:
            result = await self._result(digest, credential, app_token, address)
        if isinstance(result, Identity):
            return result
        raise _without_traceback(result)

    def replace(self, verifiers: Mapping[Scheme, Verifier]) -> None:
        """Verify by *verifiers* from now on. Results of verifiers that are not among them are forgotten.

        Verifications that have begun end as they would have, and their results are not remembered.
        """
        self._verifiers, self._in_force = verifiers, frozenset(verifiers.values())
        self._replaced = [running for running in (*self._replaced, self._running) if running]
        self._running = {}

    async def keep_current(self) -> None:
        """Refresh the verifiers every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(_REFRESH_PAUSE)
            for verifier in self._in_force:
                try:
                    async with asyncio.timeout(_TIMEOUT):
                        await verifier.refresh()
                except TimeoutError:
                    log.warning("credentials.not_refreshed", reason="TimeoutError")
                except Exception:  # whatever fails, the next attempt may succeed
                    log.exception("credentials.not_refreshed")

    async def close(self) -> None:
        """Cancel running verifications, and close the verifiers."""
        await end(*(task for running in (*self._replaced, self._running) for task in running.values()))
        for verifier in set(self._verifiers.values()):
            await verifier.close()

    async def _result(self, digest: bytes, credential: Credential, app_token: str | None, address: str) -> _Result:
        user = credential.user if isinstance(credential, Basic) else None
        if self._identities.get(digest) is not None:  # it was valid earlier
            result, _ = await self._shared(digest, lambda: self._verify(digest, credential, app_token))
            return result
        self._require_attempts(address, user)
        if (refusal := self._refused(digest)) is not None:
            return self._counted(refusal, address, user)
        key = (digest, address_key(address))
        result, joined = await self._shared(key, lambda: self._attempt(digest, credential, app_token, address, user))
        return self._counted(result, address, user) if joined else result

    async def _shared(self, key: Hashable, verify: Callable[[], Coroutine[Any, Any, _Result]]) -> tuple[_Result, bool]:
        """Return the result that all concurrent callers with *key* share, and whether an earlier caller began it.

        A caller that is cancelled does not end the verification.
        """
        running = self._running
        task = running.get(key)
        joined = task is not None
        if task is None:
            task = running[key] = asyncio.create_task(verify())
            task.add_done_callback(lambda _: running.pop(key, None))
        return await asyncio.shield(task), joined

    async def _attempt(
        self, digest: bytes, credential: Credential, app_token: str | None, address: str, user: str | None
    ) -> _Result:
        """Verify *credential* in a place of *address*, and count a failure, also if the client has left meanwhile."""
        try:
            async with self._places.taken(address_key(address)) as place:
                self._require_attempts(address, user)  # others have failed during the wait
                result = await self._verify(digest, credential, app_token)
                place.held = not isinstance(result, Identity | NotAuthenticated | Forbidden)
        except PictureError as error:
            return _without_traceback(error)
        return self._counted(result, address, user)

    def _require_attempts(self, address: str, user: str | None) -> None:
        """Raise `TooManyAttempts` when *address* has failed too often, by itself or for *user*."""
        if (seconds := self._throttle.wait(address, user)) > 0:
            raise TooManyAttempts(
                N_("Too many wrong credentials came from your address. Try again in %(seconds)s seconds."),
                {"seconds": int(seconds) + 1},
            )

    def _counted(self, result: _Result, address: str, user: str | None) -> _Result:
        """Return *result*. Count it as a failure if a guess may fail so."""
        if isinstance(result, NotAuthenticated | Forbidden) and not isinstance(result, CredentialExpired):
            self._throttle.failed(address, user)
        return result

    def _refused(self, digest: bytes) -> PictureError | None:
        """Return the refusal that is remembered for *digest*, if there is one."""
        found = self._refusals.get(digest)
        if found is None or found[2] not in self._in_force or time.monotonic() >= found[0]:
            return None
        return found[1]

    async def _verify(self, digest: bytes, credential: Credential, app_token: str | None) -> _Result:
        verifier = self._verifiers.get(credential.scheme)
        if verifier is None:
            return NotAuthenticated(WRONG)
        try:
            async with asyncio.timeout(_TIMEOUT):
                identity = await verifier.verify(credential, app_token)
        except TimeoutError:
            return VerificationUnavailable(UNAVAILABLE)
        except (NotAuthenticated, Forbidden) as error:
            self._identities.remove(digest)
            refusal = _without_traceback(error)
            seconds = min(_REMEMBER_REFUSAL_FOR, self._remember_for)
            self._refusals.set(digest, (time.monotonic() + seconds, refusal, verifier))
            return refusal
        except PictureError as error:
            return _without_traceback(error)  # not remembered: the next verification may succeed
        seconds = self._remember_for
        if identity.until is not None:
            seconds = min(seconds, identity.until - time.time())
        self._identities.set(digest, (time.monotonic() + seconds, identity, verifier))
        return identity


def _without_traceback(error: PictureError) -> PictureError:
    """Return a copy of *error* without its traceback, whose frames hold the credential."""
    return type(error)(error.message, error.values)
