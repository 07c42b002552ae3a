"""The generation of a server: it tells one that has lost writes, as after a restore of an older dump.

The server has a number, which every purge increments, and an *epoch*, which the seal of every value covers.
Each process remembers the highest number that it has received. A server with a lower one has lost purges, and may hold
what they had dropped. The process then gives the server another epoch: all values of the earlier one are damaged.

- Replies and messages arrive over several connections, so a lower number counts only if the higher one was known before
  the server was asked.
- A process never takes an epoch again that it has found void, whatever the number.
- A server without a number is new. Over a connection that was there before, it was emptied, and what was put since then
  is good. Over a new connection, it may have been restored from the dump of an older release.
- The numbers are serial numbers (RFC 1982): after the last one follows 1. So no number that a stranger writes or
  publishes is the end of them, or later than all others. Other foreign values are replaced.
- A process that has not received the lost purge cannot know of it. If only such processes purge at first, and as often,
  the number is as high as before, and the loss is not noticed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from redis.exceptions import ResponseError

from service.caches import scripts
from service.caches.pipeline import Command
from service.pictures.ports import CacheUnavailable

log = structlog.get_logger()

_CHECK_PERIOD = 1.0
"""Seconds between two checks. A new connection is checked at once."""
_STATE = re.compile(r"([0-9]{1,12}):([0-9a-f]{0,16})")
"""A number and an epoch in a message."""
_MOST_VOID = 1_024
"""Void epochs that are remembered: a stranger can add one in each check."""
_NONE = "-"
"""In place of the epoch that a new server does not have."""


class Generation:
    """What this process knows of the number and the epoch, which are in the hash *key*.

    *ask* sends a command; it is set before the first connection is made. *on_loss* is called when the entries in memory
    may be older than a purge. *sender* is the name of this process in messages on *channel*.
    """

    ask: Callable[..., asyncio.Future[Any]]

    def __init__(self, key: str, channel: str, sender: str) -> None:
        self.key, self._channel, self._sender = key, channel, sender
        self.on_loss: Callable[[], None] = lambda: None
        self.number, self.epoch = 0, ""
        self._void: dict[str, None] = {}
        self._proposing = False

    @property
    def arguments(self) -> tuple[str | int, ...]:
        """The first arguments of the scripts PURGE and PROPOSE_EPOCH."""
        return self._channel, self._sender, self.number, self.epoch

    @property
    def _lookup(self) -> Command:
        return "EVAL", scripts.GET_GENERATION, 1, self.key

    def greeting(self) -> tuple[Command, Callable[[object], None]]:
        """Return the first command of a new connection, and what receives its reply before all others are received."""
        known = self.number
        return self._lookup, lambda reply: self._learn(reply, known, reconnected=True)

    async def watch(self) -> None:
        """Check the server once a second until this task is cancelled: it may lose writes and keep its connections."""
        while True:
            await asyncio.sleep(_CHECK_PERIOD)
            known = self.number
            with suppress(CacheUnavailable, ResponseError):
                self._learn(await self.ask(*self._lookup), known)

    def heard(self, state: str) -> bool:
        """Take the number and the epoch from the message of a purge. Return False if it has none (older releases)."""
        if match := _STATE.fullmatch(state):
            self._adopt(int(match[1]), match[2])
        return match is not None

    def _learn(self, reply: object, known: int, *, reconnected: bool = False) -> None:
        """Take the server's state. *known* is the number from before the server was asked. Raise an error reply."""
        match reply:
            case [bytes(number), bytes(epoch)]:
                found = _STATE.fullmatch(f"{number.decode(errors='replace')}:{epoch.decode(errors='replace')}")
            case [_, _]:
                found = None
            case ResponseError():
                raise reply
            case _:
                raise CacheUnavailable("the answer is no Redis server's")
        if found is None:
            if reconnected and known and not self._proposing:  # emptied, or restored from a dump without a number
                self._make_void(self.epoch)
            self._propose(_NONE)
        elif _is_earlier(int(found[1]), known) and found[2] not in self._void:
            log.warning("cache.lost_writes", generation=int(found[1]), known=known)
            self._make_void(found[2])
            self._propose(found[2])
        else:
            self._adopt(int(found[1]), found[2])

    def _adopt(self, number: int, epoch: str) -> None:
        if epoch in self._void:
            self._propose(epoch)
        elif not _is_earlier(number, self.number):  # otherwise the news is late
            self.number = number
            if epoch != self.epoch:
                self.epoch = epoch
                self.on_loss()

    def _make_void(self, epoch: str) -> None:
        self._void[epoch] = None
        if len(self._void) > _MOST_VOID:
            del self._void[next(iter(self._void))]
        self.epoch = secrets.token_hex(8)
        self.on_loss()

    def _propose(self, seen: str) -> None:
        """Have the server take this process's epoch in place of *seen*. One process of the fleet succeeds."""
        if self._proposing:
            return
        self._proposing, known = True, self.number

        def replied(reply: asyncio.Future[Any]) -> None:
            if not reply.cancelled() and reply.exception() is None:
                with suppress(CacheUnavailable):
                    self._learn(reply.result(), known)
            self._proposing = False  # after a failure, the next check proposes again

        self.ask("EVAL", scripts.PROPOSE_EPOCH, 1, self.key, *self.arguments, seen).add_done_callback(replied)


def _is_earlier(number: int, other: int) -> bool:
    """Return whether *number* is earlier than *other*, which is 0 if it is not known yet."""
    return bool(other) and (number - other) % scripts.GENERATIONS >= scripts.GENERATIONS // 2
