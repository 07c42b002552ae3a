"""Pillow's JPEG reader, which leaves the application's segments alone and reads a picture that lacks its end marker.

libjpeg is given the whole file, and passes over what it does not know. Only Pillow's own look at the segments, in
Python, stumbles on short ones; `headers.jpeg` looks at them in its place.
"""

from __future__ import annotations

import io

from PIL import Image, ImageFile, JpegImagePlugin

from service.imaging.faults import corrupt
from service.imaging.headers.jpeg import Frame, Header, all_scans

_MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
"""By the number of components: the mode, and how libjpeg hands it over; inks are stored inverted (Adobe's way)."""
_END = b"\xff\xd9"
_FILLING = 16
"""Zero bytes at the end that are a file's unwritten rest. Entropy-coded data ends on ones (T.81, F.1.2.3)."""
_ONES = b"\xff\0" * 8
"""As many bits as libjpeg reads ahead, none of which is a code."""


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Reads from a `BytesIO`."""

    def _open(self) -> None:
        assert isinstance(self.fp, io.BytesIO)
        self._data = self.fp.getvalue()
        header = Header.of(self._data)
        frame = self._frame = header.frame
        self._size = frame.size
        self._mode, raw = _MODES[len(frame.components)]
        self.tile = [ImageFile._Tile("jpeg", (0, 0, *frame.size), 0, (raw, ""))]
        self.info |= {"exif": header.exif, "icc_profile": header.profile}
        self._scan = header.scan
        self._end: bytes | None = None
        if frame.arithmetic:
            self.decodermaxblock = len(self._data)

    def load_read(self, read_bytes: int) -> bytes:
        """The next bytes of the file, and after the last one an end marker where there is none.

        Whether more is missing is found out first, while libjpeg holds no memory for this picture yet.
        """
        if self._end is None:
            self._end = b"" if self._data.rfind(_END, self._scan) >= 0 else _END
            if self._end and not _reaches_last_row(self._data, self._frame):
                raise corrupt()
        assert self.fp is not None
        piece = self.fp.read(read_bytes)
        if not piece:
            piece, self._end = self._end, b""
        return piece


def _reaches_last_row(data: bytes, frame: Frame) -> bool:
    """Whether the scans of *data*, which has no end marker, lack at most the picture's last row of blocks.

    libjpeg makes up for what is missing and does not say so. But where it may wait for more bytes, it stops where they
    end. So it is given a picture that is lower by that row: if it comes to the end of that, the rows are there. The
    bits that it wants to see ahead are ones, which make up for two blocks at most.
    """
    written = data.rstrip(b"\0\xff")
    if len(data) - len(written) < _FILLING:
        written = data.rstrip(b"\xff")
    if not all_scans(written, frame):
        return False
    rows = (frame.size[1] - 1) // frame.rows * frame.rows or frame.size[1]
    at = frame.begin + 5
    reader = JpegFile(io.BytesIO(written[:at] + rows.to_bytes(2, "big") + written[at + 2 :] + _ONES))
    reader.draft(None, (1, 1))  # the least work
    return _finishes(reader, _next_restart(written))


def _finishes(reader: JpegFile, restart: bytes) -> bool:
    """Whether libjpeg has all rows of a picture, or all of its scans, and waits for a marker.

    In the midst of a scan it takes no single byte: it waits for more of them. Between two markers it takes any; so it
    does where a restart marker is due, but not after that.
    """
    name, extents, _, args = reader.tile[0]
    decoder = Image._getdecoder(reader.mode, name, args, reader.decoderconfig)
    try:
        reader.load_prepare()
        decoder.setimage(reader.im, extents)
        for piece in (reader._data, b"\0", restart, b"\0"):
            taken, error = decoder.decode(piece)
            if taken != len(piece):
                return taken < 0 and error == 0
        return True
    finally:
        decoder.cleanup()


def _next_restart(data: bytes) -> bytes:
    """The restart marker that follows the last one of the last scan."""
    scan = data.rfind(b"\xff\xda")
    last, number = max((data.rfind(bytes((0xFF, 0xD0 + number)), scan), number) for number in range(8))
    return bytes((0xFF, 0xD0 + (number + 1) % 8 if last >= 0 else 0xD0))
