"""Originals without the metadata of cameras and editors. The orientation and the colours stay.

JPEG, PNG, WebP, GIF and BMP keep every bit of their pixels. Other formats are re-encoded.
"""

from __future__ import annotations

from dataclasses import replace

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.table import CONTAINERS
from service.imaging.errors import unwritable_as_unrenderable
from service.imaging.geometry import MAX_SIDE
from service.imaging.order import Encoding, Limits, Order
from service.imaging.pixels.orientation import orientation
from service.imaging.reading.readers import opened
from service.imaging.render import rendition
from service.imaging.source import Source


def lossless(kind: Format) -> bool:
    """Return whether pictures of that *kind* keep every bit of their pixels."""
    return CONTAINERS[kind].stripped is not None


def unstrippable() -> Unrenderable:
    """Return the error for a sound picture that cannot be written without its metadata."""
    return Unrenderable(N_("The picture cannot be stored without its metadata."))


def stripped(data: bytes, kind: Format, limits: Limits, encoding: Encoding) -> bytes:
    """Return *data*, which was decoded before, without its metadata. Raise `Unrenderable` when that fails."""
    try:
        strip = CONTAINERS[kind].stripped
        if strip is None:
            return _re_encoded(data, kind, limits, encoding)
        image, _ = opened(data, kind, limits)
        return strip(data, orientation(image), limits.max_frames)
    except (Unrenderable, MemoryError):
        raise
    except Exception:  # the picture is sound, so a writer failed
        raise unstrippable() from None


def _re_encoded(data: bytes, kind: Format, limits: Limits, encoding: Encoding) -> bytes:
    """Return the picture in its own size and format, or for a format that is only read, in one that shows the same."""
    limits = replace(limits, max_dimension=MAX_SIDE)
    source = Source(data, limits)
    image, _ = opened(data, kind, limits)
    shown = Format.PNG if image.has_transparency_data else Format.JPEG
    with unwritable_as_unrenderable():
        made = rendition(source, Order(kind if kind.writable else shown, limits=limits, encoding=encoding))
    if made.first_frame or (made.width, made.height) != source.size:
        raise Unrenderable(N_("The picture is too large to be stored without its metadata."))
    return made.data
