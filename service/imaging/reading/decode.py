"""From bytes to an opened picture and its plain pixels. Knows nothing of sizes asked for, or of writing."""

from __future__ import annotations

import sys
from dataclasses import replace

from PIL import GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin

from service.errors import N_, Unrenderable, Unsupported
from service.formats import Format
from service.imaging.containers.avif import shown, with_whole_aperture
from service.imaging.containers.bounds import WHOLE_COLOUR, check, check_frames
from service.imaging.containers.outline import Outline, outline
from service.imaging.containers.png import read
from service.imaging.failures import corrupt
from service.imaging.geometry import Size
from service.imaging.order import LARGEST_SIDE, Limits
from service.imaging.reading.avif import AvifFile
from service.imaging.reading.deep_tiff import DeepTiffFile
from service.imaging.reading.png import PngFile
from service.imaging.reading.readers import READERS, Metered

MARGIN = 2.15
"""How many times the target a JPEG decoded at 1/4 or 1/8 must still be. At this very bound the SSIM against a full
decode with Lanczos is 0.999 in the median of the corpus' photographs and 0.971 at worst; 0.958 at 1.75."""
MARGINS = {8: MARGIN, 4: MARGIN, 2: 1.5}
"""The same by fraction: 1/2 keeps more of the finest detail, and at 1.5 has 0.997 and 0.979
(`python -m tools.bench shrink`)."""

_BESIDE_WIDE = 1.0
"""Bytes that `PngFile` holds of a pixel beside the picture, while it looks for a transparent colour of 16 bits."""
_START_OF_SCAN = b"\xff\xda"
_MAX_PASSES = 16
"""Times that a progressive JPEG of the largest size may go over all its pixels (ten is usual): 70 bytes make one more,
and each costs as much as decoding the picture. Smaller pictures may go over theirs more often."""


def opened(data: bytes, kind: Format, limits: Limits) -> tuple[ImageFile.ImageFile, Outline]:
    """Open *data* as that *kind* and no other; parse its header, decode nothing.

    Raises:
        Unrenderable: more pixels in a frame than allowed, or a kind that this installation cannot read.
        Exception: whatever Pillow makes of broken bytes; `render` turns it into `Unrenderable`.
    """
    if kind is Format.PNG:
        return _opened_png(data, limits)
    if kind not in READERS:
        raise Unsupported(N_("%(format)s pictures cannot be read here."), {"format": kind.name})
    beside = check(data, kind, limits.max_pixels)
    promised = outline(data, kind, limits.max_frames)
    if promised is not None:
        _check_size((promised.width, promised.height), beside, limits)
    found = shown(data) if kind is Format.HEIC else None
    image = READERS[kind](Metered(with_whole_aperture(data, found) if found else data))
    if found and found.colour:
        image.info["code_points"] = found.colour
    if kind is Format.HEIC and image.info.get("chroma", 420) != 420:
        beside = WHOLE_COLOUR
    _check_size(image.size, beside, limits)
    if promised is not None and (image.width > promised.width or image.height > promised.height):
        raise corrupt()  # it says two sizes, and only the smaller has been judged
    if isinstance(image, AvifFile):
        _check_size(image.coded, beside, replace(limits, max_pixels=sys.maxsize))  # all of that is decoded
        check_frames(data, image.coded, limits.max_frames)
    if kind is Format.JPEG and beside:
        _check_passes(data.count(_START_OF_SCAN), image.size, limits)
    if promised is None or kind is Format.WEBP:
        frames = getattr(image, "n_frames", 1) if kind in (Format.WEBP, Format.AVIF) else 1
        promised = Outline(image.width, image.height, frames)
    return image, promised


def _opened_png(data: bytes, limits: Limits) -> tuple[PngFile, Outline]:
    contents = read(data, limits.max_frames)
    wide = contents.header.depth == 16 and len(contents.key) > 1
    _check_size(contents.size, _BESIDE_WIDE if wide else 0.0, limits)
    film = contents.film
    promised = Outline(*contents.size, film.promised, film.still_first) if film else Outline(*contents.size, 1)
    return PngFile(contents), promised


def _check_size(size: Size, beside: float, limits: Limits) -> None:
    """*beside* is what a reader holds of each pixel, in bytes, beside the four of the picture that it makes."""
    if min(size) < 1:
        raise Unrenderable(N_("The picture has no pixels."))
    if max(size) > LARGEST_SIDE:
        raise Unrenderable(
            N_("The picture has %(width)sx%(height)s pixels; no side may be longer than %(limit)s."),
            {"width": size[0], "height": size[1], "limit": LARGEST_SIDE},
        )
    pixels = size[0] * size[1]
    most = min(limits.max_pixels, int(limits.max_decoded_bytes / (4 + beside)))
    if pixels > most:
        raise Unrenderable(
            N_("The picture has %(width)sx%(height)s pixels; no more than %(limit)s are rendered."),
            {"width": size[0], "height": size[1], "limit": most},
        )


def _check_passes(passes: int, size: Size, limits: Limits) -> None:
    if passes * size[0] * size[1] > _MAX_PASSES * limits.max_pixels:
        raise Unrenderable(
            N_("The picture is stored in %(passes)s passes, too many for %(width)sx%(height)s pixels."),
            {"passes": passes, "width": size[0], "height": size[1]},
        )


def shrink_on_load(image: ImageFile.ImageFile, ratio: float, least: float = 0.0) -> None:
    """Let a JPEG be decoded at 1/8, 1/4 or 1/2, if what remains is well above *ratio* of its size and *least* of it."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    for shrink, margin in MARGINS.items():
        if max(ratio * margin, least) * shrink <= 1:
            image.draft(None, (max(1, image.width // shrink), max(1, image.height // shrink)))
            return


def plain(image: Image.Image) -> Image.Image:
    """The pixels in one of the modes that can be resampled: L, LA, RGB, RGBA, CMYK, LAB."""
    mode = image.mode
    if isinstance(image, GifImagePlugin.GifImageFile) and not image.has_transparency_data:
        return _on_its_canvas(image)
    if mode in ("L", "RGB", "1"):
        if "transparency" in image.info:
            return image.convert("RGBA" if mode == "RGB" else "LA")
        return image.convert("L") if mode == "1" else image
    if mode in ("LA", "RGBA", "CMYK", "LAB"):
        return image
    if mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in ("La", "RGBa"):
        return image.convert(mode.upper())
    if mode == "F" or mode.startswith("I"):
        return _deep_grey(image)
    return image.convert("RGB")


def _on_its_canvas(image: GifImagePlugin.GifImageFile) -> Image.Image:
    """What a GIF's first frame leaves bare of the canvas is transparent, as browsers have it; Pillow has it black."""
    pixels = image.convert("L" if image.mode == "L" else "RGB")
    box = image.dispose_extent
    if box is None or box == (0, 0, *image.size):
        return pixels
    canvas = Image.new("RGBA", image.size)
    canvas.paste(pixels.crop(box), box)
    return canvas


def _deep_grey(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits (Pillow's `convert` would clip it). Floats are taken as 0 to 255."""
    if image.mode == "F":
        return image.convert("L")
    key = image.info.get("transparency")
    wide = image.convert("I")
    grey = wide.point([value >> 8 for value in range(65_536)], "L")
    if isinstance(image, DeepTiffFile) and image.white_is_zero:
        return ImageOps.invert(grey)
    if isinstance(key, int):
        grey.putalpha(wide.point([0 if value == key else 255 for value in range(65_536)], "L"))
    return grey
