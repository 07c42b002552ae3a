"""The frames of an animated PNG, each as a separate picture."""

from __future__ import annotations

from collections.abc import Iterator

from service.imaging.containers.png.contents import Png
from service.imaging.reading.decode import plain
from service.imaging.reading.parts import Disposal, Part
from service.imaging.reading.png import PngFile


class DamagedFrameError(Exception):
    """The pixels of a frame cannot be decoded."""


def parts(contents: Png) -> Iterator[Part]:
    """Yield every frame of an animated PNG, in the order of the file.

    Raises:
        DamagedFrameError: the pixels of a frame cannot be decoded.
    """
    for frame in contents.animation.frames if contents.animation else ():
        image = PngFile(contents, (frame.width, frame.height), frame.pixels)
        try:
            image.load()
        except OSError:
            raise DamagedFrameError from None
        disposal, over = Disposal(frame.disposal), frame.blending == 1
        yield Part(plain(image), frame.left, frame.top, frame.milliseconds, disposal, over=over)
