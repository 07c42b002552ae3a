"""The structural similarity (SSIM) of two pictures, as Wang et al. (2004) define it. It installs pyvips.

It is the mean over the picture, of luma in floats, with a Gaussian window of 1.5 pixels. Equal pictures have 1.
"""

from __future__ import annotations

import io
import os
from typing import Any

from PIL import Image

from tools.bench.instruments.installed import importable

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def libvips() -> Any:
    """Return pyvips, with one thread for a picture and without its cache of results."""
    os.environ["VIPS_CONCURRENCY"] = "1"  # read when the library is loaded
    importable("libvips", "pyvips==3.2.*", "pyvips-binary==8.18.*")
    import pyvips  # type: ignore[import-not-found, unused-ignore]

    pyvips.cache_set_max(0)
    return pyvips


def luma(data: bytes) -> Image.Image:
    """Return the picture in *data*, decoded in full, as floats from 0 to 255."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").convert("F")


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Return the SSIM of two pictures of one size in mode F."""
    assert one.size == other.size, (one.size, other.size)
    x, y = _floats(one), _floats(other)
    mx, my = _blurred(x), _blurred(y)
    vx, vy, cov = _blurred(x * x) - mx * mx, _blurred(y * y) - my * my, _blurred(x * y) - mx * my
    structure = (2 * mx * my + _C1) * (2 * cov + _C2) / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    return float(structure.avg())


def _floats(image: Image.Image) -> Any:
    return libvips().Image.new_from_memory(image.tobytes(), *image.size, 1, "float").cast("double")


def _blurred(image: Any) -> Any:
    return image.gaussblur(1.5, min_ampl=0.003, precision="float")
