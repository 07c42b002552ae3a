"""What the first bytes alone tell: the format, and whether the header declares transparency.

Pure and bounded, for a store asks it of every original. It must never import Pillow, and never look at a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.headers.gif import table_bytes
from service.imaging.headers.png import transparent
from service.imaging.headers.png_chunks import SIGNATURE
from service.imaging.headers.tiff import MAGIC, Directory

HEAD = 65_536
"""Bytes that are enough for nearly every picture (see `wants_whole`)."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
_ALPHA_AUXILIARIES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_MAX_ENTRIES = 1024
"""Chunks, blocks or tags that are looked at."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture's format, whether its header says that it may be transparent somewhere, and its upright size.

    *size* is width and height in pixels after the picture is turned upright; None where the header does not give it.
    """

    format: Format
    alpha: bool
    size: tuple[int, int] | None = None


def peek(head: bytes) -> Facts:
    """Judge a picture by its first bytes.

    Raises:
        Unrenderable: they begin no format that we read.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return Facts(Format.JPEG, False)
    if head.startswith(SIGNATURE):
        return Facts(Format.PNG, transparent(head))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Facts(Format.GIF, _gif_alpha(head))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Facts(Format.WEBP, _webp_alpha(head))
    if head.startswith(MAGIC):
        return Facts(Format.TIFF, _tiff_alpha(head))
    if head[4:8] == b"ftyp" and (kind := _brand(head)):
        return Facts(kind, any(urn in head for urn in _ALPHA_AUXILIARIES))
    if head.startswith(b"BM"):
        return Facts(Format.BMP, _bmp_alpha(head))
    raise Unrenderable(N_("The stored bytes are no picture in a format that is read here."))


def wants_whole(head: bytes) -> bool:
    """Whether *head* is a TIFF that keeps its directory further back (most writers put it last)."""
    if not head.startswith(MAGIC):
        return False
    directory = Directory.of(head)
    return directory is None or directory.end > len(head)


def _gif_alpha(head: bytes) -> bool:
    """Whether the graphic control extension of the first frame names a transparent entry."""
    flags = head[10] if len(head) > 10 else 0
    at = 13 + table_bytes(flags)
    found = False
    for _ in range(_MAX_ENTRIES):
        if head[at : at + 1] != b"!":
            break
        if head[at + 1 : at + 2] == b"\xf9" and head[at + 3 : at + 4]:
            found = found or bool(head[at + 3] & 1)
        at += 2
        for _ in range(_MAX_ENTRIES):
            length = head[at] if at < len(head) else 0
            at += 1 + length
            if not length:
                break
    return found


def _webp_alpha(head: bytes) -> bool:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) > 20:
        return bool(head[20] & 0x10)
    return kind == b"VP8L" and len(head) > 24 and bool(head[24] & 0x10)


def _brand(head: bytes) -> Format | None:
    """ISO base media: the major brand says what a file is, or one of the compatible ones where it is a general one."""
    end = min(len(head), int.from_bytes(head[:4], "big"), 8 + 4 * _MAX_ENTRIES)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return Format.AVIF
        if brand in _HEIC_BRANDS:
            return Format.HEIC
    return None


def _bmp_alpha(head: bytes) -> bool:
    """32 bits with a mask for alpha; without one the fourth byte is padding, whatever it holds."""
    header = int.from_bytes(head[14:18], "little")
    bits, compression = int.from_bytes(head[28:30], "little"), int.from_bytes(head[30:34], "little")
    return header >= 56 and bits == 32 and compression == 3 and any(head[66:70])


def _tiff_alpha(head: bytes) -> bool:
    """ExtraSamples (tag 338) of 1 or 2 is alpha; so is a fourth channel of an RGB that says nothing of it."""
    directory = Directory.of(head)
    if directory is None:
        return False
    values = {tag.number: tag.value for tag in directory.tags(_MAX_ENTRIES)}
    photometric, samples, extra = values.get(262), values.get(277, 1), values.get(338)
    if extra in (1, 2):
        return True
    return extra is None and photometric == 2 and samples == 4
