"""The news of the fleet: the messages on its channel. They have no seal, and can only make a process look again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from weakref import WeakValueDictionary

from service.caches.generation import Generation
from service.pictures.ports import Lease, Lookup

ALL = "*"
"""The contact in the message of a purge of everything."""
_PURGED = re.compile(r"purged ([0-9a-z]{1,64})(?::([0-9]{1,12}:[0-9a-f]{0,16}))? (\*|[0-9]{1,10})")
"""The message of a purge: its process, the generation of the server (none in an announcement), and the contact."""
_MOST_APART = 1_000
"""Contacts at most that are purged one by one. If one turn of the event loop brings more, everything is purged."""


def arrived(lease: Lease) -> str:
    """Return the message that *lease* has ended."""
    return f"arrived {lease.name}"


class News:
    """What the other processes publish. *awaited* has the events that the ends of leases set, by their names.

    *on_purge* is called once in a turn of the event loop for each contact whose purges were received, and only with
    None if everything was purged. The names of leases begin with *prefix*. *process* is this one's name. *generation*
    hears of the server's state. *count* is called with "unknown_news" for each message that is dropped.
    """

    def __init__(self, prefix: str, process: str, generation: Generation, count: Callable[[Lookup], None]) -> None:
        self._arrived, self._process, self._generation = f"arrived {prefix}:{{", process, generation
        self._count = count
        self.on_purge: Callable[[int | None], None] = lambda contact: None
        self.awaited: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._purged: set[int | None] = set()

    def receive(self, message: str) -> None:
        """Take one message."""
        if message.startswith(self._arrived):
            if (event := self.awaited.pop(message.partition(" ")[2], None)) is not None:
                event.set()
        elif purged := _PURGED.fullmatch(message):
            process, state, contact = purged.groups()
            if state is not None:
                self._generation.heard(state)
            if contact == ALL:
                self.purge(None)
            elif process != self._process:
                self.purge(int(contact))
        else:
            self._count("unknown_news")

    def purge(self, contact: int | None) -> None:
        """Have *contact* purged from memory before this turn of the event loop is over; with None, everything."""
        if not self._purged:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._purged.add(contact)

    def wake_all(self) -> None:
        """Set all events: messages may be late or lost."""
        for event in list(self.awaited.values()):
            event.set()
        self.awaited.clear()

    def _hand_over(self) -> None:
        purged, self._purged = self._purged, set()
        if None in purged or len(purged) > _MOST_APART:
            purged = {None}
        for contact in purged:
            self.on_purge(contact)
