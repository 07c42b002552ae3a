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
from service.access.verifiers.users_storage import read
from service.access.verifiers.users_text import MAX_PASSWORD, User, cost_of, decoys, matches, succeed
from service.access.verifiers.watched_file import WatchedFile, require_unwritable
from service.bounded_queue import BoundedQueue, QueueFull
from service.errors import NotAuthenticated, Overloaded, VerificationUnavailable
from service.system.threads import Threads

log = structlog.get_logger()

_THREADS = 2
"""Concurrent verifications. One takes 64 MiB, and as many cores as are free."""
_MAX_WAITING = 32
"""Verifications that wait for a thread. More would wait for minutes."""


_Users = tuple[dict[str, User], dict[str, str]]
"""The users by their names, and the decoys by their costs."""


class UsersFile:
    """A `Verifier` of Basic credentials by the file at *path*. The first verification after a change reads it again.

    Every refusal compares a hash of every cost in the file, so that its time does not depend on the user.

    *timeout*, in seconds, bounds a verification and its wait. Raises `BadUsers` for a file that cannot be used. If a
    file becomes unusable later, its last users stay valid.
    """

    def __init__(self, path: Path, *, timeout: float = 8.0) -> None:
        self._timeout = timeout
        self._file = WatchedFile(path, _read, _succeed, lambda fault: log.warning("users.unusable", reason=fault))
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

    async def refresh(self) -> None:
        """See `Verifier`: read a changed file."""
        await self._file.refresh()

    async def close(self) -> None:
        """End the threads when their verifications are over."""
        self._threads.shutdown()
        self._file.close()

    async def _in_thread(self, credential: Basic) -> Identity | None:
        verification = self._threads.run(partial(self._verify, credential))
        # A thread cannot be cancelled: it is free when it is done, even if the caller has left.
        verification.add_done_callback(lambda _: self._free_threads.release())
        return await asyncio.shield(verification)

    def _verify(self, credential: Basic) -> Identity | None:
        users, others = self._file.current()
        user = users.get(credential.user)
        given = credential.password.encode()
        password = given[:MAX_PASSWORD]
        if user and matches(user.hash, password) and len(given) <= MAX_PASSWORD:
            return user.identity
        for cost, decoy in others.items():
            if user is None or cost != cost_of(user.hash):
                matches(decoy, password)
        return None


def _read(path: Path) -> _Users:
    users = read(path)
    return users, decoys(users)


def _succeed(earlier: _Users, now: _Users) -> _Users:
    users, others = now
    log.info("users.read", users=len(users))
    return succeed(earlier[0], users), others


def make_verifier(auth: AuthOptions, _: Verifier | None) -> UsersFile:
    """See `VerifierFactory`. Raise `BadFile` for a file that others may write, unless the settings accept it."""
    users = UsersFile(path := Path(auth.users_file))
    require_unwritable(path, auth)
    return users


def _lower_priority() -> None:
    """Give this thread, and those that argon2 starts in it, only the cores that requests leave free (Linux only)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A service that was started with a higher niceness may not lower it.
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))
