"""TIFFs of scanners and old programs, such as palettes of 8 bits and tiles under the tags of strips."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import pytest
from PIL import Image, ImageChops, TiffImagePlugin

from service.errors import Unrenderable, Unsupported
from service.imaging.admission import admit
from service.imaging.order import Limits
from tests.pixels import rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved

WIDTH, HEIGHT = 60, 40
COLOURS = (RED, GREEN, BLUE, YELLOW)


def number(order: str, size: str, value: int) -> bytes:
    return struct.pack(order + size, value)


def tiff(order: str, tags: dict[int, list[int]], pixels: Sequence[bytes], *, big: bool = False) -> bytes:
    """Return a TIFF or BigTIFF of LONGs and SHORTs. Empty *tags* get the offsets of *pixels*, the strips or tiles."""
    word, size = ("Q", 8) if big else ("I", 4)
    at = 16 if big else 8
    starts = []
    for piece in pixels:
        starts.append(at)
        at += len(piece)
    tags = {tag: values or starts for tag, values in tags.items()}
    after = at + (8 if big else 2) + (4 + 2 * size) * len(tags) + size
    entries, beyond = b"", b""
    for tag, values in sorted(tags.items()):
        kind, each = (4, "I") if max(values) > 65_535 or tag in (273, 324) else (3, "H")
        body = b"".join(number(order, each, value) for value in values)
        if len(body) <= size:
            place = body.ljust(size, b"\0")
        else:
            place = number(order, word, after + len(beyond))
            beyond += body
        entries += struct.pack(f"{order}HH{word}", tag, kind, len(values)) + place
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else struct.pack(f"{order}HI", 42, at))
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return head + b"".join(pixels) + count + entries + bytes(size) + beyond


def indices(bits: int) -> bytes:
    """Return four quarters of the colours 0 to 3, or two halves of 0 and 1, in rows of whole bytes."""
    rows = []
    for y in range(HEIGHT):
        row = [(x >= WIDTH // 2) + (2 * (y >= HEIGHT // 2) if bits > 1 else 0) for x in range(WIDTH)]
        line = "".join(format(index, f"0{bits}b") for index in row)
        line = line.ljust(-(-len(line) // 8) * 8, "0")
        rows.append(int(line, 2).to_bytes(len(line) // 8, "big"))
    return b"".join(rows)


def palette(bits: int, scale: int, colours: Sequence[tuple[int, int, int]] = COLOURS) -> list[int]:
    """Return the values of a colour map: all reds, then greens, then blues."""
    entries = [*colours[: 1 << bits], *[(0, 0, 0)] * ((1 << bits) - len(colours))]
    return [entry[band] * scale for band in range(3) for entry in entries]


def with_palette(order: str, bits: int, scale: int, **options: bool) -> bytes:
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [bits], 259: [1], 262: [3], 277: [1], 278: [HEIGHT], 273: []}
    pixels = indices(bits)
    tags |= {279: [len(pixels)], 320: palette(bits, scale)}
    return tiff(order, tags, [pixels], **options)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [1, 256, 257])
@pytest.mark.parametrize("order", ["<", ">"])
def test_palette_has_8_or_16_bits(order: str, scale: int, bits: int) -> None:
    made = shown(rendered(with_palette(order, bits, scale), "PNG").data).convert("RGB")
    assert [made.getpixel((15, 10)), made.getpixel((45, 10))] == [RED, GREEN]
    if bits > 1:
        assert [made.getpixel((15, 30)), made.getpixel((45, 30))] == [BLUE, YELLOW]
    assert shown(rendered(with_palette(order, bits, scale), "JPEG", 20).data).size == (20, 13)


def test_black_and_white_palette_of_8_bits_is_not_black() -> None:
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [1], 259: [1], 262: [3], 277: [1], 278: [HEIGHT], 273: []}
    tags |= {279: [len(indices(1))], 320: [0, 255] * 3}
    made = shown(rendered(tiff("<", tags, [indices(1)]), "PNG").data).convert("L")
    assert (made.getpixel((10, 10)), made.getpixel((50, 10))) == (0, 255)


def test_dark_palette_of_16_bits_stays_dark() -> None:
    dark = [value // 16 for value in palette(8, 257)]
    assert max(dark) > 255
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8], 259: [1], 262: [3], 277: [1], 278: [HEIGHT], 273: []}
    tags |= {279: [len(indices(8))], 320: dark}
    made = shown(rendered(tiff(">", tags, [indices(8)]), "PNG").data).convert("RGB")
    assert made.getpixel((15, 10)) == tuple(value * 257 // 16 >> 8 for value in RED)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_palette_of_8_bits_is_read_from_compressed_pixels(compression: str) -> None:
    image = quarters(WIDTH, HEIGHT).quantize(4)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    data = saved(image, "TIFF", compression=compression, tiffinfo=info)
    values = tuple(Image.open(io.BytesIO(data)).tag_v2[320])
    eight = b"".join(struct.pack("<H", value // 256) for value in values)
    sixteen = b"".join(struct.pack("<H", value) for value in values)
    assert data.count(sixteen) == 1
    made = [shown(rendered(each, "PNG").data).convert("RGB") for each in (data, data.replace(sixteen, eight))]
    assert ImageChops.difference(*made).getbbox() is None


def tiles(side: int = 16) -> list[bytes]:
    image = quarters(WIDTH, HEIGHT)
    places = [(x, y) for y in range(0, HEIGHT, side) for x in range(0, WIDTH, side)]
    return [image.crop((x, y, x + side, y + side)).tobytes() for x, y in places]


def tiled(order: str, starts: int, counts: int, *, deflated: bool = False, **more: list[int]) -> bytes:
    pieces = [zlib.compress(tile) if deflated else tile for tile in tiles()]
    tags = {
        256: [WIDTH],
        257: [HEIGHT],
        258: [8, 8, 8],
        259: [8 if deflated else 1],
        262: [2],
        277: [3],
        322: [16],
        323: [16],
    }
    tags |= {starts: [], counts: [len(piece) for piece in pieces]}
    return tiff(order, tags | {int(tag): value for tag, value in more.items()}, pieces)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("more", [{}, {"278": [16]}, {"278": [40]}])
def test_tiles_under_the_tags_of_strips_are_read(order: str, more: dict[str, list[int]]) -> None:
    usual, odd, mixed = tiled(order, 324, 325, **more), tiled(order, 273, 279, **more), tiled(order, 273, 325, **more)
    both = tiled(order, 324, 325, **more, **{"273": [8] * 12, "279": [768] * 12})
    deflated = [tiled(order, starts, counts, deflated=True, **more) for starts, counts in ((324, 325), (273, 279))]
    for data in (usual, odd, mixed, both, *deflated):
        made = shown(rendered(data, "PNG").data)
        assert ImageChops.difference(made, quarters(WIDTH, HEIGHT)).getbbox() is None
    assert admit(odd, Limits()) is None


def test_strips_under_the_tags_of_tiles_are_read() -> None:
    rows = [quarters(WIDTH, HEIGHT).crop((0, y, WIDTH, y + 10)).tobytes() for y in range(0, HEIGHT, 10)]
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8, 8, 8], 259: [1], 262: [2], 277: [3], 278: [10]}
    for starts, counts in ((273, 279), (324, 325)):
        data = tiff("<", tags | {starts: [], counts: [len(row) for row in rows]}, rows)
        made = shown(rendered(data, "PNG").data)
        assert ImageChops.difference(made, quarters(WIDTH, HEIGHT)).getbbox() is None


def test_bigtiff_is_read_in_little_endian_order_only() -> None:
    made = shown(rendered(with_palette("<", 8, 257, big=True), "PNG").data).convert("RGB")
    assert made.getpixel((45, 30)) == YELLOW
    with pytest.raises(Unsupported, match="BigTIFF"):
        rendered(with_palette(">", 8, 257, big=True), "PNG")


def compressed(value: int) -> bytes:
    data = with_palette("<", 8, 257)
    return data.replace(struct.pack("<HHIHH", 259, 3, 1, 1, 0), struct.pack("<HHIHH", 259, 3, 1, value, 0))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (34_925, "LZMA"),
        (50_000, "Zstandard"),
        (50_001, "WebP"),
        (50_002, "JPEG XL"),
        (34_712, "JPEG 2000"),
        (34_887, "LERC"),
        (34_661, "JBIG"),
        (32_809, "ThunderScan"),
        (34_676, "SGILog"),
        (40_000, "compression 40000"),
    ],
)
def test_error_names_an_unsupported_compression(value: int, name: str) -> None:
    with pytest.raises(Unsupported) as caught:
        rendered(compressed(value), "PNG", 20)
    assert str(caught.value) == f"TIFF ({name}) pictures are not supported."


@pytest.mark.parametrize(
    ("marker", "precision", "name"),
    [(0xC3, 8, "lossless"), (0xC1, 12, "12 bits"), (0xC5, 8, "hierarchical")],
)
@pytest.mark.parametrize("size", [(60, 40), (60, 400)])
def test_error_names_an_unsupported_jpeg_process_in_a_tiff(
    marker: int, precision: int, name: str, size: tuple[int, int]
) -> None:
    data = saved(quarters(*size), "TIFF", compression="jpeg")
    assert rendered(data, "PNG", 20).width == 20
    frame = b"\xff\xc0\0\x11\x08"
    assert frame in data
    with pytest.raises(Unsupported, match=rf"TIFF, JPEG \({name}\)"):
        rendered(data.replace(frame, bytes((0xFF, marker, 0, 17, precision))), "PNG", 20)


def test_broken_tiff_is_corrupt() -> None:
    data = with_palette("<", 8, 257)
    for broken in (
        data[:1_000],
        data[:-400],
        data.replace(struct.pack("<HHI", 256, 3, 1), struct.pack("<HHI", 999, 3, 1)),
        compressed(0),
        compressed(255),
        data.replace(struct.pack("<HHIH", 258, 3, 1, 8), struct.pack("<HHIH", 258, 3, 1, 777)),
        data.replace(struct.pack("<HHIH", 262, 3, 1, 3), struct.pack("<HHIH", 262, 3, 1, 514)),
    ):
        with pytest.raises(Unrenderable, match="corrupt") as caught:
            rendered(broken, "PNG", 20)
        assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("photometric", "name"), [(0, "12-bit grey"), (1, "12-bit grey"), (3, "12-bit palette")])
def test_tiff_of_12_bits_is_not_supported(order: str, photometric: int, name: str) -> None:
    """Pillow would decode such grey as almost black."""
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [12], 259: [1], 262: [photometric], 273: [], 277: [1], 278: [HEIGHT],
            279: [WIDTH * HEIGHT * 3 // 2]}  # fmt: skip
    with pytest.raises(Unsupported) as caught:
        rendered(tiff(order, tags, [b"\x80" * (WIDTH * HEIGHT * 3 // 2)]), "PNG")
    assert str(caught.value) == f"TIFF ({name}) pictures are not supported."
