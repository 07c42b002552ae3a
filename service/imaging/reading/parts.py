"""Frames as they are stored, pieces of a canvas, and what they add up to. Knows the rules; knows no file.

Pillow composes APNG by pasting, and forgets that a canvas begins transparent (GIF's "background colour" is ignored by
every browser), so that half-transparent frames come out too light and cleared corners black. Here are the rules of the
PNG specification (third edition, 11.3.3) and what browsers make of GIF89a, section 23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from PIL import Image

from service.imaging.geometry import Size


class Disposal(Enum):
    """What becomes of a frame's box before the next frame is drawn."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One stored frame: its pixels as a picture of its own, and where, how and how long they are shown."""

    image: Image.Image
    """L, LA, RGB or RGBA."""
    left: int
    top: int
    milliseconds: float
    disposal: Disposal
    over: bool
    """Whether what is transparent in it lets the canvas shine through, and does not replace it."""


def composed(mode: str, size: Size, parts: Iterable[Part]) -> Iterator[tuple[Image.Image, float]]:
    """Each whole canvas of *mode* (LA or RGBA) and its milliseconds. The next frame is drawn onto the same canvas."""
    canvas = Image.new(mode, size)
    for part in parts:
        box = (part.left, part.top, part.left + part.image.width, part.top + part.image.height)
        before = canvas.crop(box) if part.disposal is Disposal.RESTORE else None
        disposal, milliseconds = part.disposal, part.milliseconds
        _draw(part, canvas, box)
        del part  # it may have 100 MB, and the canvas is still to be scaled
        yield canvas, milliseconds
        if disposal is Disposal.CLEAR:
            canvas.paste((0,) * len(canvas.getbands()), box)
        elif before is not None:
            canvas.paste(before, box)


def _draw(part: Part, canvas: Image.Image, box: tuple[int, int, int, int]) -> None:
    drawn = part.image.convert(canvas.mode)
    if not part.over or part.image.mode not in ("LA", "RGBA"):
        canvas.paste(drawn, box)
    elif any(drawn.getchannel("A").histogram()[1:255]):
        canvas.paste(Image.alpha_composite(canvas.crop(box), drawn), box)
    else:  # the same, without two copies more
        canvas.paste(drawn, box, drawn)
