"""Composition of stored frames into whole canvases. This module does not know file formats.

Pillow composes APNG by pasting onto a canvas that does not begin transparent. Half-transparent frames become too light,
and cleared corners black. This module follows the PNG specification (third edition, 11.3.3), and browsers in their
reading of GIF89a, section 23: they ignore the background colour of a GIF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from PIL import Image

from service.imaging.geometry import Size


class Disposal(Enum):
    """The change to the box of a frame before the next frame is drawn."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One stored frame: its pixels, its position on the canvas in pixels, its duration and how it is drawn."""

    image: Image.Image
    """A picture in the mode L, LA, RGB or RGBA."""
    left: int
    top: int
    milliseconds: float
    disposal: Disposal
    over: bool
    """Whether the frame is blended over the canvas, and does not replace it."""


def composed(mode: str, size: Size, parts: Iterable[Part]) -> Iterator[tuple[Image.Image, float]]:
    """Yield each whole canvas in *mode* (LA or RGBA), and its duration in milliseconds.

    The next frame is drawn onto the same canvas.
    """
    canvas = Image.new(mode, size)
    for part in parts:
        box = (part.left, part.top, part.left + part.image.width, part.top + part.image.height)
        before = canvas.crop(box) if part.disposal is Disposal.RESTORE else None
        disposal, milliseconds = part.disposal, part.milliseconds
        _draw(part, canvas, box)
        del part  # it may have 100 MB, which the scaling of the canvas may need
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
    else:  # the same result with two copies fewer
        canvas.paste(drawn, box, drawn)
