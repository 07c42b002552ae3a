"""What is asked of a render, and what comes of it: plain values that travel between processes. Knows no Pillow."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import N_, BeyondFormat
from service.formats import Fit, Format, IfBlank
from service.imaging import geometry
from service.imaging.capacity import MOST_PIXELS, holds

_SHARE = 0.64
"""Of a mezzanine's side, up to which renditions are made from it: up to there the SSIM to those made from the original
is 0.995 or more in the median and 0.97 at worst (`python -m tools.bench mezzanine`)."""
LARGEST_SIDE = 65_535
"""Pixels of an original, as JPEG and GIF have it. Elsewhere a picture could be one pixel wide and millions high, and
its rows would take more memory than its pixels."""
LARGEST_SERVED = 720
"""Pixels; a rendition all of whose sides are longer is never made from a mezzanine, which has 1,126 at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one picture may cost. Everything is counted from headers, before a pixel is decoded."""

    max_pixels: int = 50_000_000
    """Pixels of one frame of the original."""
    max_decoded_bytes: int = 400_000_000
    """Bytes that a reader may hold of that frame: 4 a pixel, and more where it keeps the picture in other forms."""
    max_frames: int = 200
    """Frames; a longer animation gives its first frame."""
    max_animation_pixels: int = 50_000_000
    """Pixels over all frames of an original; a half of that in a rendition, a quarter in PNG. Past it, the first."""
    max_dimension: int = 4096
    """Pixels of a side that may be asked for; its square bounds the area of a rendition."""
    enlarge: bool = True
    """Whether a small original may be made larger than it is."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How hard each writer tries. The defaults come from a measured table of size, time and SSIM."""

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
    """As JPEG's."""
    png_level: int = 6
    """zlib's, 0 to 9."""
    png_palette: bool = True
    """Whether an original with a palette gives a rendition with a palette."""
    gif_dither: bool = True
    """Whether still GIFs are dithered (animations never are: the grain would crawl)."""


@dataclass(frozen=True, slots=True)
class Order:
    """One rendition, as it is asked for: sides in pixels, None where not given."""

    format: Format
    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.CONTAIN
    limits: Limits = Limits()
    encoding: Encoding = Encoding()

    @property
    def least_side(self) -> int | None:
        """The smaller of the sides that were asked for, in pixels."""
        return min((side for side in (self.width, self.height) if side is not None), default=None)

    def plan(self, source: geometry.Size) -> geometry.Plan:
        """How to make it from an upright picture of that many pixels.

        Raises `BeyondFormat` for a size that its format cannot hold, and `BadParameter` for one that none can.
        """
        made, most = self._drafted(source, self.width, self.height), self.limits.max_dimension
        if not holds(self.format, made.size) and MOST_PIXELS[self.format] < most**2:
            error = _beyond(self.format, self.width, self.height, lambda w, h: self._drafted(source, w, h).size)
            if error is not None:
                raise error
        geometry.check(made.size, most)
        return made

    def _drafted(self, source: geometry.Size, width: int | None, height: int | None) -> geometry.Plan:
        limits = self.limits
        return geometry.draft(
            source, width, height, self.fit, enlarge=limits.enlarge, max_dimension=limits.max_dimension
        )


@dataclass(frozen=True, slots=True)
class Reduction:
    """A mezzanine's size in pixels, and that of the *original* it was made from, both upright.

    Raises ValueError for sizes that cannot be.
    """

    original: geometry.Size
    reduced: geometry.Size

    def __post_init__(self) -> None:
        sides = zip(self.reduced, self.original, strict=True)
        if not all(0 < reduced <= original <= LARGEST_SIDE for reduced, original in sides):
            raise ValueError("no reduction")

    def serves(self, order: Order) -> bool:
        """Whether *order* is small enough to be made from the mezzanine. Raises `BadParameter`."""
        share = max(self.reduced) / max(self.original)
        return order.plan(self.original).ratio(self.original) <= _SHARE * share


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished rendition."""

    data: bytes
    width: int
    height: int
    frames: int
    first_frame: bool
    """The original moves and the rendition could, but the budget allowed one frame alone."""
    leaves: bool = False
    """The original is large, and a mezzanine may be made of what was decoded."""


@dataclass(frozen=True, slots=True)
class Blank:
    """One placeholder: what it shows, its sides in pixels, and the words for those kinds that have any."""

    kind: IfBlank
    width: int
    height: int
    format: Format
    text: str = ""
    encoding: Encoding = Encoding()

    def check(self, width: int | None, height: int | None) -> None:
        """Raise `BeyondFormat` where its format cannot hold it. *width* and *height* are as they were asked for."""
        if not holds(self.format, (self.width, self.height)):
            error = _beyond(self.format, width, height, lambda w, h: (w or h or self.width, h or w or self.height))
            assert error is not None  # one pixel by any height is held
            raise error


def _beyond(
    kind: Format, width: int | None, height: int | None, size_of: Callable[[int | None, int | None], geometry.Size]
) -> BeyondFormat | None:
    """For a rendition that has *size_of* the sides asked for, and is more than that format holds.

    The error names the largest `w` that would do, or the largest `h` where that alone was asked for. None where none
    would: the proportions make a side too long.
    """

    def unfit(size: geometry.Size) -> bool:
        return max(size) > geometry.MAX_SIDE or not holds(kind, size)

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
            "largest": str(most),  # to be put into the URL, so no culture groups its digits
        },
    )
