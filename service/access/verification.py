"""Who is asking: asked once of whoever knows, remembered for a while, and counted when it is wrong."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from hashlib import blake2b

from moka_py import Moka

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG, Verifier
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
from service.protocol.credentials import Basic, Bearer, Credential, Scheme, Session, SoTicket

_REMEMBERED = 16_384
"""Credentials, good and bad."""
_REFUSED_FOR = 5.0
"""Seconds, at most, that a refusal is given again: what was wrong may have been put right."""
_PATIENCE = 10.0
"""Seconds for one question. Those who answer it are quicker, or say that they cannot."""

_SCHEMES = {
    Basic: Scheme.BASIC,
    Bearer: Scheme.BEARER,
    SoTicket: Scheme.SOTICKET,
    Session: Scheme.SESSION,
}

_Verdict = Identity | PictureError


class CredentialVerification:
    """Tells identities from credentials by way of *verifiers*, one for each scheme that is on.

    A good credential is believed for *remember_for* seconds. What is kept of it is a digest under a key of this
    process's own, so that it can be read out of neither memory nor a dump.
    """

    def __init__(self, verifiers: Mapping[Scheme, Verifier], throttle: Throttle, *, remember_for: float) -> None:
        self._verifiers, self._throttle, self._remember_for = verifiers, throttle, remember_for
        self._keyed = blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._known: Moka[bytes, tuple[float, _Verdict]] = Moka(_REMEMBERED)
        self._asked: dict[bytes, asyncio.Task[_Verdict]] = {}

    def digest(self, said: object) -> bytes:
        """What a credential is remembered by: all that was *said* to prove it, a text or a tuple of texts."""
        digest = self._keyed.copy()
        digest.update(repr(said).encode())  # not joined, so that no two ways to say it are one
        return digest.digest()

    def remembered(self, digest: bytes) -> Identity | None:
        """Whose credential it is, if that is known and was good."""
        verdict = self._remembered(digest)
        return verdict if isinstance(verdict, Identity) else None

    async def identify(
        self, digest: bytes, credential: Credential | NotAuthenticated, app_token: str | None, address: str
    ) -> Identity:
        """Whose *credential* it is, or the refusal of one that is seen to be wrong. *address* is the client's.

        Raises what a `Verifier` does, and `TooManyAttempts` where *address* has been wrong too often.
        """
        verdict = self._remembered(digest)
        if isinstance(verdict, Identity):
            return verdict  # however often others at this address were wrong
        if digest not in self._asked:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await (turn := self._throttle.turn(address)).acquire()
            except TimeoutError:
                raise VerificationUnavailable(CROWDED) from None
            try:
                return await self._judge(digest, credential, app_token, address)
            finally:
                turn.release()
        return await self._judge(digest, credential, app_token, address)

    async def _judge(
        self, digest: bytes, credential: Credential | NotAuthenticated, app_token: str | None, address: str
    ) -> Identity:
        """See `identify`."""
        verdict = self._remembered(digest)  # it may have become known while others had their turns
        if isinstance(verdict, Identity):
            return verdict
        if (seconds := self._throttle.wait(address)) > 0:
            raise TooManyAttempts(
                N_("Too many wrong credentials came from your address. Try again in %(seconds)s seconds."),
                {"seconds": int(seconds) + 1},
            )
        if isinstance(credential, NotAuthenticated):
            verdict = credential
        elif verdict is None:
            verdict = await self._ask(digest, credential, app_token)
        if isinstance(verdict, Identity):
            return verdict
        if isinstance(verdict, NotAuthenticated | Forbidden) and not isinstance(verdict, CredentialExpired):
            self._throttle.failed(address)  # it is what guessing leads to
        raise _anew(verdict)

    async def close(self) -> None:
        """Ask no more, and give back what the verifiers hold."""
        tasks = tuple(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for verifier in set(self._verifiers.values()):
            await verifier.close()

    def _remembered(self, digest: bytes) -> _Verdict | None:
        found = self._known.get(digest)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    async def _ask(self, digest: bytes, credential: Credential, app_token: str | None) -> _Verdict:
        """The one answer to all who ask for the same at the same time; who leaves does not take it along."""
        task = self._asked.get(digest)
        if task is None:
            task = self._asked[digest] = asyncio.create_task(self._verdict(digest, credential, app_token))
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        return await asyncio.shield(task)

    async def _verdict(self, digest: bytes, credential: Credential, app_token: str | None) -> _Verdict:
        verifier = self._verifiers.get(_SCHEMES[type(credential)])
        verdict: _Verdict
        if verifier is None:
            return NotAuthenticated(WRONG)
        try:
            async with asyncio.timeout(_PATIENCE):
                verdict = await verifier.verify(credential, app_token)
        except TimeoutError:
            return VerificationUnavailable(UNAVAILABLE)
        except (NotAuthenticated, Forbidden) as error:
            verdict = _anew(error)
        except PictureError as error:
            return _anew(error)  # of no use to who asks later
        seconds = self._remember_for if isinstance(verdict, Identity) else min(_REFUSED_FOR, self._remember_for)
        if isinstance(verdict, Identity) and verdict.until is not None:
            seconds = min(seconds, verdict.until - time.time())
        self._known.set(digest, (time.monotonic() + seconds, verdict))
        return verdict


def _anew(error: PictureError) -> PictureError:
    """*error* without the frames that it came through: these hold the credential."""
    return type(error)(error.message, error.values)
