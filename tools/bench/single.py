"""Renders in one process, against libvips with one thread, at a quality with at least the same SSIM."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from math import exp, log
from statistics import median
from typing import Any

from PIL import Image

from service.formats import Format
from service.imaging.order import Encoding, Order
from service.imaging.render import render
from tools.bench.instruments.figures import show
from tools.bench.instruments.likeness import libvips, luma, ssim
from tools.bench.instruments.photographs import originals

_WIDTHS = (319, 64)
_SUFFIXES = {Format.JPEG: ".jpg", Format.PNG: ".png", Format.WEBP: ".webp", Format.AVIF: ".avif"}
_LEAST = 0.05
"""Seconds of one measure, over as many renders as fit."""
_QUALITIES = range(30, 99)
_HEADS = ("original", "to", "ours, ms", "libvips, ms", "ours / libvips", "by processor time",
          "SSIM, ours and libvips", "bytes, ours and libvips", "its Q")  # fmt: skip


def run(options: Namespace) -> None:
    """Print a row for each original, size and format, and the geometric mean of all ratios."""
    rows, walls, processors = [], [], []
    for name, data in originals().items():
        whole = luma(data)
        for width in _WIDTHS:
            height = max(1, round(whole.height * width / whole.width))
            reference = whole.resize((width, height), Image.Resampling.LANCZOS)
            for kind in _SUFFIXES:
                order = Order(kind, width=width)
                ours = render(data, order).data
                likeness = ssim(reference, luma(ours))
                quality = _quality(data, kind, reference, likeness)
                theirs = _thumbnail(data, width, kind, quality)
                taken = [
                    (_took(partial(render, data, order)), _took(partial(_thumbnail, data, width, kind, quality)))
                    for _ in range(options.runs)
                ]
                wall, processor = (median(one[by] / other[by] for one, other in taken) for by in (0, 1))
                one, two = (median(run[which][0] for run in taken) for which in (0, 1))
                walls.append(wall)
                processors.append(processor)
                rows.append([
                    name, f"{width} px {kind.name}", f"{one:.1f}", f"{two:.1f}", f"{wall:.2f}", f"{processor:.2f}",
                    f"{likeness:.4f}, {ssim(reference, luma(theirs)):.4f}", f"{len(ours):,}, {len(theirs):,}",
                    str(quality) if kind is not Format.PNG else "",
                ])  # fmt: skip
    rows.append(["**geometric mean**", "", "", "", f"{_mean(walls):.2f}", f"{_mean(processors):.2f}", "", "", ""])
    rows.append(["**most**", "", "", "", f"{max(walls):.2f}", f"{max(processors):.2f}", "", "", ""])
    show(f"one picture, medians of {options.runs} runs (wanted: mean ≤ 1.0, none above 1.5)", _HEADS, rows)


def _thumbnail(data: bytes, width: int, kind: Format, quality: int) -> bytes:
    """Return a rendition by libvips, with shrink-on-load, without metadata, and with the effort of our encoders.

    The originals are sRGB without a profile, so libvips converts no colours. That would take twice as long.
    """
    ours = Encoding()
    options: dict[Format, dict[str, Any]] = {
        Format.JPEG: {"Q": quality, "optimize_coding": True},
        Format.PNG: {"compression": ours.png_level},
        Format.WEBP: {"Q": quality, "effort": ours.webp_method},
        Format.AVIF: {"Q": quality, "effort": max(0, 9 - ours.avif_speed)},  # its effort is 9 less the speed
    }
    image = libvips().Image.thumbnail_buffer(data, width, height=10_000_000)
    written: bytes = image.write_to_buffer(_SUFFIXES[kind], keep="none", **options[kind])
    return written


def _quality(data: bytes, kind: Format, reference: Image.Image, likeness: float) -> int:
    """Return the lowest Q at which the SSIM of libvips is at least *likeness*, or the highest Q.

    The *reference* is a full decode, scaled in floats with Lanczos.
    """
    if kind is Format.PNG:
        return 0
    low, high = _QUALITIES[0], _QUALITIES[-1]
    while low < high:
        middle = (low + high) // 2
        if ssim(reference, luma(_thumbnail(data, reference.width, kind, middle))) >= likeness:
            high = middle
        else:
            low = middle + 1
    return low


def _took(work: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds of one call of *work*, by the clock and of processor time."""
    times = 0
    begun, busy = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < _LEAST:
        work()
        times += 1
    return 1000 * (time.perf_counter() - begun) / times, 1000 * (time.process_time() - busy) / times


def _mean(figures: list[float]) -> float:
    return exp(sum(map(log, figures)) / len(figures))
