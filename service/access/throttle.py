"""Limits on failed attempts by client address: token buckets. This module does not know credentials."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b

_CAPACITY = 65_536
"""Keys that one limit remembers."""


class Limit:
    """Allows *burst* failed attempts at once, then *per_second* more, for every key.

    At most *capacity* keys are remembered; the key whose last failure is oldest is removed first. A bucket is full
    again after *burst* / *per_second* seconds, so an attacker gains by its removal only when *capacity* other keys fail
    within that time, and each of those had as many attempts.
    """

    def __init__(self, burst: int, per_second: float, capacity: int = _CAPACITY) -> None:
        self._burst, self._interval, self._capacity = burst, 1 / per_second, capacity
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def failed(self, key: Hashable) -> None:
        """Count a failed attempt of *key*."""
        now = time.monotonic()
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        self._full_at[key] = min(full_at, now + self._burst * self._interval)
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)

    def wait(self, key: Hashable) -> float:
        """Return the seconds until *key* may try again; 0 when it may try now."""
        full_at = self._full_at.get(key, 0.0)
        return max(0.0, full_at - time.monotonic() - (self._burst - 1) * self._interval)


class Throttle:
    """Limits failed attempts by address and user together, by address, and by IPv6 network of 48 bits.

    The first limit is the lowest one, so that wrong passwords for one user leave other users of the same address free.
    """

    def __init__(self) -> None:
        self._by_user = Limit(burst=20, per_second=1 / 3)
        self._by_address = Limit(burst=200, per_second=1)
        self._by_network = Limit(burst=800, per_second=4)

    def failed(self, address: str, user: str | None) -> None:
        """Count a failed attempt of *address*, for *user* if the credential names one."""
        for limit, key in self._buckets(address, user):
            limit.failed(key)

    def wait(self, address: str, user: str | None) -> float:
        """Return the seconds until *address* may try again for *user*; 0 when it may try now."""
        return max(limit.wait(key) for limit, key in self._buckets(address, user))

    def _buckets(self, address: str, user: str | None) -> list[tuple[Limit, Hashable]]:
        key = address_key(address)
        buckets: list[tuple[Limit, Hashable]] = [(self._by_address, key)]
        if isinstance(key, bytes) and len(key) == 8:
            buckets.append((self._by_network, key[:6]))
        if user is not None:
            # SuperOffice takes names in any letter case. A digest, since a name may have any length.
            name = user.casefold().encode("utf-8", "surrogatepass")
            buckets.append((self._by_user, (key, blake2b(name, digest_size=16).digest())))
        return buckets


def address_key(address: str) -> bytes | str:
    """Return what *address* is counted by: the first 64 bits of IPv6, all of IPv4 in either notation.

    One customer has a network of 64 bits. A text that is no IP address, as for a unix socket's peer, counts as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.packed[:8] if parsed.ipv4_mapped is None else parsed.ipv4_mapped.packed
    return parsed.packed
