"""Pillow's BMP reader, with an error that names the feature that is not read."""

from __future__ import annotations

import io

from PIL import BmpImagePlugin

from service.imaging.containers.bmp import unread
from service.imaging.errors import unsupported


class BmpFile(BmpImagePlugin.BmpImageFile):
    """A BMP that is read from a `BytesIO`."""

    def _bitmap(self, header: int = 0, offset: int = 0) -> None:
        assert isinstance(self.fp, io.BytesIO)
        try:
            super()._bitmap(header, offset)
        except OSError as error:
            name = unread(self.fp.getvalue()) if "Unsupported" in str(error) else None
            if name is None:
                raise
            raise unsupported(f"BMP ({name})") from None
