"""Verification of users and passwords by a users' file."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from functools import partial
from pathlib import Path

import structlog
from argon2.exceptions import VerificationError

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG, Verifier
from service.access.schemes import AuthOptions, Basic, Credential
from service.access.verifiers.users_storage import read, state
from service.access.verifiers.users_text import MAX_PASSWORD, BadUsers, User, decoy, matches
from service.bounded_queue import BoundedQueue, QueueFull
from service.errors import NotAuthenticated, Overloaded, VerificationUnavailable
from service.threads import Threads

log = structlog.get_logger()

_THREADS = 2
"""Concurrent verifications. One takes 64 MiB, and as many cores as are free."""
_MAX_WAITING = 32
"""Verifications that wait for a thread. More would wait for minutes."""


class UsersFile:
    """A `Verifier` of Basic credentials by the file at *path*. The first verification after a change reads it again.

    An unknown user costs as much time as a wrong password. *timeout*, in seconds, bounds a verification and its wait.
    Raises `BadUsers` for a file that cannot be used. If a file becomes unusable later, its last users stay valid.
    """

    def __init__(self, path: Path, *, timeout: float = 8.0) -> None:
        self._path, self._timeout = path, timeout
        self._state, self._fault = state(path), ""
        self._users = read(path)
        self._decoy = decoy(self._users)
        self._reading = threading.Lock()
        self._threads = Threads(_THREADS, name="users", hangs_after=timeout, spare=0, begin=_lower_priority)
        weakref.finalize(self, self._threads.shutdown)
        self._free_threads, self._queue = asyncio.Semaphore(_THREADS), BoundedQueue(_MAX_WAITING, None)

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        """See `Verifier`. Raise `Overloaded` when too many verifications wait."""
        assert isinstance(credential, Basic)
        try:
            async with asyncio.timeout(self._timeout):
                await self._queue.wait(self._free_threads.acquire)
                identity = await self._in_thread(credential)
        except QueueFull:
            raise Overloaded(CROWDED) from None
        except (TimeoutError, VerificationError) as error:
            raise VerificationUnavailable(UNAVAILABLE) from error
        if identity is None:
            raise NotAuthenticated(WRONG)
        return identity

    async def close(self) -> None:
        """End the threads when their verifications are over."""
        self._threads.shutdown()

    async def _in_thread(self, credential: Basic) -> Identity | None:
        verification = self._threads.run(partial(self._verify, credential))
        # A thread cannot be cancelled: it is free when it is done, even if the caller has left.
        verification.add_done_callback(lambda _: self._free_threads.release())
        return await asyncio.shield(verification)

    def _verify(self, credential: Basic) -> Identity | None:
        users, decoy_hash = self._current()
        user = users.get(credential.user)
        password = credential.password.encode()
        right = matches(user.hash if user else decoy_hash, password[:MAX_PASSWORD])
        return user.identity if user and right and len(password) <= MAX_PASSWORD else None

    def _current(self) -> tuple[dict[str, User], str]:
        """Return the users and the decoy hash of the file, or those of its last usable state."""
        with self._reading:
            try:
                if (now := state(self._path)) != self._state:
                    self._users = read(self._path)
                    self._decoy, self._state, self._fault = decoy(self._users), now, ""
                    log.info("users.read", users=len(self._users))
            except BadUsers as error:
                if self._fault != (fault := str(error)):
                    self._fault = fault
                    log.warning("users.unusable", reason=fault)
            return self._users, self._decoy


def make_verifier(auth: AuthOptions, _: Verifier | None) -> UsersFile:
    """See `VerifierFactory`."""
    return UsersFile(Path(auth.users_file))


def _lower_priority() -> None:
    """Give this thread, and those that argon2 starts in it, only the cores that requests leave free (Linux only)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A service that was started with a higher niceness may not lower it.
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))
