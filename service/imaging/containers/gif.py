"""The blocks of a GIF (GIF89a). This module does not import Pillow.

Pillow counts the frames of a GIF by parsing all of them, which has no bound.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from service.imaging.containers.container import Container, Outline
from service.imaging.containers.window import Bytes
from service.imaging.geometry import Size

IMAGE = 0x2C
"""The first byte of an image."""
CONTROL = b"!\xf9"
"""The first bytes of a graphic control extension."""
_EXTENSION, _TRAILER = 0x21, 0x3B
"""First bytes of an extension and of the trailer."""
_BLOCKS = (_EXTENSION, IMAGE)
_COMMENT, _APPLICATION = 0xFE, 0xFF
"""Labels of extensions."""
_DESCRIPTOR = 10
"""Bytes of an image's descriptor, with its separator."""
_HEADER_STEPS = 5_000
"""Blocks and sub-blocks that are walked for alpha and size, in a few milliseconds."""
_OUTLINE_STEPS = 400_000
"""Blocks and sub-blocks that are walked to count frames, in about 0.1 s. Frames beyond are not counted."""
_KEPT_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
"""Application extensions that the number of plays or the colours depend on."""


def blocks(data: Bytes, most_steps: int = sys.maxsize, *, strict: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield where each extension and image begins, and its first 10 bytes, up to the trailer or the end of *data*.

    Stray bytes are passed over as readers do; where *strict* is true, they end the walk. The walk stops after
    *most_steps* blocks, sub-blocks and stray bytes. It walks the sub-blocks of a block before it yields the next one.

    Raises:
        IndexError: the next block follows an image whose descriptor is cut off.
    """
    flags = data[10:11]
    at, steps = 13 + table_bytes(flags[0] if flags else 0), most_steps
    while steps > 0 and (head := data[at : at + _DESCRIPTOR]):
        steps -= 1
        if head[0] in _BLOCKS:
            yield at, head
            at = body(at, head)
            while steps > 0 and (length := data[at : at + 1]) > b"\0":
                at, steps = at + 1 + length[0], steps - 1
        elif strict or head[0] == _TRAILER:
            return
        at += 1


def box(head: bytes) -> tuple[int, int, int, int]:
    """Return the left edge, top edge, width and height in pixels of the image that begins with *head*."""
    left, top, width, height = (_little(head[at : at + 2]) for at in (1, 3, 5, 7))
    return left, top, width, height


def body(at: int, head: bytes) -> int:
    """Return where the sub-blocks begin of the block at *at* that begins with *head*."""
    return at + 2 if head[0] == _EXTENSION else at + _DESCRIPTOR + 1 + table_bytes(head[9])


def table_bytes(flags: int) -> int:
    """Return the bytes of the colour table that *flags* announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def after_blocks(data: bytes, at: int) -> int:
    """Return where the sub-blocks that begin at *at* end."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _matches(head: bytes) -> bool:
    return head.startswith((b"GIF87a", b"GIF89a"))


def _alpha(data: Bytes) -> bool:
    """Return whether a graphic control extension before the first image names a transparent entry."""
    found = False
    for _, head in blocks(data, _HEADER_STEPS, strict=True):
        if head[0] == IMAGE:
            break
        found = found or (head[:2] == CONTROL and len(head) > 3 and bool(head[3] & 1))
    return found


def _upright_size(data: Bytes) -> Size | None:
    """Return the size of the logical screen, which readers widen where the first frame extends beyond it."""
    screen = data[:13]
    if len(screen) < 13:
        return None
    first = next((head for _, head in blocks(data, _HEADER_STEPS) if head[0] == IMAGE), None)
    return _widened((_little(screen[6:8]), _little(screen[8:10])), first) if first else None


def _outline(data: bytes, most_frames: int) -> Outline | None:
    if len(data) < 13:
        return None
    size, frames = (_little(data[6:8]), _little(data[8:10])), 0
    for at, head in blocks(data, _OUTLINE_STEPS):
        if head[0] == IMAGE:
            if at + _DESCRIPTOR >= len(data):
                break
            size, frames = _widened(size, head), frames + 1
            if frames > most_frames:
                break
    return Outline(*size, frames)


def _widened(size: Size, image: bytes) -> Size:
    left, top, width, height = box(image)
    return max(size[0], left + width), max(size[1], top + height)


def _stripped(data: bytes, turn: int, most_frames: int) -> bytes:
    kept = [data[: 13 + table_bytes(data[10])]]
    for at, head in blocks(data):
        if head[0] == IMAGE or _is_kept(head[1], data[at + 3 : at + 14]):
            kept.append(data[at : after_blocks(data, body(at, head))])
    return b"".join([*kept, b";"])


def _is_kept(label: int, application: bytes) -> bool:
    return label != _COMMENT and (label != _APPLICATION or application in _KEPT_APPLICATIONS)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


CONTAINER = Container(_matches, _upright_size, _alpha, _outline, stripped=_stripped)
