"""The containers that are read, by format."""

from __future__ import annotations

from service.formats import Format
from service.imaging.containers import avif, bmp, gif, heic, jpeg, tiff, webp
from service.imaging.containers.container import Container
from service.imaging.containers.png import container as png

CONTAINERS: dict[Format, Container] = {
    Format.JPEG: jpeg.CONTAINER,
    Format.PNG: png.CONTAINER,
    Format.GIF: gif.CONTAINER,
    Format.WEBP: webp.CONTAINER,
    Format.TIFF: tiff.CONTAINER,
    Format.AVIF: avif.CONTAINER,
    Format.HEIC: heic.CONTAINER,
    Format.BMP: bmp.CONTAINER,
}
"""In the order in which the first bytes of a file are compared."""
