"""Pixels to pixels: size, colour, orientation, and the canvas."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

Step = Callable[[Image.Image], Image.Image]
"""One step of the work on a picture."""
