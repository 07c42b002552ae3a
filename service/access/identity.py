"""Roles, and the identity that a verified credential belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """A permission, by its name in the users' file and in claims."""

    READ = "read"
    """GET and HEAD."""
    WRITE = "write"
    """PUT, POST and DELETE."""
    PURGE = "purge"
    """PURGE, which removes a contact from the caches."""


READER = frozenset((Role.READ,))
EVERYTHING = frozenset(Role)


class Basis:
    """What identities rest on: a line of the users' file, or a key. If it is withdrawn, they are valid no longer."""

    __slots__ = ("withdrawn",)

    def __init__(self) -> None:
        self.withdrawn = False


MAX_NAME = 256
"""Characters of a name that are kept."""
LASTING = Basis()
"""The basis of identities that are valid for as long as they are remembered."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The roles of a verified credential. It expires at *until*, in Unix seconds, and when its *basis* is withdrawn.

    *name* is the user's, for the log; empty if the credential has none.
    """

    roles: frozenset[Role] = READER
    until: float | None = None
    basis: Basis = field(default=LASTING, repr=False, compare=False)
    name: str = field(default="", repr=False, compare=False)
