"""Pillow's WebP reader, which counts the frames after the canvas is checked."""

from __future__ import annotations

from PIL import WebPImagePlugin

from service.imaging.containers.container import Outline
from service.imaging.containers.webp import CONTAINER
from service.imaging.order import Limits
from service.imaging.reading.bounds import Opened, opened_within


def opened(data: bytes, limits: Limits) -> Opened:
    """Open a WebP. Raise as `readers.opened` does."""
    image, _ = opened_within(CONTAINER, WebPImagePlugin.WebPImageFile, data, limits)
    return image, Outline(*image.size, image.n_frames)
