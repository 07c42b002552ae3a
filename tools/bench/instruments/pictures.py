"""Pictures similar to photographs, made in code: a portrait of the demo, enlarged, with grain."""

from __future__ import annotations

import io
from random import Random

from PIL import Image

from service.drawings import portrait


def photograph(width: int, height: int, seed: int = 1, grain: float = 0.1) -> bytes:
    """Return a JPEG of *width* × *height* pixels."""
    picture = portrait(Random(seed), 800).resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.effect_noise((width, height), 40).convert("RGB")
    file = io.BytesIO()
    Image.blend(picture, noise, grain).save(file, "JPEG", quality=88)
    return file.getvalue()
