"""Originals without what cameras and editors wrote beside the pixels. What turns and colours them stays.

JPEG, PNG, WebP and GIF lose their metadata and not a bit of their pixels. The others are encoded anew. All were decoded
before, so that what is walked here is well-formed enough; what is not ends the walk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from PIL import ExifTags, Image

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.gif import after_blocks, table_bytes
from service.imaging.containers.jpeg import APP0, APP15, COM, EOI, SOS, segments
from service.imaging.containers.png import Png
from service.imaging.containers.png_chunks import SIGNATURE, chunks, sound, written
from service.imaging.failures import writes_or_refuses
from service.imaging.order import Encoding, Limits, Order
from service.imaging.pixels.orientation import orientation
from service.imaging.reading.decode import opened
from service.imaging.reading.png import PngFile
from service.imaging.render import rendition
from service.imaging.source import Source

LOSSLESS = frozenset({Format.JPEG, Format.PNG, Format.WEBP, Format.GIF, Format.BMP})
"""What keeps every bit of its pixels."""
_TELLING = {0xE0: (b"JFIF\0", 14), 0xE2: (b"ICC_PROFILE\0", 14), 0xEE: (b"Adobe", 12)}
"""What a decoder needs of the application's segments: how they begin, and the bytes that they have at least."""
_FRAMES = frozenset((b"acTL", b"fcTL", b"fdAT"))
_CHUNKS = frozenset(b"IHDR PLTE tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs".split())
"""What stays of a PNG before its pixels, and nothing but frames after them."""
_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
_SIDE = 16_383
"""Pixels of the longest side that is encoded anew."""


def unstrippable() -> Unrenderable:
    """For a sound picture that cannot be written without its metadata."""
    return Unrenderable(N_("The picture cannot be stored without its metadata."))


def stripped(data: bytes, kind: Format, limits: Limits, encoding: Encoding) -> bytes:
    """*data*, which was decoded before, without its metadata. Raises `Unrenderable` where that fails."""
    try:
        return _without_metadata(data, kind, limits, encoding)
    except (Unrenderable, MemoryError):
        raise
    except Exception:  # the picture is sound: a writer failed, or does not take its size
        raise unstrippable() from None


def _without_metadata(data: bytes, kind: Format, limits: Limits, encoding: Encoding) -> bytes:
    image, _ = opened(data, kind, limits)
    turn = orientation(image)
    if kind is Format.JPEG:
        return _jpeg(data, turn)
    if kind is Format.PNG:
        assert isinstance(image, PngFile)
        return _png(image.contents, turn)
    if kind is Format.WEBP:
        return _webp(data, turn)
    if kind is Format.GIF:
        return _gif(data)
    return data if kind is Format.BMP else _anew(data, kind, limits, encoding)


def _exif(turn: int) -> bytes:
    """A block that says which way up, and nothing else; empty where there is nothing to say."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    return exif.tobytes() if turn != 1 else b""


def _jpeg(data: bytes, turn: int) -> bytes:
    """Up to the end of the first picture: what follows it is another one (MPO), a film, a trailer."""
    kept, coded = [b"\xff\xd8"], 0
    for marker, begin, start, end in segments(data):
        if coded:
            kept.append(data[coded:begin])
        if marker == EOI:
            break
        coded = end if marker == SOS else 0
        if end <= len(data) and _stays(marker, data[start:end]):
            kept.append(data[begin:end])
    else:  # its end marker is missing
        kept.append(data[coded:] if coded else b"")
    if block := _exif(turn):
        first = 2 if kept[1].startswith(b"\xff\xe0") else 1  # JFIF comes before all else
        kept.insert(first, b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    return b"".join([*kept, b"\xff\xd9"])


def _stays(marker: int, body: bytes) -> bool:
    if marker in _TELLING:
        begins, least = _TELLING[marker]
        return body.startswith(begins) and len(body) >= least
    return not (APP0 <= marker <= APP15 or marker == COM)


def _png(contents: Png, turn: int) -> bytes:
    """The checksums of pixels are written anew: a browser that gets the file as it is stored may look at them."""
    data, kept, begun = contents.data, [SIGNATURE], False
    frames = _FRAMES if contents.film else frozenset()
    for found in chunks(data):
        kind, begin, end = found
        if kind == b"IDAT":
            begun = True
            kept.append(written(kind, data[begin:end]))
        elif kind in (frames if begun else _CHUNKS | frames) and sound(data, found):
            kept.append(data[begin - 8 : end + 4])
        if kind == b"IHDR" and turn != 1:
            kept.append(written(b"eXIf", _exif(turn).removeprefix(b"Exif\0\0")))
    return b"".join((*kept, written(b"IEND", b"")))


def _webp(data: bytes, turn: int) -> bytes:
    kept = [b"WEBP"]
    block = _exif(turn)
    for name, body in _riff_chunks(data):
        if name in (b"EXIF", b"XMP "):
            continue
        if name == b"VP8X":
            flags = body[0] & ~0x0C | (0x08 if block else 0)
            body = bytes([flags]) + body[1:]
        kept.append(_riff_chunk(name, body))
    if block:
        kept.append(_riff_chunk(b"EXIF", block.removeprefix(b"Exif\0\0")))
    joined = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _gif(data: bytes) -> bytes:
    at = 13 + table_bytes(data[10])
    kept = [data[:at]]
    while at < len(data) and data[at] != 0x3B:
        if data[at] not in (0x21, 0x2C):
            at += 1  # stray bytes, which readers pass over
            continue
        begin, extension = at, data[at] == 0x21
        at = after_blocks(data, at + (2 if extension else 11 + table_bytes(data[at + 9])))
        label = data[begin + 1] if extension else None
        application = data[begin + 3 : begin + 14]
        if label == 0xFE or (label == 0xFF and application not in _APPLICATIONS):
            continue
        kept.append(data[begin:at])
    return b"".join([*kept, b";"])


def _anew(data: bytes, kind: Format, limits: Limits, encoding: Encoding) -> bytes:
    """Encoded again at its own size: in its own format, or where that is only read, in one that shows the same."""
    limits = replace(limits, max_dimension=_SIDE)
    source = Source(data, limits)
    image, _ = opened(data, kind, limits)
    shown = Format.PNG if image.has_transparency_data else Format.JPEG
    with writes_or_refuses():
        made = rendition(source, Order(kind if kind.writable else shown, limits=limits, encoding=encoding))
    if made.first_frame or (made.width, made.height) != source.size:
        raise Unrenderable(N_("The picture is too large to be stored without its metadata."))
    return made.data
