"""Moving pictures: frames one at a time from the reader, small ones in a list. Knows no colours and no files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from PIL import Image, ImageFile

from service.formats import Format
from service.imaging.containers.outline import Outline
from service.imaging.geometry import Size
from service.imaging.order import Limits
from service.imaging.reading import apng, gif
from service.imaging.reading.parts import composed
from service.imaging.reading.png import PngFile


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole canvas, disposal and blending done, and how long it shows."""

    image: Image.Image
    milliseconds: float


def affordable(source: Outline, size: Size, kind: Format, limits: Limits) -> bool:
    """Whether all frames fit the budget: their number, and the pixels of all of them, before and after scaling."""
    pixels = max(source.width * source.height, size[0] * size[1] * kind.frame_cost)
    return source.frames <= limits.max_frames and source.frames * pixels <= limits.max_animation_pixels


def frames(
    data: bytes, image: ImageFile.ImageFile, source: Outline, smaller: Callable[[Image.Image], Image.Image]
) -> Iterator[Frame]:
    """Every frame of *data*, which *image* is the reader of, made *smaller* as soon as it is decoded.

    So one large frame is held at a time.
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
    """The frames of a reader that puts them together itself: libwebp's and libavif's do so rightly.

    Both round to milliseconds, so a duration is reckoned from the end of the frame before.
    """
    shown = 0
    for number in range(source.frames):
        image.seek(number)
        image.load()
        end = max(shown, image.info.get("timestamp", 0) + image.info.get("duration", 0))
        yield image, float(end - shown)
        shown = end


def first_picture(image: ImageFile.ImageFile, smaller: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What a reader that knows no animation shows, made *smaller*."""
    image.load()
    small = smaller(image)
    return small.copy() if small is image else small


def plays(image: ImageFile.ImageFile, kind: Format) -> int:
    """How often the animation is shown; 0 is for ever.

    GIF counts *repetitions* (Netscape's extension), and plays once where it says nothing; the others count showings.
    """
    told = image.info.get("loop")
    if kind is Format.GIF:
        return 1 if told is None else int(told) + 1 if told else 0
    return int(told or 0)
