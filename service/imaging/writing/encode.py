"""Pixels to files. Only pixels are written: no metadata of the original comes into a rendition."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageFile

from service.formats import Format
from service.imaging.order import Encoding
from service.imaging.reading.animation import Frame
from service.imaging.writing.writers import WRITERS, Animation


def encode_still(image: Image.Image, kind: Format, encoding: Encoding, *, palette: bool = False) -> bytes:
    """Return *image* (L, LA, RGB, RGBA) as a file. *palette* is whether the original has one."""
    if isinstance(image, ImageFile.ImageFile):
        image = image.copy()  # the TIFF writer copies XMP, IPTC and Photoshop's data from the tags of a TIFF reader
    image.info.clear()  # Pillow's writers take EXIF, XMP, profile and comment from here
    return WRITERS[kind].still(image, encoding, palette)


def encode_animation(
    frames: Sequence[Frame], kind: Format, plays: int, encoding: Encoding, *, still: Image.Image | None = None
) -> bytes:
    """Return *frames* of one size as an animated file that plays *plays* times. 0 means without end.

    *still* is the picture for readers that show no animation, where it is not a frame. Only PNG has a place for it.
    """
    writer = WRITERS[kind]
    assert writer.animation is not None
    assert writer.timing is not None
    every = [frame.image for frame in frames] + ([still] if still else [])
    mode = "RGBA" if any(image.mode in ("LA", "RGBA") for image in every) else "RGB"
    every = [image if image.mode == mode else image.convert(mode) for image in every]
    for image in every:
        image.info.clear()
    animation = Animation(
        every[: len(frames)],
        writer.timing.durations([frame.milliseconds for frame in frames]),
        writer.timing.plays(plays),
        every[-1] if still else None,
    )
    return writer.animation(animation, encoding)
