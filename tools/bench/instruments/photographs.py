"""One photograph in the sizes of the benchmarks: of the corpus, or drawn in code when there is no corpus."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from tools.bench.instruments.pictures import photograph
from tools.pictures.corpus import CORPUS

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
    """Return files of one picture in the sizes of uploads, by name."""
    whole = _whole()
    return {name: _file(_cropped(whole, size), name.rpartition(" ")[2]) for name, size in _SIZES.items()}


def _whole() -> Image.Image:
    if not _REAL.exists():
        print("(no corpus: the picture is a drawn portrait with grain)")
        return Image.open(io.BytesIO(photograph(4000, 3000)))
    with Image.open(_REAL) as image:
        return image.convert("RGB")


def _cropped(whole: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle at *size*. A larger size repeats the mirrored picture: an enlarged one is quick to decode."""
    if size[0] <= whole.width and size[1] <= whole.height:
        return ImageOps.fit(whole, size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (2 * whole.width, 2 * whole.height))
    upper = (whole, ImageOps.mirror(whole))
    for at, each in enumerate((*upper, *map(ImageOps.flip, upper))):
        canvas.paste(each, (at % 2 * whole.width, at // 2 * whole.height))
    left, top = (canvas.width - size[0]) // 2, (canvas.height - size[1]) // 2
    return canvas.crop((left, top, left + size[0], top + size[1]))


def _file(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": _QUALITY} if kind == "JPEG" else {}))
    return file.getvalue()
