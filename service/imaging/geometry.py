"""The size of a rendition and what is cut and scaled for it, computed from sizes.

This module does not import Pillow, and does not know formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from service.errors import N_, BadParameter
from service.formats import CENTER, Fit, Gravity

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

MAX_SIDE = 16_383
"""Pixels of a rendition's longest side, in every format: the limit of WebP."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a rendition is made from an upright picture. All numbers are pixels."""

    scaled: Size
    """The size that the picture, or its crop, is resampled to."""
    crop: Box | None = None
    """The part of the source that is shown. None, the whole picture, for all fits but COVER."""
    canvas: Size | None = None
    """The size of the white canvas with the scaled picture in its middle. None for all fits but PAD."""

    @property
    def size(self) -> Size:
        """The size of the rendition."""
        return self.canvas or self.scaled

    @property
    def offset(self) -> tuple[int, int]:
        """The position of the scaled picture's upper left corner on the canvas."""
        return (self.size[0] - self.scaled[0]) // 2, (self.size[1] - self.scaled[1]) // 2

    def ratio(self, source: Size) -> float:
        """Return the scale from *source* to the rendition, of the side with the larger scale."""
        left, top, right, bottom = self.crop or (0, 0, *source)
        return max(self.scaled[0] / (right - left), self.scaled[1] / (bottom - top))


def draft(
    source: Size,
    width: int | None,
    height: int | None,
    fit: Fit,
    *,
    enlarge: bool,
    max_dimension: int,
    gravity: Gravity = CENTER,
) -> Plan:
    """Return the plan of a rendition from an upright *source* (docs/contract.md, section 2).

    *width* and *height* are the sides of the request in pixels, or None. *fit* has an effect only when both are given,
    and *gravity* for COVER: the crop's centre is there, or as near as the picture's edges allow. With neither side, the
    longer one is at most *max_dimension*. Derived sides round half up and are at least 1.

    With *enlarge* false, no picture gets larger: CONTAIN gives the size of the source, COVER the largest crop of the
    box's shape, FILL the smaller of each side, and PAD the picture at its own size on the canvas of the request.

    The size may be above the limits; `check` tests it.
    """
    if width is None and height is None:
        return Plan(_contain(source, max_dimension, max_dimension, enlarge=False))
    if width is None or height is None:
        return Plan(_proportional(source, width, height, enlarge=enlarge))
    match fit:
        case Fit.CONTAIN:
            return Plan(_contain(source, width, height, enlarge=enlarge))
        case Fit.COVER:
            return _cover(source, width, height, gravity, enlarge=enlarge)
        case Fit.FILL:
            return Plan((width, height) if enlarge else (min(width, source[0]), min(height, source[1])))
        case Fit.PAD:
            return Plan(_contain(source, width, height, enlarge=enlarge), canvas=(width, height))
        case _:
            assert_never(fit)


def check(size: Size, max_dimension: int) -> None:
    """Raise `BadParameter` for a side above `MAX_SIDE`, or more pixels than the square of *max_dimension*."""
    width, height = size
    if max(size) > MAX_SIDE:
        raise BadParameter(
            N_("The picture would be %(width)sx%(height)s pixels; no side may be longer than %(limit)s."),
            {"width": width, "height": height, "limit": MAX_SIDE},
        )
    if width * height > max_dimension**2:
        raise BadParameter(
            N_("The picture would be %(width)sx%(height)s pixels; together no more than %(limit)s are made."),
            {"width": width, "height": height, "limit": max_dimension**2},
        )


def _proportional(source: Size, width: int | None, height: int | None, *, enlarge: bool) -> Size:
    if width is not None:
        return source if width > source[0] and not enlarge else (width, _share(source[1], width, source[0]))
    assert height is not None
    return source if height > source[1] and not enlarge else (_share(source[0], height, source[1]), height)


def _contain(source: Size, width: int, height: int, *, enlarge: bool) -> Size:
    if not enlarge and source[0] <= width and source[1] <= height:
        return source
    if width * source[1] <= height * source[0]:  # the width is the limit
        return width, min(height, _share(source[1], width, source[0]))
    return min(width, _share(source[0], height, source[1])), height


def _cover(source: Size, width: int, height: int, gravity: Gravity, *, enlarge: bool) -> Plan:
    across, down = source
    if width * down <= height * across:
        seen = (down * width / height, float(down))
    else:
        seen = (float(across), across * height / width)
    left = _beginning(across, seen[0], gravity.across)
    top = _beginning(down, seen[1], gravity.down)
    size = (width, height)
    if not enlarge and seen[0] < width:
        size = (max(1, int(seen[0] + 0.5)), max(1, int(seen[1] + 0.5)))
    return Plan(size, crop=(left, top, left + seen[0], top + seen[1]))


def _beginning(side: int, seen: float, hundredths: int) -> float:
    """Return where *seen* pixels of a *side* begin, whose middle is as near as possible to *hundredths* of it."""
    return min(max(side * hundredths / 100 - seen / 2, 0.0), side - seen)


def _share(side: int, part: int, whole: int) -> int:
    """Return *side* * *part* / *whole*, at least 1. Integers round every half up; floats would round some down."""
    return max(1, (2 * side * part + whole) // (2 * whole))
