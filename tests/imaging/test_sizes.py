"""The upright size from the header: the size of the renderer, from any place in the file, in bounded reads."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.imaging.containers import exif
from service.imaging.containers.peek import peek
from service.imaging.containers.png import values
from service.imaging.containers.window import HEAD_BYTES, Window
from service.imaging.order import Limits
from service.imaging.source import Source
from tools.pictures.drawing import animation, quarters, saved
from tools.pictures.exif import exif_block, pngs_with_exif, stored
from tools.pictures.png import chunk, png

FAR = 2 * HEAD_BYTES


def size(data: bytes, most: int = 16_384) -> tuple[int, int] | None:
    """Return the size of *data* as a store reads it, with at most *most* bytes after the head."""
    read = 0

    def reading(begin: int, length: int) -> bytes:
        nonlocal read
        read += length
        return data[begin : begin + length]

    found = peek(Window(data[:HEAD_BYTES], len(data), reading)).size
    assert read <= most
    assert found == peek(data).size
    return found


def rendered_size(data: bytes) -> tuple[int, int]:
    return Source(data, Limits()).size


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_size_is_upright_for_every_format_and_orientation(kind, turn):
    data = saved(stored(turn), kind, exif=exif_block(turn))
    assert size(data) == rendered_size(data) == (160, 120)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "PNG", "TIFF"])
def test_size_is_read_without_an_orientation(kind):
    assert size(saved(quarters(33, 22), kind)) == (33, 22)


@pytest.mark.parametrize(
    "options",
    [{"lossless": True}, {"quality": 80}, {"save_all": True, "append_images": [quarters(33, 22).rotate(180)]}],
)
def test_size_of_every_kind_of_webp_is_read(options):
    assert size(saved(quarters(33, 22), "WEBP", **options)) == (33, 22)


@pytest.mark.parametrize("place", pngs_with_exif(1))
def test_orientation_of_a_png_is_found_in_every_chunk_for_it(place):
    assert size(pngs_with_exif(6)[place]) == (160, 120)


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xFE])
def test_size_of_a_jpeg_is_found_after_long_segments(marker):
    data = saved(stored(6), "JPEG", exif=exif_block(6))
    far = data[:2] + segment(marker, b"nothing" + bytes(65_000)) * 3 + data[2:]
    assert size(far) == rendered_size(far) == (160, 120)


def test_orientation_of_a_jpeg_is_found_after_its_frame_header():
    data = saved(stored(6), "JPEG")
    at = data.index(b"\xff\xda")
    late = data[:at] + segment(0xE1, exif_block(6)) + data[at:]
    assert size(late) == rendered_size(late) == (160, 120)


def test_orientation_is_found_in_exif_of_two_segments():
    data, block = saved(stored(6), "JPEG"), exif_block(6).removeprefix(exif.PREFIX)
    parts = b"".join(segment(0xE1, exif.PREFIX + part) for part in (block[:9], block[9:]))
    data = data[:2] + parts + data[2:]
    assert size(data) == rendered_size(data) == (160, 120)


@pytest.mark.parametrize("pixels", [10, FAR])
def test_exif_after_the_pixels_of_a_png_counts_if_its_checksum_is_right(pixels):
    block = exif_block(6).removeprefix(exif.PREFIX)
    data = png(33, 22)
    end = data.rindex(b"IEND") - 4
    more = chunk(b"prVt", bytes(pixels))
    assert size(data[:end] + more + chunk(b"eXIf", block) + data[end:]) == (22, 33)
    wrong = bytearray(chunk(b"eXIf", block))
    wrong[-1] ^= 1
    assert size(data[:end] + more + bytes(wrong) + data[end:]) == (33, 22)


def test_first_of_two_orientations_of_a_png_counts():
    start = saved(quarters(), "PNG").index(b"IDAT") - 4
    data = saved(quarters(), "PNG")
    twice = [chunk(b"eXIf", exif_block(turn).removeprefix(exif.PREFIX)) for turn in (1, 6)]
    turned = data[:start] + b"".join(reversed(twice)) + data[start:]
    assert size(turned) == rendered_size(turned) == (60, 80)


def test_exif_after_the_pixels_of_a_webp_counts_if_its_flag_is_set():
    noise = Image.effect_noise((500, 300), 90).convert("RGB")
    data = saved(noise, "WEBP", lossless=True, exif=exif_block(6))
    assert data.index(b"EXIF") > HEAD_BYTES
    assert size(data) == rendered_size(data) == (300, 500)
    unflagged = bytearray(data)
    unflagged[20] &= ~0x08
    assert size(bytes(unflagged)) == rendered_size(bytes(unflagged)) == (500, 300)


def test_size_of_a_gif_includes_a_frame_beyond_the_screen():
    data = bytearray(saved(quarters(33, 22), "GIF"))
    data[6:8] = (20).to_bytes(2, "little")
    at = 13 + 3 * (2 << (data[10] & 7) if data[10] & 0x80 else 0)
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 300 + b"\0"
    long = bytes(data[:at]) + comment + bytes(data[at:])
    assert at + len(comment) > HEAD_BYTES
    assert size(long, most=65_536) == rendered_size(long) == (33, 22)


def test_animation_has_the_size_of_its_canvas():
    for kind in ("GIF", "PNG", "WEBP"):
        assert size(animation(kind)) == (32, 32)


@pytest.mark.parametrize("header", [12, 40, 108, 124])
def test_size_of_a_bmp_is_read_from_every_header(header):
    data = saved(quarters(33, 22), "BMP")
    start, rows = data[:14], data[54:]
    fields = data[14:54]
    if header == 12:
        fields = bytes((12, 0, 0, 0)) + (33).to_bytes(2, "little") + (22).to_bytes(2, "little") + fields[12:16]
    else:
        fields = header.to_bytes(4, "little") + fields[4:] + bytes(header - 40)
    offset = (14 + header).to_bytes(4, "little")
    data = start[:10] + offset + fields + rows
    assert size(data) == rendered_size(data) == (33, 22)
    if header != 12:
        upside_down = data[:22] + (-22).to_bytes(4, "little", signed=True) + data[26:]
        assert size(upside_down) == rendered_size(upside_down) == (33, 22)


@pytest.mark.parametrize(("kind", "expected"), [(3, (22, 33)), (4, (22, 33)), (1, None)])
def test_orientation_of_a_tiff_counts_by_its_type(kind, expected):
    data = saved(quarters(33, 22), "TIFF", tiffinfo={274: 6})
    at = data.index((274).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    patched = data[: at + 2] + kind.to_bytes(2, "little") + data[at + 4 :]
    assert size(patched) == expected
    assert expected in (None, rendered_size(patched))


@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_is_read_in_both_byte_orders(order):
    way = {"II": "little", "MM": "big"}[order]
    entry = b"".join(number.to_bytes(length, way) for number, length in ((274, 2), (3, 2), (1, 4), (8, 2), (0, 2)))
    block = order.encode() + (42).to_bytes(2, way) + (8).to_bytes(4, way) + (1).to_bytes(2, way) + entry + bytes(4)
    assert exif.orientation(block) == exif.orientation(exif.PREFIX * 2 + block) == 8


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"MM\0*",
        b"Exif\0\0" * 100_000,
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(99),
    ],
)
def test_broken_exif_is_upright(block):
    assert exif.orientation(block) == 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_written_exif_is_that_of_pillow(turn):
    block = Image.Exif()
    block[0x0112] = turn
    assert exif.PREFIX + exif.block_of(turn) == (block.tobytes() if turn > 1 else exif.PREFIX)


HOSTILE = {
    "a JPEG of segments": lambda: b"\xff\xd8\xff\xe0" + b"\0\2\xff\xe0" * 1_000_000,
    "a JPEG of large segments": lambda: b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 200,
    "a JPEG of fill bytes": lambda: b"\xff\xd8" + b"\xff" * 4_000_000,
    "a JPEG without markers": lambda: b"\xff\xd8\xff\xe0\0\2" + bytes(12_000_000),
    "a PNG of chunks": lambda: png(4, 4)[:33] + chunk(b"prVt", b"") * 300_000,
    "a PNG of EXIF": lambda: png(4, 4)[:33] + chunk(b"eXIf", bytes(1_000_000)) * 12,
    "a PNG of text": lambda: png(4, 4)[:33] + chunk(b"zTXt", exif.RAW_PROFILE + bytes(1_000_000)) * 12,
    "a GIF of blocks": lambda: saved(quarters(), "GIF")[:10] + bytes(3) + b"!\xfe\1\0\0" * 800_000,
    "a GIF of one comment": lambda: saved(quarters(), "GIF")[:10] + bytes(3) + b"!\xfe" + b"\1\0" * 2_000_000,
    "a GIF of nothing": lambda: saved(quarters(), "GIF")[:10] + bytes(4_000_000),
    "a WebP of chunks": lambda: riff((b"VP8X", b"\x08" + bytes(9)), *((b"XXXX", b"") for _ in range(500_000))),
    "a TIFF of entries": lambda: b"II*\0\x10\0\x01\0" + bytes(65_544) + b"\xff\xff" + bytes(900_000),
}


def test_at_most_one_text_of_a_png_is_inflated(monkeypatch):
    """Each of the others would take as long as the first."""
    unpacked = []
    inflate = values._inflated
    monkeypatch.setattr(values, "_inflated", lambda *args: unpacked.append(args) or inflate(*args))
    texts = chunk(b"zTXt", exif.RAW_PROFILE + b"\0" + zlib.compress(bytes(1_000_000))) * 900
    assert size(png(4, 4)[:33] + texts + png(4, 4)[33:], most=8_388_608) == (4, 4)
    assert len(unpacked) <= 2  # for the window and for the whole


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_give_no_size_within_bounded_reads(name):
    assert size(HOSTILE[name](), most=8_388_608) is None


def test_window_is_bounded_and_ends_where_the_file_ends():
    reads: list[int] = []

    def read(begin: int, length: int) -> bytes:
        reads.append(length)
        return bytes(length)

    window = Window(b"head", 10**9, read)
    assert window[0:4] == b"head"
    assert window[10**9 - 2 : 10**9 + 5] == bytes(2)
    for at in range(0, 10**9, 10**5):
        window[at : at + 8]
    assert len(reads) <= 5_000
    window = Window(b"head", 10**9, read)
    assert window[0 : 10**8] == b""


MUTABLE = {
    kind: [saved(stored(turn, quarters(40, 24)), kind, exif=exif_block(turn)) for turn in (1, 6)]
    for kind in ("JPEG", "WEBP", "TIFF")
} | {kind: [saved(quarters(40, 24), kind)] for kind in ("GIF", "BMP")}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from([data for seeds in MUTABLE.values() for data in seeds]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_damaged_header_gives_the_size_of_the_renderer_or_none(data, changes):
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        found = peek(bytes(damaged)).size
        image = Source(bytes(damaged), Limits())
    except Exception:  # the renderer refuses it
        return
    assert found in (None, image.size)


def test_sizes_agree_with_pillow():
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        for across, down in ((1, 1), (1, 300), (257, 3)):
            data = saved(quarters(across, down), kind)
            assert size(data) == Image.open(io.BytesIO(data)).size
