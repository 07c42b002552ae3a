"""Asks a users' file whether a name and a password belong together."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from argon2.exceptions import VerificationError

from service.access.identity import Identity
from service.access.ports import CROWDED, UNAVAILABLE, WRONG
from service.access.verifiers.user_lines import MAX_PASSWORD, BadUsers, User, decoy, matches
from service.access.verifiers.user_store import read, state
from service.bounded_queue import BoundedQueue, QueueFull
from service.errors import NotAuthenticated, Overloaded, VerificationUnavailable
from service.protocol.credentials import Basic, Credential

log = structlog.get_logger()

_AT_ONCE = 2
"""Verifications: each takes 64 MiB, and as many cores as it gets."""
_WAITING = 32
"""Verifications that may wait for them: seconds, not minutes."""


class UsersFile:
    """A `Verifier` of Basic credentials by the file at *path*, which is read again when it has changed.

    Whoever is not in the file is told so as late as whoever has the wrong password. *timeout*, in seconds, bounds a
    verification with its wait. Raises `BadUsers` for a file that cannot be used; where one becomes so later, the users
    stay who they were. A file that has changed is read by the next verification.
    """

    def __init__(self, path: Path, *, timeout: float = 8.0) -> None:
        self._path, self._timeout = path, timeout
        self._state, self._fault = state(path), ""
        self._users = read(path)
        self._decoy = decoy(self._users)
        self._reading = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="users", initializer=_give_way)
        self._free_threads, self._queue = asyncio.Semaphore(_AT_ONCE), BoundedQueue(_WAITING, None)

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
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
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, credential: Basic) -> Identity | None:
        judged = asyncio.get_running_loop().run_in_executor(self._threads, self._judge, credential)
        judged.add_done_callback(lambda _: self._free_threads.release())  # not before: a thread cannot be cancelled
        return await asyncio.shield(judged)

    def _judge(self, credential: Basic) -> Identity | None:
        users, other = self._current()
        user = users.get(credential.user)
        password = credential.password.encode()
        right = matches(user.hash if user else other, password[:MAX_PASSWORD])
        return user.identity if user and right and len(password) <= MAX_PASSWORD else None

    def _current(self) -> tuple[dict[str, User], str]:
        """The users and the decoy by the file as it is now, or as it was when it could be used."""
        with self._reading:
            try:
                if (seen := state(self._path)) != self._state:
                    self._users = read(self._path)
                    self._decoy, self._state, self._fault = decoy(self._users), seen, ""
                    log.info("users.read", users=len(self._users))
            except BadUsers as error:
                if self._fault != (fault := str(error)):
                    self._fault = fault
                    log.warning("users.unusable", reason=fault)
            return self._users, self._decoy


def _give_way() -> None:
    """Let this thread, and those that argon2 begins in it, take what hits leave of the cores, where the system can."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # A service that was started with a higher niceness may not lower it.
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))
