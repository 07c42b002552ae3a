"""Files whose headers promise more than the files contain."""

from __future__ import annotations

import struct

from PIL import Image

from tools.pictures.drawing import quarters, saved


def gif(width: int, height: int, body: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + body + b";"


def gif_frame(left: int = 0, top: int = 0) -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, 1, 1, 0) + b"\x02\x02\x44\x01\0"


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) & 1) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def jpeg_claiming(width: int, height: int) -> bytes:
    data = saved(quarters(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def avif_claiming(side: int) -> bytes:
    data = saved(quarters(), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def tiff_claiming(side: int) -> bytes:
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (279, 4, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def progressive_with_scans(count: int) -> bytes:
    data = saved(Image.new("L", (3000, 3000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def tiff_with(tag: int, type_: int, count: int, payload: bytes) -> bytes:
    """Return a sound grey TIFF of 4x4 pixels with one tag more, whose values are at the end."""
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (279, 4, 1, 16)]
    at = 24 + 2 + 12 * (len(tags) + 1) + 4
    rows = sorted([*tags, (tag, type_, count, at)])
    directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory + payload


def tiff_of(*rows: tuple[int, int, int, int]) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(rows)) + b"".join(
        struct.pack("<HHII", *row) for row in rows
    ) + bytes(4)  # fmt: skip


def webp_canvas(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp((b"VP8X", bytes(4) + sides), (b"VP8 ", bytes(30)))


def runs(width: int, height: int, body: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(body), 0, 0, 62) + head + bytes(4) + b"\xff" * 4 + body


def segments(marker: int, body: bytes, count: int) -> bytes:
    data = saved(quarters(), "JPEG")
    return data[:2] + (bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body) * count + data[2:]
