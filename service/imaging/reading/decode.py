"""The modes and the scale of decoded pixels. This module does not know the size of a rendition."""

from __future__ import annotations

from PIL import GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin

from service.imaging.reading.deep_tiff import DeepTiffFile

MARGIN = 2.15
"""How many times the target a JPEG decoded at 1/4 or 1/8 must still be. At this very bound the SSIM against a full
decode with Lanczos is 0.999 in the median of the corpus' photographs and 0.971 at worst; 0.958 at 1.75."""
MARGINS = {8: MARGIN, 4: MARGIN, 2: 1.5}
"""The same by fraction: 1/2 keeps more of the finest detail, and at 1.5 has 0.997 and 0.979
(`python -m tools.bench shrink`)."""


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
