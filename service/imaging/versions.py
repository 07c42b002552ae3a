"""The versions of everything that decides the bytes of a rendition. They are a part of every entity tag.

This module imports no decoder and no writer: the service needs the versions, and does not render.
"""

from __future__ import annotations

from PIL import features

try:
    from pillow_heif import libheif_version
except ImportError:

    def libheif_version() -> str:
        """Return the version for an installation without HEIC."""
        return "none"


_REVISION = 6
"""The number of this way of rendering. It rises when the same order gives other pixels."""
_LIBRARIES = ("pil", "jpg", "libjpeg_turbo", "webp", "avif", "zlib", "zlib_ng", "libtiff", "littlecms2")
"""Pillow's names for itself and for the libraries that write files, or convert pixels."""


def encoder_versions() -> str:
    """Return the versions of this package, of Pillow, and of every codec that affects a rendition's bytes."""
    versions = {name: features.version(name) or "none" for name in _LIBRARIES}
    everything = {"revision": str(_REVISION), **versions, "heif": libheif_version()}
    return " ".join(f"{name}={version}" for name, version in everything.items())
