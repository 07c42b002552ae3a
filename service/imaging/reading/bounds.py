"""Bounds for the readers of Pillow, and the steps of opening a file that most formats share."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeVar

from PIL import ImageFile

from service.errors import N_, Unrenderable
from service.imaging.containers.container import Container, Outline
from service.imaging.errors import corrupt
from service.imaging.geometry import Size
from service.imaging.order import LARGEST_SIDE, Limits

_READS = 400_000
"""Reads that take about half a second. A GIF of 32 MiB in sub-blocks of 255 bytes takes 270,000."""

_File = TypeVar("_File", bound=ImageFile.ImageFile)
Opened = tuple[ImageFile.ImageFile, Outline]
"""A picture whose header is parsed, and its canvas and number of frames."""


class Metered(io.BytesIO):
    """Bytes with a limit on the number of reads.

    Pillow's parsers walk markers, chunks and sub-blocks in Python with one or two reads for each. A file of chunks of
    four bytes would keep them busy for half a minute. The limit on reads bounds that time.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("too many small reads")
        return super().read(size)


def opened_within(
    container: Container, reader: Callable[[io.BytesIO], _File], data: bytes, limits: Limits
) -> tuple[_File, Outline]:
    """Open *data* with *reader* after the checks of its *container*. Where that has no outline, there is one frame."""
    held = container.check(data, limits.max_pixels)
    outline = container.outline(data, limits.max_frames)
    if outline is not None:
        check_size((outline.width, outline.height), held, limits)
    image = reader(Metered(data))
    check_size(image.size, held, limits)
    if outline is not None and (image.width > outline.width or image.height > outline.height):
        raise corrupt()  # the file has two sizes, and only the smaller one was checked
    return image, outline or Outline(*image.size, 1)


def check_size(size: Size, held: float, limits: Limits) -> None:
    """Raise `Unrenderable` for a picture with no pixels or too many.

    *held* is the number of bytes per pixel that a reader holds in addition to the four of the decoded picture.
    """
    if min(size) < 1:
        raise Unrenderable(N_("The picture has no pixels."))
    if max(size) > LARGEST_SIDE:
        raise Unrenderable(
            N_("The picture has %(width)sx%(height)s pixels; no side may be longer than %(limit)s."),
            {"width": size[0], "height": size[1], "limit": LARGEST_SIDE},
        )
    pixels = size[0] * size[1]
    most = min(limits.max_pixels, int(limits.max_decoded_bytes / (4 + held)))
    if pixels > most:
        raise Unrenderable(
            N_("The picture has %(width)sx%(height)s pixels; no more than %(limit)s are rendered."),
            {"width": size[0], "height": size[1], "limit": most},
        )
