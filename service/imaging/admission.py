"""The check of an upload: it must be complete, in a format that is read here, and within the limits.

Any bytes raise `UnsupportedUpload` or `Unrenderable` and no other exception.
"""

from __future__ import annotations

from zlib import crc32

from service.errors import N_, Unrenderable, Unsupported, UnsupportedUpload
from service.formats import Fit, Format
from service.imaging.containers.peek import format_of
from service.imaging.errors import as_unrenderable, unwritable_as_unrenderable
from service.imaging.order import Encoding, Limits, Order
from service.imaging.reading.readers import opened
from service.imaging.render import render
from service.imaging.stripping import lossless, stripped, unstrippable


def admit(data: bytes, limits: Limits, strip: Encoding | None = None) -> bytes | None:
    """Decode all of *data*. With *strip*, return the bytes to store, without metadata."""
    try:
        kind = format_of(data)
    except Unrenderable:
        raise UnsupportedUpload(N_("The body is no picture in a format that is read here.")) from None
    try:
        with as_unrenderable():
            pixels = _decoded(data, kind, limits)
            if strip is None:
                return None
            clean = stripped(data, kind, limits, strip)
    except Unsupported as error:
        raise UnsupportedUpload(error.message, error.values) from None
    if not _as_good(clean, pixels if lossless(kind) else None, limits):
        raise unstrippable()  # readers correct an error in the file, and the stripping does not
    return clean


def _as_good(clean: bytes, pixels: int | None, limits: Limits) -> bool:
    """Return whether *clean* can be decoded, and to the same checksum of *pixels* if that is given."""
    try:
        with as_unrenderable():
            return _decoded(clean, format_of(clean), limits) == pixels or pixels is None
    except Unrenderable:
        return False


def _decoded(data: bytes, kind: Format, limits: Limits) -> int:
    """Return a checksum of the pixels, after a rendition was made of all frames that renditions can have."""
    with unwritable_as_unrenderable():
        render(data, Order(Format.PNG, 1, 1, Fit.FILL, limits))
    image, _ = opened(data, kind, limits)
    image.load()  # at full size: the rendition of a JPEG decodes an eighth
    return crc32(image.tobytes())
