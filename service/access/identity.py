"""Who somebody is, as far as it matters here: what they may do, and for how long that is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What may be done, by its name in the users' file and in claims."""

    READ = "read"
    """Look at pictures."""
    WRITE = "write"
    """PUT, POST and DELETE."""
    PURGE = "purge"
    """Drop what is cached."""


READER = frozenset((Role.READ,))
EVERYTHING = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whose credential was found to be good. *until* is in Unix seconds: it is worth nothing from then on."""

    roles: frozenset[Role] = READER
    until: float | None = None
