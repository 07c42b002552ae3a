"""One photograph in the sizes that are measured: a real one where the corpus is at hand, else one drawn under grain."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from tests.corpus import CORPUS
from tools.bench.pictures import photograph

_REAL = CORPUS / "valid" / "sharp__2569067123_aca715a2ee_o.jpg"
"""2,725 x 2,225 pixels, with fine detail."""
_QUALITY = 90
_SIZES = {
    "12 MP JPEG": (4000, 3000),
    "2.5 MP JPEG": (1826, 1370),
    "0.26 MP JPEG": (589, 442),
    "0.64 MP PNG": (924, 693),
}


def originals() -> dict[str, bytes]:
    """Files as people upload them, by name; all of one picture."""
    whole = _whole()
    return {name: _file(_cut(whole, size), name.rpartition(" ")[2]) for name, size in _SIZES.items()}


def _whole() -> Image.Image:
    if not _REAL.exists():
        print("(the corpus is not here: a drawn portrait under grain stands in)")
        return Image.open(io.BytesIO(photograph(4000, 3000)))
    with Image.open(_REAL) as image:
        return image.convert("RGB")


def _cut(whole: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle at *size*; what is missing is mirrored, and not enlarged: that would leave little to decode."""
    if size[0] <= whole.width and size[1] <= whole.height:
        return ImageOps.fit(whole, size, Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (2 * whole.width, 2 * whole.height))
    upper = (whole, ImageOps.mirror(whole))
    for at, each in enumerate((*upper, *map(ImageOps.flip, upper))):
        sheet.paste(each, (at % 2 * whole.width, at // 2 * whole.height))
    left, top = (sheet.width - size[0]) // 2, (sheet.height - size[1]) // 2
    return sheet.crop((left, top, left + size[0], top + size[1]))


def _file(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": _QUALITY} if kind == "JPEG" else {}))
    return file.getvalue()
