"""Pillow's JPEG reader without its parser of segments. It also reads pictures without an end marker.

libjpeg reads the whole file and passes over segments that it does not know. Pillow's parser raises on short application
segments; `containers.jpeg` parses them instead.
"""

from __future__ import annotations

import io

from PIL import Image, ImageFile, JpegImagePlugin

from service.errors import N_, Unrenderable
from service.imaging.containers.jpeg import CONTAINER, FrameHeader, JpegHeader, all_scans
from service.imaging.errors import corrupt
from service.imaging.order import Limits
from service.imaging.reading.bounds import Opened, opened_within

_MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
"""The mode and the layout of libjpeg's output, by the number of components. Inks are stored inverted, as Adobe does."""
_END = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
_MAX_PASSES = 16
"""Passes over all pixels that a picture of the largest size may have (ten is usual). 70 bytes make one more pass, which
costs as much as to decode the picture. Smaller pictures may have more."""
_FILLING = 16
"""Zero bytes at the end of a file from which on they are no data: that part of the file was never written.
Entropy-coded data are padded with ones (T.81, F.1.2.3)."""
_ONES = b"\xff\0" * 8
"""The bits that libjpeg reads ahead. No Huffman code consists of ones only (T.81, C.2)."""


class JpegFile(JpegImagePlugin.JpegImageFile):
    """A JPEG that is read from a `BytesIO`."""

    several_scans: bool
    """Whether the picture has several scans, so that libjpeg holds all coefficients."""

    def _open(self) -> None:
        assert isinstance(self.fp, io.BytesIO)
        self._data = self.fp.getvalue()
        header = JpegHeader.of(self._data)
        frame = self._frame = header.frame
        self._size = frame.size
        self._mode, raw = _MODES[len(frame.components)]
        self.tile = [ImageFile._Tile("jpeg", (0, 0, *frame.size), 0, (raw, ""))]
        self.info |= {"exif": header.exif, "icc_profile": header.profile}
        self._scan = header.scan
        self.several_scans = header.several_scans
        self._end: bytes | None = None
        # All bytes at once: after each wait for data libjpeg reads all fill bytes again, and its arithmetic
        # decoder cannot wait.
        self.decodermaxblock = len(self._data)

    def load_read(self, read_bytes: int) -> bytes:
        """Return the next bytes of the file, and after the last one an end marker if the file has none.

        Raise `Unrenderable` when more is missing, before libjpeg allocates memory for the picture.
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


def opened(data: bytes, limits: Limits) -> Opened:
    """Open a JPEG. Raise as `readers.opened` does."""
    image, outline = opened_within(CONTAINER, JpegFile, data, limits)
    passes = data.count(_START_OF_SCAN) if image.several_scans else 0
    if passes * image.width * image.height > _MAX_PASSES * limits.max_pixels:
        raise Unrenderable(
            N_("The picture is stored in %(passes)s passes, too many for %(width)sx%(height)s pixels."),
            {"passes": passes, "width": image.width, "height": image.height},
        )
    return image, outline


def _reaches_last_row(data: bytes, frame: FrameHeader) -> bool:
    """Return whether the scans of *data*, which has no end marker, lack at most the last row of blocks.

    At an end marker, libjpeg fills in missing data without an error. Without one, it stops and waits for data. So it
    decodes a copy without an end marker, whose frame header has one row of blocks less. If it finishes the copy, all
    other rows are complete. The bits that it reads ahead are ones, which decode to at most two blocks.
    """
    written = data.rstrip(b"\0\xff")
    if len(data) - len(written) < _FILLING:
        written = data.rstrip(b"\xff")
    if not all_scans(written, frame):
        return False
    rows = (frame.size[1] - 1) // frame.rows * frame.rows or frame.size[1]
    at = frame.begin + 5
    reader = JpegFile(io.BytesIO(written[:at] + rows.to_bytes(2, "big") + written[at + 2 :] + _ONES))
    reader.draft(None, (1, 1))  # at the smallest scale
    return _finishes(reader, _next_restart(written))


def _finishes(reader: JpegFile, restart: bytes) -> bool:
    """Return whether libjpeg decodes all rows of a picture, or reads all of its scans and then waits for a marker.

    Within a scan, libjpeg does not take a single byte, since it reads several ahead. Where it expects a marker, it
    skips every byte that is none: after a scan, and in a scan where a restart marker is due. A restart marker
    distinguishes the two cases, since libjpeg skips it only after a scan.
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
    """Return the restart marker that follows the last one in the last scan."""
    scan = data.rfind(b"\xff\xda")
    last, number = max((data.rfind(bytes((0xFF, 0xD0 + number)), scan), number) for number in range(8))
    return bytes((0xFF, 0xD0 + (number + 1) % 8 if last >= 0 else 0xD0))
