"""A limit on failed attempts by client address: a token bucket for every address."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from weakref import WeakValueDictionary


class Throttle:
    """Allows *burst* failed attempts at once, then *per_second* more, for every client address.

    An IPv6 network of 64 bits counts as one address, since one customer has all of it. An IPv4 address is the same in
    either notation. At most *capacity* addresses are remembered; the address whose last failure is oldest is removed
    first. A bucket is full again after *burst* / *per_second* seconds, so an attacker gains by its removal only when
    *capacity* other addresses fail within that time, and each of those had as many attempts.
    """

    def __init__(self, capacity: int = 65_536, burst: int = 20, per_second: float = 1 / 3) -> None:
        self._capacity, self._burst, self._interval = capacity, burst, 1 / per_second
        self._full_at: OrderedDict[bytes | str, float] = OrderedDict()
        self._slots: WeakValueDictionary[bytes | str, asyncio.Semaphore] = WeakValueDictionary()  # while in use

    def slot(self, address: str) -> asyncio.Semaphore:
        """Return the semaphore to hold while an attempt of *address* is verified. It admits *burst* holders.

        Without it, a thousand guesses that are sent together would all be verified before the first is counted.
        """
        key = _key(address)
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = asyncio.Semaphore(self._burst)
        return slots

    def failed(self, address: str) -> None:
        """Count a failed attempt of *address*."""
        key, now = _key(address), time.monotonic()
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        self._full_at[key] = min(full_at, now + self._burst * self._interval)
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)

    def wait(self, address: str) -> float:
        """Return the seconds until *address* may try again; 0 when it may try now."""
        full_at = self._full_at.get(_key(address), 0.0)
        return max(0.0, full_at - time.monotonic() - (self._burst - 1) * self._interval)


def _key(address: str) -> bytes | str:
    """Return what *address* is counted by; the text itself if it is not an IP address, as for a unix socket's peer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.packed[:8] if parsed.ipv4_mapped is None else parsed.ipv4_mapped.packed
    return parsed.packed
