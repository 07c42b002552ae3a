"""Frames to an animated GIF. Pillow writes every frame as a still, and this module joins them.

Pillow's own writer of animations compares frames by colour only, and omits pixels that have the colour of the
transparent entry.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence

from PIL import Image, ImageChops

from service.imaging.containers.gif import after_blocks, table_bytes
from service.imaging.writing.palettes import CLEAR, indexed

_KEEP, _CLEAR_AFTERWARDS = 1, 2
"""Disposal methods (GIF89a, section 23)."""
_EXTENSION, _IMAGE = 0x21, 0x2C
"""First bytes of an extension and of an image."""
_CONTROL = 0xF9
"""The label of the graphic control extension."""
LONGEST = 655_350
"""Milliseconds of one frame at most: hundredths of a second in 16 bits."""
_Box = tuple[int, int, int, int]


def animated_gif(images: Sequence[Image.Image], milliseconds: Sequence[int], plays: int) -> bytes:
    """Return RGB or RGBA *images* of one mode and size as a GIF that plays *plays* times. 0 means without end.

    Equal neighbours become one frame, up to the longest duration of a frame. Opaque frames hold only the changes.
    Transparent frames are each cleared before the next one, since a transparent pixel removes nothing from a canvas.
    """
    distinct = list(_distinct(images, milliseconds))
    whole = (0, 0, *images[0].size)
    clear = images[0].mode == "RGBA"
    written = []
    shared = b""
    before: Image.Image | None = None
    for image, time in distinct:
        box, few = _shaped(image) if clear else _changed(before, image, whole)
        table, body, transparent = _still(few)
        shared = shared or table
        flags = (_CLEAR_AFTERWARDS if clear else _KEEP) << 2 | (transparent is not None)
        written.append(struct.pack("<4BH2B", _EXTENSION, _CONTROL, 4, flags, time // 10, transparent or 0, 0))
        place = struct.pack("<4H", box[0], box[1], box[2] - box[0], box[3] - box[1])
        local = b"" if table == shared else table
        written.append(bytes((_IMAGE,)) + place + bytes((_flags(local),)) + local + body)
        before = image
    head = b"GIF89a" + struct.pack("<2H", *images[0].size) + bytes((_flags(shared), 0, 0)) + shared
    return head + _repeats(plays) + b"".join(written) + b";"


def _distinct(images: Sequence[Image.Image], milliseconds: Sequence[int]) -> Iterator[tuple[Image.Image, int]]:
    """Yield each image that differs from the one before, and its duration, split where it is above `LONGEST`."""
    last, time = images[0], 0
    for image, more in zip(images, milliseconds, strict=True):
        differs = image is not last and ImageChops.difference(image, last).getbbox(alpha_only=False)
        if differs or time + more > LONGEST:
            yield last, time
            last, time = image, 0
        time += more
    yield last, time


def _shaped(image: Image.Image) -> tuple[_Box, Image.Image]:
    """Return the box of a transparent frame that is not empty, and its pixels."""
    seen = image.getchannel("A").point(lambda value: 255 if value >= 128 else 0)
    box = seen.getbbox() or (0, 0, 1, 1)
    return box, indexed(image.crop(box), dither=False)


def _changed(before: Image.Image | None, image: Image.Image, whole: _Box) -> tuple[_Box, Image.Image]:
    """Return the box of an opaque frame that differs from the frame *before*, and its pixels.

    Pixels in the box that do not change are transparent.
    """
    if before is None:
        return whole, indexed(image, dither=False)
    red, green, blue = ImageChops.difference(before, image).split()
    change = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    box = change.getbbox() or (0, 0, 1, 1)
    few = indexed(image.crop(box), dither=False)
    same = change.crop(box).point(lambda value: 0 if value else 255)
    if same.getbbox():
        few.paste(CLEAR, mask=same)
        few.info["transparency"] = CLEAR
    return box, few


def _still(image: Image.Image) -> tuple[bytes, bytes, int | None]:
    """Return the colour table, the packed pixels and the transparent entry that Pillow writes for *image*."""
    file = io.BytesIO()
    image.save(file, "GIF", interlace=0)
    data = file.getvalue()
    at = 13 + table_bytes(data[10])
    table = data[13:at]
    transparent = None
    while data[at] == _EXTENSION:
        if data[at + 1] == _CONTROL and data[at + 3] & 1:
            transparent = data[at + 6]
        at = after_blocks(data, at + 2)
    body = at + 10 + table_bytes(data[at + 9])
    return data[at + 10 : body] or table, data[body:-1], transparent


def _flags(table: bytes) -> int:
    """Return the flags that announce a colour table."""
    return 0x80 | (len(table) // 3).bit_length() - 2 if table else 0


def _repeats(plays: int) -> bytes:
    """Return Netscape's extension, which counts the plays after the first one."""
    if plays == 1:
        return b""
    return b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", min(max(0, plays - 1), 0xFFFF)) + b"\0"
