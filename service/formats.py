"""The picture formats we read and write, by their registered names and their aliases. Knows no library and no HTTP."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class _Traits(NamedTuple):
    media_type: str
    suffix: str
    writable: bool
    alpha: bool
    animated: bool


_ALIASES = {
    "image/jpeg": ("image/jpg", "image/pjpeg", "image/x-jpeg", "image/x-jpg"),
    "image/png": ("image/x-png", "image/apng", "image/vnd.mozilla.apng"),
    "image/gif": ("image/x-gif",),
    "image/tiff": ("image/tif", "image/x-tif", "image/x-tiff"),
    "image/webp": ("image/x-webp",),
}
"""Media types that clients send for a registered one, in lower case."""


class Format(Enum):
    """A picture format. The value is its traits; `Format["WEBP"]` looks one up by name."""

    AVIF = _Traits("image/avif", "avif", writable=True, alpha=True, animated=True)
    WEBP = _Traits("image/webp", "webp", writable=True, alpha=True, animated=True)
    JPEG = _Traits("image/jpeg", "jpg", writable=True, alpha=False, animated=False)
    PNG = _Traits("image/png", "png", writable=True, alpha=True, animated=True)
    GIF = _Traits("image/gif", "gif", writable=True, alpha=True, animated=True)
    TIFF = _Traits("image/tiff", "tif", writable=True, alpha=True, animated=False)
    BMP = _Traits("image/bmp", "bmp", writable=False, alpha=True, animated=False)
    HEIC = _Traits("image/heic", "heic", writable=False, alpha=True, animated=False)

    @property
    def media_type(self) -> str:
        """The registered media type, e.g. `image/jpeg`."""
        return self.value.media_type

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other media types that stand for it, in lower case, e.g. `image/jpg`."""
        return _ALIASES.get(self.media_type, ())

    @property
    def suffix(self) -> str:
        """The usual file suffix without its dot, e.g. `jpg`."""
        return self.value.suffix

    @property
    def writable(self) -> bool:
        """Whether renditions are made in it; the others are only read."""
        return self.value.writable

    @property
    def alpha(self) -> bool:
        """Whether it can carry transparency."""
        return self.value.alpha

    @property
    def animated(self) -> bool:
        """Whether our renditions in it can be animated."""
        return self.value.animated

    def __repr__(self) -> str:
        return f"Format.{self.name}"


WRITABLE: tuple[Format, ...] = tuple(each for each in Format if each.writable)


class Fit(Enum):
    """How a picture meets a box of which both sides were given."""

    CONTAIN = "contain"
    COVER = "cover"
    FILL = "fill"
    PAD = "pad"


class IfBlank(Enum):
    """What stands in for a missing picture: SuperOffice's names in lower case, and its numbers."""

    DEFAULT = 0
    CLEAR_PIXEL = 1
    SR_NO_PHOTO = 2
    SR_NO_PHOTO_WITH_BORDER = 3
    NULL = 4
    GENERIC_FILE_ICON = 5

    @property
    def worded(self) -> bool:
        """Whether the placeholder shows words, and so depends on the reader's language."""
        return self in (IfBlank.SR_NO_PHOTO, IfBlank.SR_NO_PHOTO_WITH_BORDER)
