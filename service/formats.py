"""The picture formats of the service and what every part of it must know of them.

This module does not import Pillow, and has no code for one format: a format is a row of `Format`.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class _Traits(NamedTuple):
    """A row of `Format`. The properties of `Format` describe the fields."""

    media_type: str
    suffix: str
    aliases: tuple[str, ...] = ()
    writable: bool = True
    alpha: bool = True
    animated: bool = False
    frame_cost: int = 2
    max_pixels: int | None = None


class Format(Enum):
    """A picture format. The value is its traits; `Format["WEBP"]` looks one up by name.

    A writable format needs a writer, too: a row of `service.imaging.writing.writers.WRITERS`.
    """

    AVIF = _Traits("image/avif", "avif", animated=True, max_pixels=16_000_000)  # its writer takes 30 bytes a pixel
    WEBP = _Traits("image/webp", "webp", ("image/x-webp",), animated=True)
    JPEG = _Traits("image/jpeg", "jpg", ("image/jpg", "image/pjpeg", "image/x-jpeg", "image/x-jpg"), alpha=False)
    PNG = _Traits(
        "image/png", "png", ("image/x-png", "image/apng", "image/vnd.mozilla.apng"), animated=True, frame_cost=4
    )
    GIF = _Traits("image/gif", "gif", ("image/x-gif",), animated=True)
    TIFF = _Traits("image/tiff", "tif", ("image/tif", "image/x-tif", "image/x-tiff"))
    BMP = _Traits("image/bmp", "bmp", writable=False)
    HEIC = _Traits("image/heic", "heic", writable=False)

    __hash__ = object.__hash__  # that of `Enum` is a call in Python, and formats are keys of many tables

    @property
    def media_type(self) -> str:
        """The registered media type, for example `image/jpeg`."""
        return self.value.media_type

    @property
    def aliases(self) -> tuple[str, ...]:
        """Media types that clients send in place of the registered one, in lower case, for example `image/jpg`."""
        return self.value.aliases

    @property
    def suffix(self) -> str:
        """The usual file suffix without the dot, for example `jpg`."""
        return self.value.suffix

    @property
    def writable(self) -> bool:
        """Whether renditions can have this format. The other formats are only read."""
        return self.value.writable

    @property
    def alpha(self) -> bool:
        """Whether a picture in this format can be transparent."""
        return self.value.alpha

    @property
    def animated(self) -> bool:
        """Whether a rendition in this format can be animated."""
        return self.value.animated

    @property
    def frame_cost(self) -> int:
        """How many times the pixels of an animated rendition count against `max_animation_pixels`.

        Writing a frame takes longer than reading it, and PNG takes the longest.
        """
        return self.value.frame_cost

    def holds(self, size: tuple[int, int]) -> bool:
        """Whether a rendition in this format can have that *size* in pixels."""
        return self not in MOST_PIXELS or size[0] * size[1] <= MOST_PIXELS[self]

    def __repr__(self) -> str:
        return f"Format.{self.name}"


WRITABLE: tuple[Format, ...] = tuple(each for each in Format if each.writable)
"""The formats of renditions."""
MOST_PIXELS: dict[Format, int] = {each: each.value.max_pixels for each in WRITABLE if each.value.max_pixels}
"""Pixels of a rendition, for the formats that hold less than `max_dimension` allows."""


class Fit(Enum):
    """How a picture fits into a box when both sides of the box are given. `geometry.draft` computes each of them."""

    CONTAIN = "contain"
    COVER = "cover"
    FILL = "fill"
    PAD = "pad"


class Gravity(NamedTuple):
    """Where the centre of a crop is to be, in hundredths of the upright picture's width and height."""

    across: int = 50
    down: int = 50


CENTER = Gravity()
"""The gravity of a request that names none."""


class Initials(NamedTuple):
    """What is known of a name: its initials, and the number of the colour that it decides."""

    letters: str
    colour: int

    def __str__(self) -> str:
        """Return the initials for keys, in ASCII."""
        return f"initials:{'-'.join(f'{ord(each):x}' for each in self.letters)}:{self.colour}"


INITIALS_COLOURS = 12
"""The number of colours of initials."""


class IfBlank(Enum):
    """The placeholder for a missing picture: SuperOffice's names and numbers. `INITIALS` has no number there."""

    DEFAULT = 0
    CLEAR_PIXEL = 1
    SR_NO_PHOTO = 2
    SR_NO_PHOTO_WITH_BORDER = 3
    NULL = 4
    GENERIC_FILE_ICON = 5
    INITIALS = "initials"

    @property
    def spelled(self) -> str:
        """The name as SuperOffice spells it, for example `SrNoPhoto`."""
        return self.name.replace("_", " ").title().replace(" ", "")

    @property
    def worded(self) -> bool:
        """Whether the placeholder shows words, and so depends on the reader's language."""
        return self in (IfBlank.SR_NO_PHOTO, IfBlank.SR_NO_PHOTO_WITH_BORDER)

    @property
    def opaque(self) -> bool:
        """Whether the placeholder has no transparent pixel, so that no background is seen."""
        return self.worded or self is IfBlank.INITIALS
