"""Whether an upload is a picture that can be shown for good: whole, in a format that is read here, within the bounds.

Raises `UnsupportedUpload` or `Unrenderable` and nothing else, whatever the bytes are.
"""

from __future__ import annotations

from zlib import crc32

from service.errors import N_, Unrenderable, Unsupported, UnsupportedUpload
from service.formats import Fit, Format
from service.imaging.containers.peek import format_of
from service.imaging.failures import as_unrenderable, writes_or_refuses
from service.imaging.order import Encoding, Limits, Order
from service.imaging.reading.decode import opened
from service.imaging.render import render
from service.imaging.stripping import LOSSLESS, stripped, unstrippable


def admit(data: bytes, limits: Limits, strip: Encoding | None = None) -> bytes | None:
    """Decode all of *data*. With *strip*, gives the bytes to be stored, without metadata."""
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
    if not _as_good(clean, pixels if kind in LOSSLESS else None, limits):
        raise unstrippable()  # the file has a fault that readers correct and the walk through it does not
    return clean


def _as_good(clean: bytes, pixels: int | None, limits: Limits) -> bool:
    """Whether *clean* can be decoded, and to those *pixels* if they are given."""
    try:
        with as_unrenderable():
            return _decoded(clean, format_of(clean), limits) == pixels or pixels is None
    except Unrenderable:
        return False


def _decoded(data: bytes, kind: Format, limits: Limits) -> int:
    """A checksum of its pixels, once a rendition was made of it, of all its frames where renditions move."""
    with writes_or_refuses():
        render(data, Order(Format.PNG, 1, 1, Fit.FILL, limits))
    image, _ = opened(data, kind, limits)
    image.load()  # in full: a rendition of a JPEG takes an eighth
    return crc32(image.tobytes())
