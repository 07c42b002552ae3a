"""The mezzanines that a render process keeps decoded.

The render process holds one of these with the pictures, and the service holds one with the same keys and no pictures.
Both make the same calls in the same order, so the service knows what the process keeps.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

CAPACITY = 6
"""Mezzanines kept in one process. Each has 2 to 4 MB of pixels."""


class DecodedMezzanines(Generic[T]):
    """Values by key. A new value replaces the least recently used one."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def use(self, key: str) -> T:
        """Return the value, and make it the most recently used one. Raise KeyError when it is not kept."""
        self._values.move_to_end(key)
        return self._values[key]

    def keep(self, key: str, value: T) -> None:
        """Keep *value* as the most recently used one."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > CAPACITY:
            self._values.popitem(last=False)
