"""The SSIM of reductions that are cheaper than Lanczos, against a full decode with Lanczos.

The reductions are the decoding of a JPEG at 1/2, 1/4 or 1/8 (`decode.MARGINS`), the averaging of blocks of 2, 3 or
4 pixels (`resample.REDUCING_GAP`), and the bicubic filter (`resample.BICUBIC_FROM`), which is a part of all. Every
photograph is rendered at the largest size that a margin allows, the worst.
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
from tools.bench.instruments.figures import show
from tools.bench.instruments.likeness import luma, ssim
from tools.bench.instruments.pictures import photograph
from tools.pictures.corpus import CORPUS, photographs, read

_NEVER = 1e9
_MARGINS = (1.0, 1.5, 1.75, 2.0, 2.15, 2.5)
_GAPS = (1.0, 1.25, 1.4, 1.75, 2.0)
_LEAST = (1.25, 1.5, 1.75, 2.0, 2.5)
_SMALLEST = 32
"""Pixels of the smallest side. Below, one window of SSIM would cover half of the picture."""
_HEADS = ("margin", "photographs x shrinks", "SSIM, median", "worst", "time / full decode with Lanczos")


def run(options: Namespace) -> None:
    """Print a table for each reduction. The default is the least margin with a median of 0.995 and a worst of 0.97."""
    pictures = _pictures()
    jpegs = [data for data in pictures if data.startswith(b"\xff\xd8")]
    for title, default, shrinks in (("1/2", decode.MARGINS[2], (2,)), ("1/4 and 1/8", decode.MARGIN, (4, 8))):
        rows = [_row(margin, default, jpegs, shrinks, options.runs, margin, _NEVER) for margin in _MARGINS]
        show(f"JPEG decoded at {title}", _HEADS, rows)
    rows = [_row(gap, resample.REDUCING_GAP, pictures, (2, 3, 4), options.runs, _NEVER, gap) for gap in _GAPS]
    show("blocks of 2, 3, 4 pixels averaged", _HEADS, rows)
    rows = [_row(least, resample.BICUBIC_FROM, jpegs, (2,), options.runs, least, _NEVER, least) for least in _LEAST]
    show("JPEG decoded at 1/2, then bicubic", _HEADS, rows)


def _pictures() -> list[bytes]:
    if CORPUS.is_dir():
        return [read(name) for name in photographs() if "exifori" not in name or name.endswith("_1.jpg")]
    print("(no corpus: the pictures are drawn portraits with grain)")
    return [photograph(900, 1200, seed, grain) for seed, grain in enumerate((0.0, 0.05, 0.1, 0.15, 0.2, 0.3))]


def _row(
    bound: float, default: float, pictures: Sequence[bytes], shrinks: Sequence[int], runs: int, margin: float,
    gap: float, bicubic: float = resample.BICUBIC_FROM,
) -> list[str]:  # fmt: skip
    likenesses, times = [], []
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            widths = [int(image.width / (shrink * bound * 1.001)) for shrink in shrinks]
        for width in widths:
            if width < _SMALLEST:
                continue
            order = Order(Format.PNG, width=width)
            full, least = _rendered(data, order, runs, _NEVER, _NEVER, _NEVER)
            made, took = _rendered(data, order, runs, margin, gap, bicubic)
            likenesses.append(ssim(luma(full), luma(made)))
            times.append(took / least)
    label = f"**{bound}**" if bound == default else str(bound)
    return [label, str(len(times)), f"{median(likenesses):.4f}", f"{min(likenesses):.4f}", f"{median(times):.2f}"]


def _rendered(data: bytes, order: Order, runs: int, margin: float, gap: float, bicubic: float) -> tuple[bytes, float]:
    """Return a rendition as PNG, and the least seconds of processor time of one as JPEG, which is quicker to write."""
    margins = dict.fromkeys(decode.MARGINS, margin)
    given = patch.multiple(resample, REDUCING_GAP=gap, BICUBIC_FROM=bicubic)
    with patch.dict(decode.MARGINS, margins), given:
        times = []
        for _ in range(runs):
            begun = time.process_time()
            render(data, Order(Format.JPEG, width=order.width))
            times.append(time.process_time() - begun)
        return render(data, order).data, min(times)
