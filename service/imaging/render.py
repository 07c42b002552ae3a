"""The one way from an original's bytes to a rendition's. Knows no HTTP, no store, no time limit: those are around it.

Raises `Unrenderable`, `Unwritable` or `BadParameter` and nothing else, whatever the bytes are.
"""

from __future__ import annotations

from PIL import features

from service.imaging.failures import as_unrenderable
from service.imaging.order import Encoding, Limits, Order, Rendered
from service.imaging.reading.heic import HEIF_VERSION
from service.imaging.source import Source

_REVISION = 5
"""Of how we render. A higher one makes renditions anew; raise it when the same order gives other pixels than before."""

__all__ = ["Encoding", "Limits", "Order", "Rendered", "encoder_versions", "render"]


def render(data: bytes, order: Order) -> Rendered:
    """Make the rendition that *order* asks for of the original *data*.

    Raises:
        Unrenderable: the bytes are no picture that we read, a corrupt one, or one that would cost too much.
        Unwritable: the picture was decoded, and the writer of the format failed.
        BadParameter: the size asked for leads to a side or an area above the limits.
    """
    with as_unrenderable():
        return Source(data, order.limits).render(order)


def encoder_versions() -> str:
    """This package, Pillow and every codec that has a say in a rendition's bytes: part of each ETag."""
    names = ("pil", "jpg", "libjpeg_turbo", "webp", "avif", "zlib", "zlib_ng", "libtiff", "littlecms2")
    versions = [f"{name}={features.version(name) or 'none'}" for name in names]
    return " ".join([f"revision={_REVISION}", *versions, f"heif={HEIF_VERSION}"])
