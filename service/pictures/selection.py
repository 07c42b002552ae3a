"""The selection of a picture: its validators and how it is made, both known before its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from service.formats import Format, IfBlank
from service.imaging.order import Encoding, Limits, Order, Placeholder
from service.pictures.originals import RecordedOriginal
from service.pictures.values import Entry, Original, Owner, PlaceholderFile
from service.protocol.negotiate import FormatChoice


@dataclass(frozen=True, slots=True)
class Recipe:
    """How renditions are made. *digest* identifies all settings and encoder versions that affect their bytes."""

    limits: Limits
    encoding: Encoding
    digest: str
    as_stored: bool


class FileRendition(NamedTuple):
    """The work of a placeholder that is a rendition of a *file*."""

    file: PlaceholderFile
    order: Order

    @property
    def format(self) -> Format:
        """The format of the rendition."""
        return self.order.format


class Selection(NamedTuple):
    """The picture that a request gets.

    *work* is the order, or how the placeholder is made; None means the stored bytes. *placeholder* is the kind of a
    placeholder, and None for a picture. *recorded* is the record that the selection was made from.
    """

    owner: Owner
    field: str
    version: str
    etag: str
    choice: FormatChoice
    last_modified: int | None
    work: Order | Placeholder | FileRendition | None
    original: Original | None = None
    placeholder: IfBlank | None = None
    recorded: RecordedOriginal | None = None

    @property
    def worded(self) -> bool:
        """Whether the picture shows words, and so depends on the reader's language."""
        return isinstance(self.work, Placeholder) and self.work.kind.worded


@dataclass(frozen=True, slots=True)
class Selected:
    """What is kept of a `Selection` to tell later whether it is still valid: its *record*, fresh until *until*.

    *until* is in Unix seconds.
    """

    owner: Owner
    field: str
    record: Entry
    until: float


def entity_tag(owner: Owner, version: str, field: str, choice: FormatChoice) -> str:
    """Return the strong entity tag of a rendition. JSON is another representation of the same bytes."""
    parts = f"{owner}\n{version}\n{field}\n{'json' if choice.json else 'picture'}"
    return f'"{blake2b(parts.encode(), digest_size=12).hexdigest()}"'
