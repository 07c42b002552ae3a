"""Conversion of colours to sRGB, and of transparent pictures to opaque ones on a colour."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

from service.imaging.containers.cicp import CodePoints
from service.imaging.pixels import code_points
from service.imaging.pixels.inks import press_profile

_MODES = {b"RGB ": ("RGB", "RGBA"), b"GRAY": ("L", "LA"), b"CMYK": ("CMYK",)}
"""Modes of pictures that a profile can describe, by the colour space in its header."""
_MAX_PROFILE = 4_194_304
"""Bytes of the largest profile that is used. Those of presses have 0.5 to 2 MB."""
_MAX_KEPT_PROFILE = 1_048_576
"""Bytes of the largest profile whose transform is kept."""
_MAX_TAGS = 100
"""Tags of a profile at most. littlecms refuses more."""


def to_srgb(image: Image.Image, profile: bytes | None, points: CodePoints | None = None) -> Image.Image:
    """Return *image* (L, LA, RGB, RGBA, CMYK or LAB), which has this ICC *profile*, in sRGB: L, LA, RGB or RGBA.

    The intent is relative colorimetric. A profile that is broken, or that describes another mode, is ignored. RGB and
    grey then have the colours of the code *points*, or of sRGB without any, and CMYK those of a press.
    """
    if image.mode == "LAB":
        return _applied(image, _lab_to_srgb())
    if profile and len(profile) <= _MAX_PROFILE and image.mode in _MODES.get(profile[16:20], ()):
        try:
            return _converted(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    if image.mode == "CMYK":
        return _converted(image, press_profile())
    return _by_code_points(image, points) if points else image


def _by_code_points(image: Image.Image, points: CodePoints) -> Image.Image:
    """Return *image* in sRGB. Grey has no primaries: only the curve changes it, and it stays grey."""
    profile = code_points.profile(points)
    if profile is None:
        return image
    if image.mode in ("L", "LA"):
        if not code_points.changes_grey(points):
            return image
        return _converted(image.convert("RGBA" if image.mode == "LA" else "RGB"), profile).convert(image.mode)
    return _converted(image, profile)


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode != "LA":
        return _applied(image, _transform(profile, image.mode))
    coloured = _converted(image.getchannel("L"), profile)
    coloured.putalpha(image.getchannel("A"))
    return coloured


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # it is None only for a transform in place
    return result


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Return the transform to sRGB. Those of small profiles are kept: building one takes milliseconds."""
    return (_kept if len(profile) <= _MAX_KEPT_PROFILE else _built)(profile, mode)


def _built(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Return a new transform to sRGB, with black point compensation for RGB and grey.

    For inks it would move the reds and blues of a press out of sRGB, where they are cut off. libvips omits it, too.
    """
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(_without_elements(profile))),
        _srgb(),
        mode,
        "RGBA" if mode == "RGBA" else "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.NONE if mode == "CMYK" else ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


_kept = lru_cache(maxsize=8)(_built)


def _without_elements(profile: bytes) -> bytes:
    """Return *profile* with the names of its D2B tags overwritten, so that littlecms uses the tables of the A2B tags.

    The processing elements of a D2B tag may name one element a thousand times: 80 KB take five seconds. The A2B tags
    are required (ICC.1:2022, 9.2.23), and are the only ones that readers of version 2 know.
    """
    entries = min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS)
    floats = [at for at in range(132, 132 + 12 * entries, 12) if profile[at : at + 3] == b"D2B"]
    if not floats:
        return profile
    crossed = bytearray(profile)
    for at in floats:
        crossed[at] = ord("x")
    return bytes(crossed)


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(lab, _srgb(), "LAB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


def needed_alpha(image: Image.Image) -> Image.Image:
    """Return *image* without its alpha channel if every pixel is opaque."""
    if image.mode in ("LA", "RGBA") and image.getextrema()[-1] == (255, 255):
        return image.convert(image.mode[:-1])
    return image


def on_background(image: Image.Image, background: str | None) -> Image.Image:
    """Return *image* on *background* (six hexadecimal digits; white if None), without an alpha channel."""
    if image.mode not in ("LA", "RGBA"):
        return image
    colour = rgb(background)
    grey = image.mode == "LA" and colour[0] == colour[1] == colour[2]
    mode = "L" if grey else "RGB"
    canvas = Image.new(mode, image.size, colour[0] if grey else colour)
    canvas.paste(image.convert(mode), mask=image.getchannel("A"))
    return canvas


def rgb(background: str | None) -> tuple[int, int, int]:
    """Return the red, green and blue, 0 to 255, of six hexadecimal digits, or of white."""
    red, green, blue = bytes.fromhex(background or "ffffff")
    return red, green, blue
