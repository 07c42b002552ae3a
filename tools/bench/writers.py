"""Size, time and SSIM of every writer's settings, for renditions of photographs, 319 pixels wide."""

from __future__ import annotations

import io
import math
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from PIL import Image, ImageChops, ImageStat

from service.formats import Format
from service.imaging.order import Encoding
from service.imaging.writing.encode import encode_still
from tools.bench.instruments.figures import show
from tools.bench.instruments.likeness import ssim
from tools.bench.instruments.pictures import photograph
from tools.pictures.corpus import CORPUS, photographs, read

_WIDTH = 319
Writer = Callable[[Image.Image], bytes]


def run(options: Namespace) -> None:
    """Print a table for each format."""
    photographs_, drawings = _pictures(), _drawings()
    for kind, writers in _writers().items():
        pictures, what = (drawings, "drawings") if "drawn" in kind else (photographs_, "photographs")
        rows = [_row(label, writer, pictures, options.runs) for label, writer in writers.items()]
        show(
            f"{kind}, {_WIDTH} px wide, {len(pictures)} {what}",
            ("setting", "KB", "ms", "SSIM, median", "worst", "PSNR, dB"),
            rows,
        )


def _pictures() -> list[Image.Image]:
    """Return photographs, decoded in full and scaled, so that only the writers differ."""
    if CORPUS.is_dir():
        files = [read(name) for name in photographs() if "exifori" not in name or name.endswith("_1.jpg")]
    else:
        print("(no corpus: the pictures are drawn portraits with grain)")
        files = [photograph(900, 1200, seed, grain) for seed, grain in enumerate((0.0, 0.05, 0.1, 0.15, 0.2, 0.3))]
    return [_scaled(data) for data in files]


def _drawings() -> list[Image.Image]:
    """Return portraits of sixteen colours."""
    scaled = [_scaled(photograph(900, 1200, seed, 0.0)) for seed in range(6)]
    return [each.quantize(16, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB") for each in scaled]


def _scaled(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        height = max(1, round(image.height * _WIDTH / image.width))
        return image.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS)


def _row(label: str, writer: Writer, pictures: list[Image.Image], runs: int) -> list[str]:
    sizes, times, likenesses, errors = [], [], [], []
    for picture in pictures:
        took = []
        for _ in range(runs):
            begun = time.perf_counter()
            data = writer(picture.copy())
            took.append(time.perf_counter() - begun)
        with Image.open(io.BytesIO(data)) as written:
            shown = written.convert("RGB")
        sizes.append(len(data) / 1000)
        times.append(1000 * min(took))
        likenesses.append(ssim(picture.convert("L").convert("F"), shown.convert("L").convert("F")))
        error = sum(ImageStat.Stat(ImageChops.difference(picture, shown)).sum2) / (3 * picture.width * picture.height)
        errors.append(10 * math.log10(255**2 / max(error, 1e-3)))
    figures = (median(sizes), median(times), median(likenesses), min(likenesses), median(errors))
    return [label, *(f"{figure:.{digits}f}" for figure, digits in zip(figures, (1, 1, 4, 4, 1), strict=True))]


def _writers() -> dict[str, dict[str, Writer]]:
    """Return writers by format and label: ours with one setting changed, and others that are not settings."""
    return {
        "JPEG": _ours(Format.JPEG, {
            "quality": ("jpeg_quality", (70, 75, 78, 80, 82, 85, 90)), "progressive": ("jpeg_progressive", (True,)),
            "subsampling": ("jpeg_subsampling", (0, 1)),
        }) | {"not optimized": _plainly("JPEG", quality=Encoding().jpeg_quality, subsampling=2)},
        "WebP": _ours(Format.WEBP, {
            "quality": ("webp_quality", (70, 75, 80, 82, 85, 90)), "method": ("webp_method", (0, 1, 2, 3, 4, 6)),
        }),
        "AVIF": _ours(Format.AVIF, {
            "quality": ("avif_quality", (50, 55, 60, 65, 70, 80)), "speed": ("avif_speed", (6, 7, 8, 9, 10)),
            "subsampling": ("avif_subsampling", (0, 1)),
        }),
        "PNG": _ours(Format.PNG, {})
        | {
            "always level 6, all filters": _plainly("PNG", compress_level=6),
            "a palette of 256, dithered": lambda image: encode_still(image, Format.PNG, Encoding(), palette=True),
        },
        "PNG of what is drawn": _ours(Format.PNG, {"level": ("png_level", (1, 3, 4, 9))}),
        "GIF": _ours(Format.GIF, {"dither": ("gif_dither", (True, False))})
        | {f"{name}, {'' if dither else 'not '}dithered": _gif(method, steps, dither)
           for name, method, steps in (("median cut", Image.Quantize.MEDIANCUT, 0),
                                       ("median cut and 3 steps of k-means", Image.Quantize.MEDIANCUT, 3))
           for dither in (True, False)},
        "TIFF": _ours(Format.TIFF, {})
        | {"deflate, no predictor": _plainly("TIFF", compression="tiff_adobe_deflate"),
           "LZW and predictor": _plainly("TIFF", compression="tiff_lzw", tiffinfo={317: 2})},
    }  # fmt: skip


def _ours(kind: Format, settings: dict[str, tuple[str, tuple[object, ...]]]) -> dict[str, Writer]:
    default = Encoding()

    def writer(encoding: Encoding) -> Writer:
        return lambda image: encode_still(image, kind, encoding)

    writers = {"**as set**": writer(default)}
    for label, (name, values) in settings.items():
        for value in values:
            if value != getattr(default, name):
                writers[f"{label} {value}"] = writer(replace(default, **{name: value}))
    return writers


def _plainly(kind: str, **options: object) -> Writer:
    def write(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return write


def _gif(method: Image.Quantize, steps: int, dither: bool) -> Writer:
    def write(image: Image.Image) -> bytes:
        few = image.quantize(255, method, kmeans=steps)
        if dither:
            few = image.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG)
        return _plainly("GIF")(few)

    return write
