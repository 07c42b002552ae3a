"""The HEIC reader of pillow-heif, if the extra `heic` is installed."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import ImageFile

from service.imaging.containers.container import Outline
from service.imaging.containers.heic import CONTAINER, FULL_COLOUR_HELD
from service.imaging.containers.isobmff.picture import shown_picture, with_whole_aperture
from service.imaging.order import Limits
from service.imaging.reading.bounds import Metered, Opened, check_size

try:
    from pillow_heif import HeifImageFile, options
except ImportError:
    INSTALLED = False
else:  # the plug-in's opener would register more formats
    _reader: Callable[[io.BytesIO], ImageFile.ImageFile] = HeifImageFile
    INSTALLED = True
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False


def opened(data: bytes, limits: Limits) -> Opened:
    """Open a HEIC. Raise as `readers.opened` does."""
    held = CONTAINER.check(data, limits.max_pixels)
    found = shown_picture(data)
    image = _reader(Metered(with_whole_aperture(data, found) if found else data))
    if found and found.colour:
        image.info["code_points"] = found.colour
    check_size(image.size, held if image.info.get("chroma", 420) == 420 else FULL_COLOUR_HELD, limits)
    return image, Outline(*image.size, 1)
