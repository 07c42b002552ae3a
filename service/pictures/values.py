"""The values of the use case: originals, entries, pictures. This module does not know HTTP, and imports no library."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from service.errors import Unrenderable
from service.formats import Format, IfBlank, Initials
from service.imaging.order import Reduction

LAST_SECOND = 253_402_300_799
"""Unix seconds of the last second of the year 9999, the latest that HTTP dates can express."""

VERSION = re.compile(r"[0-9a-f]{1,16}--?[0-9a-f]{1,16}-[0-9a-f]{24}")
"""The form of a version: the size of a file, its modification time in nanoseconds, and a digest, in hexadecimal."""

MOST_FAILURES = 64
"""Failures in one record, which then stays below 8 KiB. A further one replaces the oldest."""

PLACEHOLDERS: Literal["blank"] = "blank"
"""The owner of the placeholders, which all contacts share. `Initials` are owners of their own placeholders."""

RECORD = "original"
"""The field of a contact's record."""

STORED = "stored"
"""The field of a contact's stored bytes."""

THUMB_HASH_FIELD = "thumbhash"
"""The field of the ThumbHash of a contact's original."""

ABSENCE = "absence"
"""The field that says that a process found no picture, although the record says that there is one."""

DOUBTED = "doubted"
"""The detail of a record that is older than the absence beside it."""

Pieces = AsyncGenerator[bytes | memoryview, None]
"""A body in pieces. Its receiver closes it."""

PIECE = 65_535
"""Bytes of one piece of a streamed picture. It is divisible by three, for base64. A slow reader holds one piece."""


class MezzanineOwner(NamedTuple):
    """The owner of a contact's mezzanine, which expires sooner than the contact's other entries."""

    contact: int


Owner = int | Literal["blank"] | Initials | MezzanineOwner
"""The first part of an entry's key: a contact's id, `PLACEHOLDERS`, `Initials` or a `MezzanineOwner`."""


def contact_of(owner: Owner) -> int | Literal["blank"] | Initials:
    """Return the contact whose purge drops the entries of *owner*, or the owner of a placeholder, which none drops."""
    return owner.contact if isinstance(owner, MezzanineOwner) else owner


@dataclass(frozen=True, slots=True)
class Fault:
    """The reason why an original cannot be rendered. It counts until *until* (Unix seconds, or infinity).

    *recipe* is the digest of the render settings under which it was found, and only under which it counts. It is empty
    when the fault does not depend on them.
    """

    message: str
    values: tuple[tuple[str, str | int], ...]
    until: float
    recipe: str = ""

    @property
    def permanent(self) -> bool:
        """Whether the stored bytes themselves show the fault, so that they are not sent as stored either."""
        return math.isinf(self.until)

    def error(self) -> Unrenderable:
        """Return the error that this fault was recorded from."""
        return Unrenderable(self.message, dict(self.values))


@dataclass(frozen=True, slots=True)
class Failure:
    """A rendition of a sound original that could not be made *strikes* times. It counts until *until* (Unix seconds).

    *field* is the rendition's field in the cache. It ends with the digest of the render settings, so a failure does not
    count under other settings.
    """

    field: str
    until: float
    strikes: int


@dataclass(frozen=True, slots=True)
class Original:
    """A contact's stored picture, as its first bytes and its file's status describe it. Nothing is decoded for it.

    *size* is in bytes. *modified* is in Unix seconds, or None if it is unknown. *dimensions* are the upright width and
    height in pixels, or None if the header does not give them. *strikes* counts the renders that ended their process or
    exceeded their time, and *strike_extent* is the largest extent of their renditions (`faults.py`). *failures* are the
    renditions that failed.
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
    strike_extent: int = 0


class PlaceholderFile(NamedTuple):
    """A file of the operator's that is a placeholder, and its bytes. The version of *original* is their digest."""

    original: Original
    data: bytes


PlaceholderFiles = Mapping[IfBlank, PlaceholderFile]
"""The operator's placeholders by kind."""


class OriginalChanged(Exception):
    """The stored original has another version than the selected one. The caller selects again."""


class OriginalEmpty(Exception):
    """A contact has only files without bytes. A copy may be under way, so this absence is not recorded."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached value: a *body* made from the original's *version*, and the time of its making in Unix seconds."""

    version: str
    stored_at: float
    detail: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredEntry(Entry):
    """Stored bytes and their *original*, as one look into a near store found them. It is in no shared cache.

    The body is empty if the picture is larger than a cached one may be.
    """

    original: Original


@dataclass(frozen=True, slots=True)
class EntryHead:
    """An `Entry` without its body, which has *length* bytes."""

    version: str
    detail: str
    length: int


@dataclass(frozen=True, slots=True)
class MezzanineFile:
    """A mezzanine as a file. *key* is the contact and version of its original."""

    key: str
    data: bytes
    reduction: Reduction


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of *length* bytes, ready to be sent. *body* is the whole, an iterator of pieces, or None for HEAD.

    *older* is the entity tag of an older rendition that is served because the selected one is not available now.
    """

    length: int
    body: bytes | memoryview | Pieces | None
    detail: str = ""
    older: str | None = None
