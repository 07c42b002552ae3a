"""Pillow's JPEG reader without its parser of segments, and for pictures that lack their end marker, too.

libjpeg reads the whole file and passes over segments that it does not know. Pillow's own parser raises on short
application segments; `headers.jpeg` parses them instead.
"""

from __future__ import annotations

import io

from PIL import Image, ImageFile, JpegImagePlugin

from service.errors import N_, Unrenderable
from service.imaging.containers.jpeg import CONTAINER, Frame, Header, all_scans
from service.imaging.failures import corrupt
from service.imaging.order import Limits
from service.imaging.reading.bounds import Opened, opened_within

_MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
"""By the number of components: the mode, and the layout of libjpeg's output. Inks are stored inverted, Adobe's way."""
_END = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
_MAX_PASSES = 16
"""Passes over all pixels that a picture of the largest size may have (ten is usual). 70 bytes make one more pass, which
costs as much as to decode the picture. Smaller pictures may have more."""
_FILLING = 16
"""Zero bytes at the end of a file; so many or more are a part that was never written. Entropy-coded data are padded
with ones (T.81, F.1.2.3)."""
_ONES = b"\xff\0" * 8
"""The bits that libjpeg reads ahead. No Huffman code consists of ones alone (T.81, C.2)."""


class JpegFile(JpegImagePlugin.JpegImageFile):
    """Reads from a `BytesIO`."""

    several_scans: bool
    """Whether libjpeg holds all coefficients, since the first scan lacks components or bits."""

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
        self.several_scans = header.several_scans
        self._end: bytes | None = None
        # All bytes at once: when libjpeg has waited for more, it reads all fill bytes anew. Its
        # arithmetic decoder cannot wait.
        self.decodermaxblock = len(self._data)

    def load_read(self, read_bytes: int) -> bytes:
        """The next bytes of the file, and after the last one an end marker where the file has none.

        Raises `Unrenderable` if more is missing. That is checked before libjpeg allocates memory for the picture.
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
    """Open a JPEG. Raises as `readers.opened` does."""
    image, outline = opened_within(CONTAINER, JpegFile, data, limits)
    passes = data.count(_START_OF_SCAN) if image.several_scans else 0
    if passes * image.width * image.height > _MAX_PASSES * limits.max_pixels:
        raise Unrenderable(
            N_("The picture is stored in %(passes)s passes, too many for %(width)sx%(height)s pixels."),
            {"passes": passes, "width": image.width, "height": image.height},
        )
    return image, outline


def _reaches_last_row(data: bytes, frame: Frame) -> bool:
    """Whether the scans of *data*, which has no end marker, lack at most the picture's last row of blocks.

    At an end marker, libjpeg makes up for missing data and does not report it. Without one, it stops and waits for more
    data. So it decodes a copy whose frame header is lower by that row, without an end marker. If it finishes the copy,
    all other rows are there. It reads some bits ahead: these are ones, which decode to two blocks at most.
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
    """Whether libjpeg decodes all rows of a picture, or reads all of its scans and then waits for a marker.

    Within a scan, libjpeg takes no single byte, for it reads several ahead. Where it looks for a marker, it skips every
    byte that is none. It does so after a scan, and in a scan where a restart marker is due; a restart marker tells
    these two apart, since it is skipped after a scan.
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
