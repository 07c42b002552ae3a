"""What can be fuzzed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The function *run*, which raises an exception for a bug, and the inputs that fuzzing begins with.

    *mutate* returns the mutant of an input with the given number. Every second change is one of these.
    """

    run: Callable[[bytes], object]
    corpus: Callable[[], Iterable[bytes]]
    mutate: Callable[[bytes, int], bytes] | None = None


def text(data: bytes) -> str:
    """Return *data* as aiohttp gives the bytes of a header field."""
    return data.decode("utf-8", "surrogateescape")
