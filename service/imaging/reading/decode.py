"""The modes and the scale of decoded pixels. This module does not know the size of a rendition."""

from __future__ import annotations

from PIL import GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin

from service.imaging.reading.deep_tiff import DeepTiffFile

MARGIN = 2.15
"""The smallest ratio of a JPEG decoded at 1/4 or 1/8 to its target. At this ratio the SSIM against a full decode with
Lanczos is 0.997 in the median of the corpus' photographs and 0.971 at worst; at 1.75 it is 0.958 at worst."""
MARGINS = {8: MARGIN, 4: MARGIN, 2: 1.5}
"""The smallest ratios by the denominator of the scale. 1/2 keeps more of the finest detail: at 1.5 the SSIM is 0.997
in the median and 0.979 at worst (`python -m tools.bench shrink`)."""


def shrink_on_load(image: ImageFile.ImageFile, ratio: float, least: float = 0.0) -> None:
    """Make a JPEG decode at 1/8, 1/4 or 1/2, if this is well above *ratio* of its size, and at least *least* of it."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    for shrink, margin in MARGINS.items():
        if max(ratio * margin, least) * shrink <= 1:
            image.draft(None, (max(1, image.width // shrink), max(1, image.height // shrink)))
            return


def plain(image: Image.Image) -> Image.Image:
    """Return the pixels in a mode that can be resampled: L, LA, RGB, RGBA, CMYK or LAB."""
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
    """Return the first frame on a transparent canvas, as in browsers. Pillow's canvas is black."""
    pixels = image.convert("L" if image.mode == "L" else "RGB")
    box = image.dispose_extent
    if box is None or box == (0, 0, *image.size):
        return pixels
    canvas = Image.new("RGBA", image.size)
    canvas.paste(pixels.crop(box), box)
    return canvas


def _deep_grey(image: Image.Image) -> Image.Image:
    """Return 16-bit grey scaled to 8 bits, which Pillow's `convert` would clip. Floats count as 0 to 255."""
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
