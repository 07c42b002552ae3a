"""Roles, and the identity that a verified credential belongs to."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Identity:
    """The roles of a verified credential. It expires at *until*, in Unix seconds."""

    roles: frozenset[Role] = READER
    until: float | None = None
