"""The few mezzanines that a render process keeps decoded. Both ends hold one of these, and agree on what is there."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 6
"""MezzanineRenderer in a process; each is 2 to 4 MB of pixels."""


class DecodedMezzanines(Generic[T]):
    """Values by key; the least recently used one is dropped for a new one."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def used(self, key: str) -> T:
        """The value, which is the most recently used now. Raises KeyError."""
        self._values.move_to_end(key)
        return self._values[key]

    def keep(self, key: str, value: T) -> None:
        """Keep *value*, as the most recently used."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _MOST:
            self._values.popitem(last=False)
