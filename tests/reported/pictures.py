"""Pictures with the properties that users of image services reported, made in code."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image, ImageCms

from tools.pictures.drawing import saved
from tools.pictures.png import chunk

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (40, 60, 200), (240, 220, 40)


def quarters(width: int = 120, height: int = 80) -> Image.Image:
    """Return a picture of four quarters: red and green above blue and yellow."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def animated_gif(plays: int) -> bytes:
    """Return a GIF of three frames of 200 ms. 0 *plays* means without end, 1 omits the loop extension."""
    frames = [Image.new("RGB", (60, 60), colour) for colour in (RED, GREEN, BLUE)]
    options = {} if plays == 1 else {"loop": max(plays - 1, 0)}
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=200, **options)


def png_with(kind: bytes, body: bytes, *, checksum_off_by: int = 0) -> bytes:
    """Return a PNG with a further chunk before its pixels, whose checksum is wrong by *checksum_off_by*."""
    data = saved(quarters(), "PNG")
    extra = chunk(kind, body)
    checksum = (int.from_bytes(extra[-4:], "big") + checksum_off_by) & 0xFFFFFFFF
    return data[:33] + extra[:-4] + struct.pack(">I", checksum) + data[33:]


def srgb_profile(padding: int = 0) -> bytes:
    """Return sRGB as an ICC profile, with a private tag of *padding* bytes when that is above 0."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if not padding:
        return profile
    count = int.from_bytes(profile[128:132], "big")
    table = bytearray(profile[132 : 132 + 12 * count])
    for at in range(4, len(table), 12):
        table[at : at + 4] = (int.from_bytes(table[at : at + 4], "big") + 12).to_bytes(4, "big")
    table += b"zzzz" + struct.pack(">II", len(profile) + 12, padding)
    whole = profile[:128] + struct.pack(">I", count + 1) + table + profile[132 + 12 * count :] + bytes(padding)
    return struct.pack(">I", len(whole)) + whole[4:]


def compressed_profile(profile: bytes) -> bytes:
    """Return the body of an iCCP chunk."""
    return b"Printer RGB\0\0" + zlib.compress(profile, 9)


def jpeg(*segments: bytes, width: int = 120, height: int = 80) -> bytes:
    """Return a JPEG with these APP0 segments in place of its own."""
    data = saved(quarters(width, height), "JPEG", quality=95)
    rest = data[4 + int.from_bytes(data[4:6], "big") :]
    return data[:2] + b"".join(b"\xff\xe0" + struct.pack(">H", len(body) + 2) + body for body in segments) + rest


def tiff_with_palette(rows: bytes, colours: list[tuple[int, int, int]]) -> bytes:
    """Return a TIFF of 120x80 pixels whose palette has values of 8 bits; the standard has 16."""
    padded = colours + [(255, 255, 255)] * (256 - len(colours))
    palette = b"".join(struct.pack("<256H", *(colour[channel] for colour in padded)) for channel in range(3))
    tags = [(256, 3, 1, 120), (257, 3, 1, 80), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 3), (273, 4, 1, 0)]
    tags += [(277, 3, 1, 1), (278, 3, 1, 80), (279, 4, 1, len(rows)), (320, 3, 768, 0)]
    end = 8 + 2 + 12 * len(tags) + 4
    places = {320: end, 273: end + len(palette)}
    entries = b"".join(struct.pack("<HHII", tag, kind, n, places.get(tag, value)) for tag, kind, n, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + palette + rows


def tiff_quarters() -> bytes:
    upper, lower = bytes(60) + bytes([1]) * 60, bytes([2]) * 60 + bytes([3]) * 60
    return tiff_with_palette(upper * 40 + lower * 40, [RED, GREEN, BLUE, YELLOW])


def tiff_scan() -> bytes:
    """Return a black block of 50x20 pixels on white. Its upper left corner is at 10,10."""
    page = Image.new("L", (120, 80), 1)
    page.paste(0, (10, 10, 60, 30))
    return tiff_with_palette(page.tobytes(), [(0, 0, 0)])


def avif_of_colour(colour: tuple[int, int, int], primaries: int, *, grain: float = 0.0) -> bytes:
    """Return an AVIF of one colour with a code point for its primaries (ITU-T H.273). *grain* makes the file larger."""
    noise = Image.effect_noise((64, 64), 100).convert("RGB")
    plain = Image.new("RGB", (64, 64), colour)
    data = saved(Image.blend(plain, noise, grain), "AVIF", quality=90, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">H", primaries) + data[at + 2 :]


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def avif_grid(*, shared: bool) -> bytes:
    """Return a grid of 2x2 tiles of 64x64 pixels: red, green, green, yellow.

    With *shared*, equal tiles are stored once.
    """
    tiles = [avif_of_colour(colour, 1, grain=0.05) for colour in (RED, GREEN, GREEN, YELLOW)]
    coded = [tile[tile.index(b"mdat") + 4 :] for tile in tiles]
    first = tiles[0]
    configuration = first[first.index(b"av1C") - 4 :][:12]
    items = range(1, 6)
    infos = [
        box(b"infe", b"\2\0\0\0", struct.pack(">HH", each, 0), b"av01" if each > 1 else b"grid", b"\0")
        for each in items
    ]
    properties = box(
        b"ipco",
        box(b"ispe", bytes(4), struct.pack(">II", 128, 128)),
        box(b"ispe", bytes(4), struct.pack(">II", 64, 64)),
        box(b"pixi", bytes(4), b"\3\x08\x08\x08"),
        configuration,
        box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80)),
    )
    of_each = b"".join(
        struct.pack(">HB", each, 4 if each > 1 else 3) + (b"\2\3\x84\5" if each > 1 else b"\1\3\5") for each in items
    )
    grid = bytes((0, 0, 1, 1)) + struct.pack(">HH", 128, 128)

    def meta(places: list[tuple[int, int]]) -> bytes:
        located = struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid)) + b"".join(
            struct.pack(">HHHHII", each, 0, 0, 1, *place) for each, place in zip(items[1:], places, strict=True)
        )
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", 1)),
            box(b"iloc", b"\1\0\0\0\x44\0", struct.pack(">H", 5), located),
            box(b"iinf", bytes(4), struct.pack(">H", 5), *infos),
            box(b"iref", bytes(4), box(b"dimg", struct.pack(">HH4H", 1, 4, 2, 3, 4, 5))),
            box(b"iprp", properties, box(b"ipma", bytes(4), struct.pack(">I", 5), of_each)),
            box(b"idat", grid),
        )

    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    at = len(head) + len(meta([(0, 0)] * 4)) + 8
    places, stored = [], b""
    for number, tile in enumerate(coded):
        if shared and number == 2:
            places.append(places[1])
            continue
        places.append((at + len(stored), len(tile)))
        stored += tile
    return head + meta(places) + box(b"mdat", stored)


MADE: dict[str, Callable[[], bytes]] = {
    "100.gif": lambda: animated_gif(65_536),
    "101.gif": lambda: animated_gif(65_536),
    "300.png": lambda: png_with(b"iCCP", compressed_profile(srgb_profile(1_500_000))),
    "500.png": lambda: png_with(b"gAMA", struct.pack(">I", 45_455), checksum_off_by=1),
    "501.png": lambda: png_with(b"cHRM", struct.pack(">8I", *range(30_000, 38_000, 1_000)), checksum_off_by=1),
    "502.png": lambda: png_with(b"sRGB", b"\0", checksum_off_by=1),
    "503.png": lambda: png_with(b"pHYs", struct.pack(">IIB", 2_835, 2_835, 1), checksum_off_by=1),
    "504.png": lambda: png_with(b"tEXt", b"Title\0A picture", checksum_off_by=1),
    "505.png": lambda: png_with(b"zTXt", b"Title\0\0" + zlib.compress(b"A picture"), checksum_off_by=1),
    "506.png": lambda: png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>", checksum_off_by=1),
    "507.png": lambda: png_with(b"tIME", struct.pack(">H5B", 2024, 1, 1, 1, 1, 1), checksum_off_by=1),
    "508.png": lambda: png_with(b"iCCP", compressed_profile(srgb_profile()), checksum_off_by=1),
    "509.png": lambda: png_with(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0", checksum_off_by=1),
    "510.png": lambda: png_with(b"bKGD", struct.pack(">HHH", 255, 255, 255), checksum_off_by=1),
    "511.png": lambda: png_with(b"sBIT", b"\x08\x08\x08", checksum_off_by=1),
    "512.png": lambda: png_with(b"cICP", b"\x01\x0d\0\x01", checksum_off_by=1),
    "513.png": lambda: png_with(b"prVt", b"abc", checksum_off_by=1),
    "700.jpg": lambda: saved(quarters(256, 256), "JPEG", quality=95),
    "900.avif": lambda: avif_grid(shared=True),
    "901.avif": lambda: avif_grid(shared=False),
    "1100.avif": lambda: avif_of_colour((200, 80, 60), 12),
    "1101.avif": lambda: avif_of_colour((200, 80, 60), 9),
    "1300.gif": lambda: animated_gif(1),
    "1400.jpg": lambda: jpeg(b"JFIF\0"),
    "1401.jpg": lambda: jpeg(b"JFIF\0", b"JFIF\0\1\1\0\0\1\0\1\0\0"),
    "1600.tif": tiff_quarters,
    "1601.tif": tiff_scan,
    "2100.jpg": lambda: saved(quarters(), "JPEG", quality=95),
    "2300.jpg": lambda: saved(quarters(), "JPEG", quality=95),
}
"""Functions that make the files of contacts, by file name."""


def plays_of(data: bytes) -> int:
    """Return how many times an animation plays. 0 means without end.

    A GIF without a loop extension plays once. An AVIF without the repeat flag in its edit list plays once. With the
    flag, the number is the duration of the track over that of the edit (ISO/IEC 23000-22, section 9.6.1).
    """
    image = Image.open(io.BytesIO(data))
    if image.format == "GIF":
        return image.info["loop"] + 1 if image.info.get("loop") else image.info.get("loop", 1)
    if image.format != "AVIF":
        return int(image.info["loop"])
    edits, track = data.index(b"elst") + 4, data.index(b"tkhd") + 4
    if not data[edits + 3] & 1:
        return 1
    wide = data[track] == 1
    duration = int.from_bytes(data[track + 28 : track + 36] if wide else data[track + 20 : track + 24], "big")
    edit = int.from_bytes(data[edits + 8 : edits + 16] if data[edits] == 1 else data[edits + 8 : edits + 12], "big")
    unknown = duration == (0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF)
    return 0 if unknown else round(duration / edit)
