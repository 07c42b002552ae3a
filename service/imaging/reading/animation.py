"""Frames of animations, decoded one at a time. This module does not know colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from PIL import Image, ImageFile

from service.formats import Format
from service.imaging.containers.container import Outline
from service.imaging.geometry import Size
from service.imaging.order import Limits
from service.imaging.reading import apng, gif
from service.imaging.reading.parts import composed
from service.imaging.reading.png import PngFile


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole canvas after disposal and blending, and its duration."""

    image: Image.Image
    milliseconds: float


def affordable(source: Outline, size: Size, kind: Format, limits: Limits) -> bool:
    """Return whether the number of frames, and all their pixels before and after scaling, are within *limits*."""
    pixels = max(source.width * source.height, size[0] * size[1] * kind.frame_cost)
    return source.frames <= limits.max_frames and source.frames * pixels <= limits.max_animation_pixels


def frames(
    data: bytes, image: ImageFile.ImageFile, source: Outline, smaller: Callable[[Image.Image], Image.Image]
) -> Iterator[Frame]:
    """Yield every frame of *data*, whose reader is *image*, made *smaller* as soon as it is decoded.

    One large frame is held at a time.
    """
    if image.format == "GIF":
        whole = composed("RGBA", image.size, gif.parts(data))
    elif isinstance(image, PngFile):
        mode = "LA" if image.mode in ("1", "L", "LA", "I;16") else "RGBA"
        whole = composed(mode, image.size, apng.parts(image.contents))
    else:
        whole = _whole(image, source)
    for large, milliseconds in islice(whole, source.frames):
        small = smaller(large)
        yield Frame(small.copy() if small is large else small, milliseconds)


def _whole(image: ImageFile.ImageFile, source: Outline) -> Iterator[tuple[Image.Image, float]]:
    """Yield the frames of libwebp or libavif, which compose them correctly, and their durations in milliseconds.

    Both libraries round to milliseconds, so a duration is counted from the end of the frame before.
    """
    shown = 0
    for number in range(source.frames):
        image.seek(number)
        image.load()
        end = max(shown, image.info.get("timestamp", 0) + image.info.get("duration", 0))
        yield image, float(end - shown)
        shown = end


def first_picture(image: ImageFile.ImageFile, smaller: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return the picture for readers that show no animation, made *smaller*."""
    image.load()
    small = smaller(image)
    return small.copy() if small is image else small


def plays(image: ImageFile.ImageFile, kind: Format) -> int:
    """Return the number of times that the animation is played; 0 is for ever.

    GIF counts repetitions (Netscape's extension) and is played once without a number. Other formats count plays.
    """
    loop = image.info.get("loop")
    if kind is Format.GIF:
        return 1 if loop is None else int(loop) + 1 if loop else 0
    return int(loop or 0)
