"""Only broken pictures are corrupt. For a sound picture that is not read here, the error names its kind."""

from __future__ import annotations

import pickle
import struct

import pytest

from service.errors import Unrenderable, Unsupported, UnsupportedUpload
from service.imaging.admission import admit
from service.imaging.order import Encoding, Limits
from tests.pixels import rendered
from tools.pictures.drawing import large, quarters, saved

JPEG = saved(quarters(60, 40), "JPEG")
FRAME = JPEG.index(b"\xff\xc0")


def framed(process: int = 0xC0, precision: int = 8, height: int = 40, components: int = 3) -> bytes:
    """Return the same JPEG with other values in its frame header."""
    factors = b"".join(bytes((number + 1, 0x11, 0)) for number in range(components))
    body = struct.pack(">BHHB", precision, height, 60, components) + factors
    return JPEG[:FRAME] + bytes((0xFF, process)) + struct.pack(">H", len(body) + 2) + body + JPEG[FRAME + 19 :]


def bmp(header: int, bits: int, compression: int, masks: bytes = bytes(16)) -> bytes:
    """Return a BMP of 4x4 pixels that are zero."""
    core = struct.pack("<IiiHHIIiiII", header, 4, 4, 1, bits, compression, 256, 0, 0, 0, 0)
    head = (core + masks).ljust(header, b"\0")[: max(header, 40)]
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + 512, 0, 0, 14 + len(head)) + head + bytes(512)


MASKS = struct.pack("<IIII", 0x3FF, 0xFFC00, 0x3FF00000, 0)
"""Masks of ten bits for each colour."""
UNSUPPORTED = {
    "JPEG (lossless)": [framed(0xC3), framed(0xC3, 16), framed(0xC3, 12), framed(0xC7), framed(0xCB), framed(0xCF)],
    "JPEG (hierarchical)": [framed(0xC5), framed(0xC6), framed(0xCD), framed(0xCE), framed(0xDE)],
    "JPEG (12 bits)": [framed(0xC0, 12), framed(0xC1, 12), framed(0xC2, 12), framed(0xC9, 12)],
    "JPEG (DNL)": [framed(height=0)],
    "JPEG (2 components)": [framed(components=2)],
    "JPEG (5 components)": [framed(components=5)],
    "JPEG-LS": [framed(0xF7)],
    "BMP (JPEG)": [bmp(40, 0, 4), bmp(124, 24, 4)],
    "BMP (PNG)": [bmp(40, 0, 5), bmp(108, 0, 5)],
    "BMP (CMYK)": [bmp(40, 32, 11), bmp(124, 32, 12), bmp(40, 32, 13)],
    "BMP (RLE24)": [bmp(64, 24, 4)],
    "BMP (OS/2)": [bmp(16, 24, 0), bmp(42, 24, 0)],
    "BMP (2 bits)": [bmp(40, 2, 0)],
    "BMP (64 bits)": [bmp(124, 64, 0)],
    "BMP (bit masks)": [bmp(56, 32, 3, MASKS), bmp(108, 32, 3, MASKS), bmp(40, 32, 6)],
}
CASES = [(name, data) for name, files in UNSUPPORTED.items() for data in files]


@pytest.mark.parametrize(("name", "data"), CASES)
def test_error_names_the_unsupported_kind(name: str, data: bytes) -> None:
    with pytest.raises(Unsupported) as caught:
        rendered(data, "PNG", 20)
    assert str(caught.value) == f"{name} pictures are not supported."
    for strip in (None, Encoding()):
        with pytest.raises(UnsupportedUpload) as refused:
            admit(data, Limits(), strip)
        assert (refused.value.message, refused.value.values) == (caught.value.message, caught.value.values)


CORRUPT = {
    "a precision that no process has": framed(0xC0, 7),
    "a frame header truncated": JPEG[: FRAME + 9],
    "a frame of more components than it lists": JPEG[: FRAME + 9] + b"\x04" + JPEG[FRAME + 10 :],
    "no width": JPEG[: FRAME + 7] + b"\0\0" + JPEG[FRAME + 9 :],
    "a component without samples": JPEG[: FRAME + 11] + b"\0" + JPEG[FRAME + 12 :],
    "a JPEG truncated": saved(large(200, 150), "JPEG")[:2_000],
    "a BMP header of no size": bmp(40, 24, 0).replace(struct.pack("<I", 40), struct.pack("<I", 5), 1),
    "a BMP of seven bits": bmp(40, 7, 0),
    "a BMP compression that nothing has": bmp(40, 24, 99),
    "a BMP truncated": saved(quarters(), "BMP")[:200],
}


@pytest.mark.parametrize("name", CORRUPT)
def test_broken_picture_is_corrupt(name: str) -> None:
    for check in (lambda data: rendered(data, "PNG", 20), lambda data: admit(data, Limits())):
        with pytest.raises(Unrenderable, match="corrupt") as caught:
            check(CORRUPT[name])
        assert type(caught.value) is Unrenderable


def test_unsupported_error_can_be_pickled() -> None:
    with pytest.raises(Unsupported) as caught:
        rendered(framed(0xC3), "PNG", 20)
    unpickled = pickle.loads(pickle.dumps(caught.value))
    assert type(unpickled) is Unsupported
    assert (unpickled.message, unpickled.values) == (caught.value.message, caught.value.values)
