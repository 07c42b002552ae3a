"""How often an address may be wrong: a bucket of attempts for each, which fills again by the second."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from weakref import WeakValueDictionary


class Throttle:
    """*burst* wrong attempts at once, then *per_second* more, by client address.

    An IPv6 network of 64 bits counts as one address, since one customer has all of it; an IPv4 address is the same in
    either notation. At most *capacity* addresses are remembered, and the one that was wrong longest ago goes first. Its
    bucket is full again by itself *burst* / *per_second* seconds later, so that somebody gains by being driven out only
    where *capacity* others are wrong within that time: and those had as many attempts each.
    """

    def __init__(self, capacity: int = 65_536, burst: int = 20, per_second: float = 1 / 3) -> None:
        self._capacity, self._burst, self._interval = capacity, burst, 1 / per_second
        self._full_at: OrderedDict[bytes | str, float] = OrderedDict()
        self._turns: WeakValueDictionary[bytes | str, asyncio.Semaphore] = WeakValueDictionary()  # while they are used

    def turn(self, address: str) -> asyncio.Semaphore:
        """To be held while an attempt of *address* is judged: by *burst* at once, or all of a thousand guesses that are
        sent together would be judged before the first of them is counted."""
        key = _key(address)
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = asyncio.Semaphore(self._burst)
        return turns

    def failed(self, address: str) -> None:
        """A wrong attempt came from *address*."""
        key, now = _key(address), time.monotonic()
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        self._full_at[key] = min(full_at, now + self._burst * self._interval)
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)

    def wait(self, address: str) -> float:
        """Seconds until *address* may try again; 0 where it may now."""
        full_at = self._full_at.get(_key(address), 0.0)
        return max(0.0, full_at - time.monotonic() - (self._burst - 1) * self._interval)


def _key(address: str) -> bytes | str:
    """What *address* is counted by; as it stands where it is none, as with a unix socket's peer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.packed[:8] if parsed.ipv4_mapped is None else parsed.ipv4_mapped.packed
    return parsed.packed
