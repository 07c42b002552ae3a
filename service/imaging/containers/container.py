"""The functions that every container has. This module does not import Pillow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.imaging.containers.window import Bytes
from service.imaging.geometry import Size


@dataclass(frozen=True, slots=True)
class Outline:
    """The width and height of the whole canvas in pixels, and the number of frames."""

    width: int
    height: int
    frames: int
    still_first: bool = False
    """Whether an APNG has a first picture that is no frame, for readers that show no animation."""


def _opaque(data: Bytes) -> bool:
    return False


def _unknown(data: bytes, most_frames: int) -> None:
    return None


def _unbounded(data: bytes, max_pixels: int) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Container:
    """The functions that read one format without decoding a picture."""

    matches: Callable[[bytes], bool]
    """Return whether a file that begins with these bytes has this format."""
    upright_size: Callable[[Bytes], Size | None]
    """Return the width and height in pixels after the picture is turned upright, or None.

    None means that the header does not give the size beyond doubt. The size may be wrong for a picture that a decoder
    refuses."""
    alpha: Callable[[Bytes], bool] = _opaque
    """Return whether the header declares transparency."""
    outline: Callable[[bytes, int], Outline | None] = _unknown
    """Return the canvas and the number of frames, counted up to the given number plus one.

    None means that the bytes are broken, or that the reader of the format is safe to ask."""
    check: Callable[[bytes, int], float] = _unbounded
    """Raise `Unrenderable` when the header would keep a reader busy for too long. The second argument is the limit on
    pixels. Return the bytes per pixel that the reader holds in addition to the decoded picture."""
    stripped: Callable[[bytes, int, int], bytes] | None = None
    """Return a file without metadata whose pixels are the same bits, from a file that has been decoded before.

    The arguments are the bytes, the EXIF orientation to keep, and the largest number of frames that is examined. None
    means that a file has to be re-encoded."""


def turned(size: Size, turn: int) -> Size:
    """Return the *size* of a picture after the EXIF orientation *turn* is applied."""
    return (size[1], size[0]) if 5 <= turn <= 8 else size
