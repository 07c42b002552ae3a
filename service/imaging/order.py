"""The values that go to a render process and come back from it.

Their classes have no slots: a frozen class with slots is pickled by code in Python. This module does not import Pillow.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from service.errors import N_, BeyondFormat
from service.formats import CENTER, MOST_PIXELS, Fit, Format, Gravity, IfBlank, Initials
from service.imaging import geometry

_SHARE = 0.64
"""The largest share of a mezzanine's side for which renditions are made from it. Up to it, the SSIM to renditions from
the original is 0.995 or more in the median and 0.97 at worst (`python -m tools.bench mezzanine`)."""
LARGEST_SIDE = 65_535
"""Pixels of the longest side of an original: the limit of JPEG and GIF. In the other formats a picture could be one
pixel wide and millions high, and its rows would take more memory than its pixels."""
THUMB_HASH = re.compile(r"[A-Za-z0-9+/]{16,36}={0,2}", re.ASCII)
"""The form of a ThumbHash in base64. It has 25 bytes at most."""
LARGEST_SERVED = 720
"""Pixels of the shorter side of the largest rendition that is made from a mezzanine. A mezzanine has 1,126 at most."""


@dataclass(frozen=True)
class Limits:
    """The limits on the cost of one picture. They are compared with the header, before a pixel is decoded."""

    max_pixels: int = 50_000_000
    """Pixels of one frame of the original at most."""
    max_decoded_bytes: int = 400_000_000
    """Bytes that a reader may hold for one frame: 4 a pixel, and more where it keeps the picture in other forms."""
    max_frames: int = 200
    """Frames of an animation at most. A rendition of a longer one is its first frame."""
    max_animation_pixels: int = 50_000_000
    """Pixels of all frames of an original together at most. A rendition has at most this number divided by the
    `frame_cost` of its format. Above it, the rendition is the first frame."""
    max_dimension: int = 4096
    """Pixels of a side that a request may name. Its square is the limit of a rendition's area."""
    enlarge: bool = True
    """Whether a rendition may be larger than its original."""


@dataclass(frozen=True)
class Encoding:
    """The settings of the writers. `python -m tools.bench writers` measures size, time and SSIM of the defaults."""

    jpeg_quality: int = 82
    jpeg_progressive: bool = False
    jpeg_subsampling: int = 2
    """0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    webp_quality: int = 82
    webp_method: int = 2
    """0 (fast) to 6 (small)."""
    avif_quality: int = 65
    avif_speed: int = 9
    """0 (small) to 10 (fast)."""
    avif_subsampling: int = 2
    """0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    png_level: int = 6
    """The level of zlib, 0 to 9."""
    png_palette: bool = True
    """Whether an original with a palette gives a rendition with a palette."""
    gif_dither: bool = True
    """Whether still GIFs are dithered. Animations are not: the grain would move from frame to frame."""


@dataclass(frozen=True)
class Order:
    """A request for one rendition. Sides are in pixels, or None where the request names none.

    *background* is the colour behind transparent pixels and around the picture, as six hexadecimal digits. Without it
    that is white where there must be one. With *thumb_hash*, the ThumbHash of the whole picture is made too.
    """

    format: Format
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.CONTAIN
    limits: Limits = Limits()
    encoding: Encoding = Encoding()
    gravity: Gravity = CENTER
    background: str | None = None
    thumb_hash: bool = False

    @property
    def least_side(self) -> int | None:
        """The smaller of the given sides in pixels, or None."""
        return min((side for side in (self.width, self.height) if side is not None), default=None)

    def plan(self, source: geometry.Size) -> geometry.Plan:
        """Return the plan of the rendition from an upright picture of the size *source*.

        Raise `BeyondFormat` for a size that the format cannot hold, and `BadParameter` for one that no format can.
        """
        made, most = self.draft(source), self.limits.max_dimension
        if not self.format.holds(made.size) and MOST_PIXELS[self.format] < most**2:
            error = _beyond(self.format, self.width, self.height, lambda w, h: self._drafted(source, w, h).size)
            if error is not None:
                raise error
        geometry.check(made.size, most)
        return made

    def draft(self, source: geometry.Size) -> geometry.Plan:
        """Return the same whatever its size, for a comparison with other orders."""
        return self._drafted(source, self.width, self.height)

    def _drafted(self, source: geometry.Size, width: int | None, height: int | None) -> geometry.Plan:
        limits = self.limits
        return geometry.draft(
            source,
            width,
            height,
            self.fit,
            enlarge=limits.enlarge,
            max_dimension=limits.max_dimension,
            gravity=self.gravity,
        )


@dataclass(frozen=True, slots=True)
class Reduction:
    """The upright sizes of an original and of its mezzanine in pixels.

    Raises ValueError for a mezzanine larger than its original, and for an original larger than any.
    """

    original: geometry.Size
    reduced: geometry.Size

    def __post_init__(self) -> None:
        sides = zip(self.reduced, self.original, strict=True)
        if not all(0 < reduced <= original <= LARGEST_SIDE for reduced, original in sides):
            raise ValueError("no reduction")

    def serves(self, order: Order) -> bool:
        """Return whether *order* is small enough for the mezzanine. Raise `BadParameter` as `Order.plan` does."""
        share = max(self.reduced) / max(self.original)
        return order.plan(self.original).ratio(self.original) <= _SHARE * share


@dataclass(frozen=True)
class Rendered:
    """A finished rendition."""

    data: bytes
    width: int
    height: int
    frames: int
    first_frame: bool
    """Whether the original and the format are animated, and the limits allowed one frame only."""
    mezzanine_possible: bool = False
    """Whether a mezzanine can be made of the original."""
    thumb_hash: str = ""
    """The ThumbHash of the whole picture, if it was ordered."""
    decoding: float = field(default=0.0, compare=False)
    """Seconds to decode, scale and colour."""
    encoding: float = field(default=0.0, compare=False)
    """Seconds to encode."""


@dataclass(frozen=True)
class Placeholder:
    """A request for one placeholder. Sides are in pixels; *text* is empty for the kinds without words.

    *initials* are given for the kind that shows them.
    *background* is the colour behind transparent pixels, as six hexadecimal digits.
    """

    kind: IfBlank
    width: int
    height: int
    format: Format
    text: str = ""
    encoding: Encoding = Encoding()
    background: str | None = None
    initials: Initials | None = None

    def check(self, width: int | None, height: int | None) -> None:
        """Raise `BeyondFormat` for a size that the format cannot hold.

        *width* and *height* are the sides of the request in pixels, or None.
        """
        if not self.format.holds((self.width, self.height)):
            error = _beyond(self.format, width, height, lambda w, h: (w or h or self.width, h or w or self.height))
            assert error is not None  # every format holds one pixel by any height
            raise error


def _beyond(
    kind: Format, width: int | None, height: int | None, size_of: Callable[[int | None, int | None], geometry.Size]
) -> BeyondFormat | None:
    """Return the error for a rendition that the format *kind* cannot hold.

    *size_of* gives the size of the rendition for the sides of a request. The error names the largest `w` that gives a
    rendition, or the largest `h` when only `h` was given. Return None where no `w` does, since the proportions make the
    other side too long.
    """

    def unfit(size: geometry.Size) -> bool:
        return max(size) > geometry.MAX_SIDE or not kind.holds(size)

    size = size_of(width, height)
    if width is None and height is not None:
        name, most = "h", bisect_left(range(1, height), True, key=lambda side: unfit(size_of(None, side)))
    else:
        name, most = "w", bisect_left(range(1, width or size[0]), True, key=lambda side: unfit(size_of(side, height)))
    if not most:
        return None
    return BeyondFormat(
        N_(
            "The picture would be %(width)sx%(height)s pixels; as %(format)s no more than %(limit)s are made. "
            "The largest %(name)s that fits is %(largest)s."
        ),
        {
            "width": size[0],
            "height": size[1],
            "format": kind.name,
            "limit": MOST_PIXELS[kind],
            "name": name,
            "largest": str(most),  # for the URL, so its digits are not grouped
        },
    )
