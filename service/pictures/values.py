"""What the use case takes and gives: originals, cached entries, selections, pictures. Knows no HTTP and no library."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.order import Reduction

BLANK: Literal["blank"] = "blank"
"""Stands where a contact's id stands in cache keys, for the placeholders, which all contacts share."""

Pieces = AsyncGenerator[bytes | memoryview, None]
"""A body in pieces. Whoever has it closes it."""


class MezzanineOwner(NamedTuple):
    """Stands where a contact's id stands in cache keys, for its mezzanine, whose life is a shorter one of its own."""

    contact: int


Owner = int | Literal["blank"] | MezzanineOwner
"""What a cache keeps entries together by."""


def contact_of(owner: Owner) -> int | Literal["blank"]:
    """Whose *owner*'s entries are: a contact's mezzanine is the contact's own."""
    return owner.contact if isinstance(owner, MezzanineOwner) else owner


RECORD = "original"
"""The field of what is known of a contact's original."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a picture cannot be used, until *until* (Unix seconds; infinite: until it is looked at again).

    *recipe* is the digest of the settings it was judged by; under others it says nothing.
    """

    message: str
    values: tuple[tuple[str, str | int], ...]
    until: float
    recipe: str = ""

    @property
    def permanent(self) -> bool:
        """Whether it was told from the stored bytes themselves, so that they cannot go out as stored either."""
        return math.isinf(self.until)

    def error(self) -> Unrenderable:
        """The same words again, without the work."""
        return Unrenderable(self.message, dict(self.values))


@dataclass(frozen=True, slots=True)
class Failure:
    """A rendition of a sound picture, by its *field* in the cache, that failed *strikes* times.

    It counts until *until* (Unix seconds). The field ends with the digest of the settings, so it counts under these
    settings alone.
    """

    field: str
    until: float
    strikes: int


@dataclass(frozen=True, slots=True)
class Original:
    """A contact's picture as stored: told from its first bytes and from stat, without decoding.

    *size* is in bytes, *modified* in Unix seconds, None if that cannot be told; *dimensions* are the upright picture's
    width and height in pixels, as its header gives them, None if the header does not give them; *strikes* counts the
    render workers that it ended; *failures* are its renditions that failed.
    """

    contact: int
    version: str
    size: int
    modified: int | None
    format: Format
    alpha: bool
    fault: Fault | None = None
    strikes: int = 0
    dimensions: tuple[int, int] | None = None
    failures: tuple[Failure, ...] = ()


class OriginalChanged(Exception):
    """The original is no longer the version that was selected; select again."""


class OriginalEmpty(Exception):
    """A contact has only files without bytes. A copy may be under way, so this absence is not recorded."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached value: *body*, of the original's *version*, kept since *stored_at* (Unix seconds)."""

    version: str
    stored_at: float
    detail: str
    body: bytes


@dataclass(frozen=True, slots=True)
class EntryHead:
    """What is known of an `Entry` without reading its body, *length* bytes long."""

    version: str
    detail: str
    length: int


@dataclass(frozen=True, slots=True)
class MezzanineFile:
    """A mezzanine as a file, and what it is a reduction of. *key* names it: its original's contact and version."""

    key: str
    data: bytes
    reduction: Reduction


@dataclass(frozen=True, slots=True)
class Picture:
    """Bytes ready to be sent: *length* of them, whole in *body* or coming in pieces, or neither for HEAD.

    *older* is the entity tag of an older rendition that stands in for the one selected, which cannot be had just now.
    """

    length: int
    body: bytes | memoryview | Pieces | None
    detail: str = ""
    older: str | None = None
