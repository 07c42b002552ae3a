"""How far a picture may shrink by cheaper means before Lanczos does the rest: SSIM against a full decode with Lanczos.

Every photograph is rendered at the very size where a margin just allows the means, its worst: a JPEG decoded at 1/2,
1/4 or 1/8 (`decode.MARGINS`), and blocks of 2, 3 or 4 pixels averaged (`resample.REDUCING_GAP`).
"""

from __future__ import annotations

import io
import time
from argparse import Namespace
from collections.abc import Sequence
from statistics import median
from unittest.mock import patch

from PIL import Image

from service.formats import Format
from service.imaging.order import Order
from service.imaging.pixels import resample
from service.imaging.reading import decode
from service.imaging.render import render
from tests.corpus import CORPUS, photographs, read
from tools.bench.figures import show
from tools.bench.likeness import luma, ssim
from tools.bench.pictures import photograph

_NEVER = 1e9
_MARGINS = (1.0, 1.5, 1.75, 2.0, 2.15, 2.5)
_GAPS = (1.0, 1.25, 1.4, 1.75, 2.0)
_SMALLEST = 32
"""Pixels of a side; below, a window of SSIM sees half the picture."""
_HEADS = ("margin", "photographs x shrinks", "SSIM, median", "worst", "time / full decode with Lanczos")


def run(options: Namespace) -> None:
    """One table for each of the two means. The default is the least whose median is 0.995 and whose worst is 0.97."""
    pictures = _pictures()
    jpegs = [data for data in pictures if data.startswith(b"\xff\xd8")]
    for title, default, shrinks in (("1/2", decode.MARGINS[2], (2,)), ("1/4 and 1/8", decode.MARGIN, (4, 8))):
        rows = [_row(margin, default, jpegs, shrinks, options.runs, margin, _NEVER) for margin in _MARGINS]
        show(f"JPEG decoded at {title}", _HEADS, rows)
    rows = [_row(gap, resample.REDUCING_GAP, pictures, (2, 3, 4), options.runs, _NEVER, gap) for gap in _GAPS]
    show("blocks of 2, 3, 4 pixels averaged", _HEADS, rows)


def _pictures() -> list[bytes]:
    if CORPUS.is_dir():
        return [read(name) for name in photographs() if "exifori" not in name or name.endswith("_1.jpg")]
    print("(the corpus is not here: drawn portraits under grain stand in)")
    return [photograph(900, 1200, seed, grain) for seed, grain in enumerate((0.0, 0.05, 0.1, 0.15, 0.2, 0.3))]


def _row(
    bound: float, default: float, pictures: Sequence[bytes], shrinks: Sequence[int], runs: int, margin: float,
    gap: float,
) -> list[str]:  # fmt: skip
    likenesses, times = [], []
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            widths = [int(image.width / (shrink * bound * 1.001)) for shrink in shrinks]
        for width in widths:
            if width < _SMALLEST:
                continue
            order = Order(Format.PNG, width=width)
            full, least = _rendered(data, order, runs, _NEVER, _NEVER)
            made, took = _rendered(data, order, runs, margin, gap)
            likenesses.append(ssim(luma(full), luma(made)))
            times.append(took / least)
    label = f"**{bound}**" if bound == default else str(bound)
    return [label, str(len(times)), f"{median(likenesses):.4f}", f"{min(likenesses):.4f}", f"{median(times):.2f}"]


def _rendered(data: bytes, order: Order, runs: int, margin: float, gap: float) -> tuple[bytes, float]:
    """A rendition, and the least processor time in seconds that it took; as a JPEG, for PNG would hide the rest."""
    margins = dict.fromkeys(decode.MARGINS, margin)
    with patch.dict(decode.MARGINS, margins), patch.object(resample, "REDUCING_GAP", gap):
        times = []
        for _ in range(runs):
            begun = time.process_time()
            render(data, Order(Format.JPEG, width=order.width))
            times.append(time.process_time() - begun)
        return render(data, order).data, min(times)
