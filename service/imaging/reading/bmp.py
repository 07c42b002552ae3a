"""Pillow's BMP reader, which names the feature that it does not read. Knows no orders."""

from __future__ import annotations

import io

from PIL import BmpImagePlugin

from service.imaging.containers.bmp import unread
from service.imaging.failures import unsupported


class BmpFile(BmpImagePlugin.BmpImageFile):
    """Reads from a `BytesIO`."""

    def _bitmap(self, header: int = 0, offset: int = 0) -> None:
        assert isinstance(self.fp, io.BytesIO)
        try:
            super()._bitmap(header, offset)
        except OSError as error:
            name = unread(self.fp.getvalue()) if "Unsupported" in str(error) else None
            if name is None:
                raise
            raise unsupported(f"BMP ({name})") from None
