"""How a picture of one size meets the size asked for. Pure arithmetic: knows no pictures and no formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from service.errors import N_, BadParameter
from service.formats import Fit

Size = tuple[int, int]
Box = tuple[float, float, float, float]

MAX_SIDE = 16_383
"""Pixels. WebP's largest side, and a sensible end for all the others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to cut, what to scale it to, and what to lay it on: all in pixels."""

    scaled: Size
    """The size to resample to."""
    crop: Box | None = None
    """COVER only: the part of the source that is seen (left, top, right, bottom)."""
    canvas: Size | None = None
    """PAD only: the white sheet on whose middle the scaled picture lies."""

    @property
    def size(self) -> Size:
        """The finished rendition's size."""
        return self.canvas or self.scaled

    @property
    def offset(self) -> tuple[int, int]:
        """Where on the canvas the scaled picture's upper left corner lies."""
        return (self.size[0] - self.scaled[0]) // 2, (self.size[1] - self.scaled[1]) // 2

    def ratio(self, source: Size) -> float:
        """How much of the *source*'s own size is needed: the share of whichever side is scaled down less."""
        left, top, right, bottom = self.crop or (0, 0, *source)
        return max(self.scaled[0] / (right - left), self.scaled[1] / (bottom - top))


def plan(source: Size, width: int | None, height: int | None, fit: Fit, *, enlarge: bool, max_dimension: int) -> Plan:
    """As `draft`. Raises `BadParameter` as `check` does."""
    made = draft(source, width, height, fit, enlarge=enlarge, max_dimension=max_dimension)
    check(made.size, max_dimension)
    return made


def draft(source: Size, width: int | None, height: int | None, fit: Fit, *, enlarge: bool, max_dimension: int) -> Plan:
    """How to make a rendition from a *source* of that many pixels (CONTRACT, sections 2 "Size" and "As stored").

    A side that is None was not asked for; *fit* matters only where both were. With neither, the longer side is at
    most *max_dimension*. Derived sides round half up and are at least 1.

    With *enlarge* false no pixel is ever blown up: CONTAIN gives the source's own size, COVER the largest cut of the
    asked *shape*, FILL the lesser of each side; PAD leaves the picture at its own size on the canvas that was asked
    for, since a surround enlarges nothing.

    The size is as it follows from the numbers, and may be more than is made: `check` says so.
    """
    if width is None and height is None:
        return Plan(_contain(source, max_dimension, max_dimension, enlarge=False))
    if width is None or height is None:
        return Plan(_proportional(source, width, height, enlarge=enlarge))
    match fit:
        case Fit.CONTAIN:
            return Plan(_contain(source, width, height, enlarge=enlarge))
        case Fit.COVER:
            return _cover(source, width, height, enlarge=enlarge)
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
    if width * source[1] <= height * source[0]:  # the width is what binds
        return width, min(height, _share(source[1], width, source[0]))
    return min(width, _share(source[0], height, source[1])), height


def _cover(source: Size, width: int, height: int, *, enlarge: bool) -> Plan:
    across, down = source
    if width * down <= height * across:
        seen = (down * width / height, float(down))
    else:
        seen = (float(across), across * height / width)
    left, top = (across - seen[0]) / 2, (down - seen[1]) / 2
    size = (width, height)
    if not enlarge and seen[0] < width:
        size = (max(1, int(seen[0] + 0.5)), max(1, int(seen[1] + 0.5)))
    return Plan(size, crop=(left, top, left + seen[0], top + seen[1]))


def _share(side: int, part: int, whole: int) -> int:
    """*side* * *part* / *whole*, rounded half up in integers (floats would round some halves down), at least 1."""
    return max(1, (2 * side * part + whole) // (2 * whole))
