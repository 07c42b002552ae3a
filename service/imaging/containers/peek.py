"""What the header alone tells: the format, the upright size, and whether it declares transparency.

Pure and bounded, for a store asks it of every original. It must never import Pillow, and never look at a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.boxes import Steps, boxes
from service.imaging.containers.gif import table_bytes
from service.imaging.containers.png import transparent
from service.imaging.containers.png_chunks import SIGNATURE
from service.imaging.containers.sizes import upright_size
from service.imaging.containers.tiff import MAGIC, Directory
from service.imaging.containers.window import Bytes

HEAD = 65_536
"""Bytes that hold nearly every picture's header; a `Window` reads what lies further back."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
_ALPHA_AUXILIARIES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_MAX_ENTRIES = 1024
"""Brands or tags that are looked at."""
_MAX_BLOCKS = 5_000
"""Extensions of a GIF and their blocks that are looked at, in a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture's format, whether its header says that it may be transparent somewhere, and its upright size.

    *size* is width and height in pixels after the picture is turned upright; None where the header does not give it.
    """

    format: Format
    alpha: bool
    size: tuple[int, int] | None = None


def peek(data: Bytes) -> Facts:
    """Judge a picture by its header.

    Raises:
        Unrenderable: it begins as no format that we read.
    """
    head = data[:HEAD]
    kind = format_of(head)
    return Facts(kind, _alpha(data, head, kind), upright_size(data, kind))


def format_of(head: bytes) -> Format:
    """The format of a picture, by its first bytes alone. Raises `Unrenderable` as `peek` does."""
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(SIGNATURE):
        return Format.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head.startswith(MAGIC):
        return Format.TIFF
    if head[4:8] == b"ftyp" and (kind := _brand(head)):
        return kind
    if head.startswith(b"BM"):
        return Format.BMP
    raise Unrenderable(N_("The stored bytes are no picture in a format that is read here."))


def _alpha(data: Bytes, head: bytes, kind: Format) -> bool:
    if kind in (Format.AVIF, Format.HEIC):
        return any(urn in part for part in (head, *_described(data)) for urn in _ALPHA_AUXILIARIES)
    judge = _ALPHA.get(kind)
    return judge is not None and judge(data)


def _described(data: Bytes) -> Iterator[bytes]:
    """Of the boxes that lie behind the head and describe pictures, the beginnings."""
    with suppress(Unrenderable):  # more boxes than are looked at: the reader will say so
        for box in boxes(data, 0, len(data), Steps(_MAX_ENTRIES)):
            if box.kind in (b"meta", b"moov") and box.end > HEAD:
                yield data[box.start : min(box.end, box.start + HEAD)]


def _gif_alpha(data: Bytes) -> bool:
    """Whether the graphic control extension of the first frame names a transparent entry."""
    flags = data[10:11]
    at = 13 + table_bytes(flags[0] if flags else 0)
    found = False
    steps = _MAX_BLOCKS
    while steps > 0 and (piece := data[at : at + 4])[:1] == b"!":
        if piece[1:2] == b"\xf9" and len(piece) == 4:
            found = found or bool(piece[3] & 1)
        at, steps = at + 2, steps - 1
        while steps > 0 and (length := data[at : at + 1]) not in (b"", b"\0"):
            at, steps = at + 1 + length[0], steps - 1
        at += 1
    return found


def _webp_alpha(data: Bytes) -> bool:
    head = data[:25]
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


def _bmp_alpha(data: Bytes) -> bool:
    """32 bits with a mask for alpha; without one the fourth byte is padding, whatever it holds."""
    head = data[:70]
    header = int.from_bytes(head[14:18], "little")
    bits, compression = int.from_bytes(head[28:30], "little"), int.from_bytes(head[30:34], "little")
    return header >= 56 and bits == 32 and compression == 3 and any(head[66:70])


def _tiff_alpha(data: Bytes) -> bool:
    """ExtraSamples (tag 338) of 1 or 2 is alpha; so is a fourth channel of an RGB that says nothing of it."""
    directory = Directory.of(data)
    if directory is None:
        return False
    values = {tag.number: tag.value for tag in directory.tags(_MAX_ENTRIES)}
    photometric, samples, extra = values.get(262), values.get(277, 1), values.get(338)
    if extra in (1, 2):
        return True
    return extra is None and photometric == 2 and samples == 4


_ALPHA = {
    Format.PNG: transparent,
    Format.GIF: _gif_alpha,
    Format.WEBP: _webp_alpha,
    Format.TIFF: _tiff_alpha,
    Format.BMP: _bmp_alpha,
}
