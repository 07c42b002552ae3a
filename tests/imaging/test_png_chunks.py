"""A broken ancillary chunk of a PNG is passed over; a broken critical chunk makes the file corrupt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from service.errors import Unrenderable, UnsupportedUpload
from service.formats import Format
from service.imaging.admission import admit
from service.imaging.containers.peek import Facts, peek
from service.imaging.containers.png.chunks import SIGNATURE, chunks, sound
from service.imaging.containers.png.contents import read
from service.imaging.order import Encoding, Limits
from tests.pixels import near, rendered, shown
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved
from tools.pictures.png import chunk, png

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"swap").replace(b"bXYZ", b"rXYZ").replace(b"swap", b"bXYZ")
"""The sRGB profile with red and blue exchanged."""
ROWS = b"".join(b"\0" + quarters(40, 30).crop((0, row, 40, row + 1)).tobytes() for row in range(30))
CLEAN = png(40, 30, pixels=ROWS)
WANTED = rendered(CLEAN, "PNG", 20).data
TURN_6 = b"II*\0" + struct.pack("<IHHHII", 8, 1, 274, 3, 1, 6) + bytes(4)
RED_KEY = b"".join(struct.pack(">H", value) for value in RED)
TEXT = zlib.compress(b"text")


def profile(icc: bytes = SWAPPED, name: bytes = b"icc", method: bytes = b"\0") -> bytes:
    return name + b"\0" + method + zlib.compress(icc)


ANCILLARY = {
    b"gAMA": struct.pack(">I", 100_000), b"cHRM": struct.pack(">8I", *range(8)), b"sRGB": b"\0",
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1), b"tEXt": b"Title\0text", b"zTXt": b"Title\0\0" + TEXT,
    b"iTXt": b"Title\0\1\0en\0Titel\0" + TEXT, b"tIME": bytes((7, 234, 1, 1, 0, 0, 0)), b"iCCP": profile(),
    b"eXIf": TURN_6, b"bKGD": bytes(6), b"sBIT": b"\5\5\5", b"cICP": bytes((12, 13, 0, 1)), b"prVt": b"abc",
    b"tRNS": RED_KEY, b"hIST": bytes(8), b"sPLT": b"name\0\x08" + bytes(6), b"mDCV": bytes(24), b"cLLI": bytes(8),
    b"oFFs": bytes(9), b"sCAL": b"\x011\x001", b"dSIG": bytes(20), b"acTL": struct.pack(">II", 1, 0),
    b"fcTL": struct.pack(">IIIIIHHBB", 0, 40, 30, 0, 0, 1, 10, 0, 0), b"fdAT": bytes(4) + zlib.compress(ROWS),
}  # fmt: skip
"""Legal contents of ancillary chunks, by type. Those in `USED` change the picture."""
USED = (b"iCCP", b"eXIf", b"tRNS", b"cICP")


def damaged(one: bytes) -> bytes:
    """Return the chunk *one* with a wrong checksum."""
    return one[:-1] + bytes((one[-1] ^ 1,))


def placed(*more: bytes, at: str = "early") -> bytes:
    """Return `CLEAN` with *more* chunks: before IHDR, or before, among or after the pixels, or after IEND."""
    first, last = CLEAN.index(b"IDAT") - 4, len(CLEAN) - 12
    if at == "among":
        body = CLEAN[first + 8 : last - 4]
        return CLEAN[:first] + b"".join((chunk(b"IDAT", body[:9]), *more, chunk(b"IDAT", body[9:]), CLEAN[last:]))
    where = {"first": 8, "early": first, "late": last, "end": len(CLEAN)}[at]
    return CLEAN[:where] + b"".join(more) + CLEAN[where:]


def assert_as_clean(data: bytes) -> None:
    """Assert that *data* is admitted and renders as `CLEAN`, and that the stripped file is sound and does too."""
    assert rendered(data, "PNG", 20).data == WANTED
    assert peek(data) == Facts(Format.PNG, False, (40, 30))
    assert admit(data, Limits()) is None
    clean = admit(data, Limits(), Encoding())
    assert clean is not None
    assert rendered(clean, "PNG", 20).data == WANTED
    walked = list(chunks(clean))
    assert walked[-1][0] == b"IEND" and walked[-1][2] + 4 == len(clean)
    assert all(sound(clean, each) for each in walked)


@pytest.mark.parametrize("at", ["first", "early", "among", "late", "end"])
@pytest.mark.parametrize("kind", ANCILLARY, ids=bytes.decode)
def test_ancillary_chunk_with_a_wrong_checksum_is_passed_over(kind: bytes, at: str) -> None:
    assert_as_clean(placed(damaged(chunk(kind, ANCILLARY[kind])), at=at))


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda _: b"\0", lambda it: it[: len(it) // 2], lambda _: bytes(5000)]
)
@pytest.mark.parametrize("kind", ANCILLARY, ids=bytes.decode)
def test_ancillary_chunk_with_a_wrong_length_is_passed_over(kind: bytes, change: Callable[[bytes], bytes]) -> None:
    assert_as_clean(placed(chunk(kind, change(ANCILLARY[kind]))))


@pytest.mark.parametrize("at", ["among", "late", "end"])
@pytest.mark.parametrize("kind", [each for each in ANCILLARY if each != b"eXIf"], ids=bytes.decode)
def test_misplaced_chunk_is_passed_over(kind: bytes, at: str) -> None:
    assert_as_clean(placed(chunk(kind, ANCILLARY[kind]), at=at))


@pytest.mark.parametrize("at", ["early", "late"])
def test_exif_counts_at_any_place(at: str) -> None:
    data = placed(chunk(b"eXIf", TURN_6), at=at)
    assert peek(data).size == (30, 40)
    assert shown(rendered(data, "PNG", 15).data).size == (15, 20)
    clean = admit(data, Limits(), Encoding())
    assert clean is not None and shown(rendered(clean, "PNG", 15).data).size == (15, 20)


@pytest.mark.parametrize("kind", USED, ids=bytes.decode)
def test_first_usable_chunk_of_a_type_counts(kind: bytes) -> None:
    one = chunk(kind, ANCILLARY[kind])
    once = rendered(placed(one), "PNG", 20).data
    assert kind == b"cICP" or once != WANTED  # `test_colour` tests the colours of code points
    others = {b"iCCP": profile(SRGB), b"eXIf": b"MM\0*" + bytes(8), b"tRNS": bytes(6), b"cICP": bytes((9, 13, 0, 1))}
    other = chunk(kind, others[kind])
    assert rendered(placed(damaged(other), one, other, other), "PNG", 20).data == once


@pytest.mark.parametrize(
    "make",
    [
        lambda: chunk(b"iCCP", profile(SWAPPED + bytes(5_000_000))),
        lambda: chunk(b"iCCP", profile(bytes(50_000_000))),
        lambda: chunk(b"iCCP", profile(method=b"\1")),
        lambda: chunk(b"iCCP", profile(name=b"")),
        lambda: chunk(b"iCCP", profile(name=b"n" * 80)),
        lambda: chunk(b"iCCP", profile()[:200]),
        lambda: chunk(b"iCCP", profile(SWAPPED[:100])),
        lambda: chunk(b"iCCP", profile(b"not a profile" * 40)),
        lambda: chunk(b"iCCP", b"icc\0\0" + SWAPPED),
        lambda: chunk(b"iCCP", b"icc"),
        lambda: chunk(b"iCCP", profile(SRGB)) + chunk(b"iCCP", profile(bytes(1_000_000))) * 17,
        lambda: chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_048_577))),
        lambda: chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(1_100_000))),
        lambda: chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 80,
        lambda: chunk(b"zTXt", b"a\0\7" + TEXT) + chunk(b"zTXt", b"a\0\0no zlib") + chunk(b"zTXt", b"a" * 90),
        lambda: chunk(b"iTXt", b"a\0\1\7\0\0" + TEXT) + chunk(b"iTXt", b"a\0\0\0\xff\0\xff\0\xff"),
        lambda: chunk(b"tEXt", bytes(3_000_000)) * 3,
        lambda: b"".join(chunk(b"tEXt", b"Raw profile type exif\0" + each) for each in (b"\n1\n2\nno digits", b"")),
        lambda: chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n\n\n" + b"0" * 1_100_000)),
        lambda: chunk(b"zTXt", b"Raw profile type exif\0\1" + TEXT) + chunk(b"iTXt", b"Raw profile type exif\0\1"),
        lambda: chunk(b"eXIf", b"II*\0\xff\xff\xff\xff") + chunk(b"eXIf", bytes(40)),
        lambda: chunk(b"eXIf", b"II*\0" + struct.pack("<IH", 8, 65_535) + struct.pack("<HHII", 1, 1, 900, 0) * 65_535),
        lambda: chunk(b"abCd") * 4_000,
    ],
    ids=["profile of 5 MB", "profile bomb", "method", "no name", "long name", "profile cut", "profile without a table",
         "no profile", "profile not packed", "name only", "profiles", "text of 1 MB", "text of 1 MB in Unicode",
         "80 MB of text", "odd texts", "odd texts in Unicode", "9 MB of text", "odd Exif as text", "Exif bomb as text",
         "odd Exif text in Unicode", "odd Exif", "Exif of many tags", "private chunks"],
)  # fmt: skip
def test_ancillary_chunk_of_any_size_or_content_is_passed_over(make: Callable[[], bytes]) -> None:
    more = make()
    assert_as_clean(placed(more))
    assert rendered(placed(more, at="late"), "PNG", 20).data == WANTED


@given(
    st.tuples(st.sampled_from("abceist"), st.sampled_from("aXx"), st.sampled_from("PXY"), st.sampled_from("fx")),
    st.binary(max_size=60),
    st.booleans(),
    st.sampled_from(["first", "early", "among", "late", "end"]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_unknown_ancillary_chunks_are_passed_over(kind: tuple[str, ...], content: bytes, right: bool, at: str) -> None:
    one = chunk("".join(kind).encode(), content)
    assert rendered(placed(one if right else damaged(one), at=at), "PNG", 20).data == WANTED


@given(st.lists(st.tuples(st.integers(8, len(CLEAN) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 400))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_are_parsed_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    mutant = bytearray(placed(*(chunk(kind, content) for kind, content in ANCILLARY.items())))
    for at, value in changes:
        mutant[at] = value
    data = bytes(mutant[: len(mutant) - cut])
    peek(data)
    try:
        contents = read(data, 200)
    except Unrenderable:
        return
    assert all(begin <= end <= len(data) for begin, end in contents.pixels)


@pytest.mark.parametrize(("icc", "corners"), [(SRGB, (RED, BLUE)), (SWAPPED, (BLUE, RED))])
def test_profile_of_a_megabyte_and_a_half_is_used(icc: bytes, corners: tuple[object, object]) -> None:
    """Profiles of printers and monitors have that size."""
    for large in (icc + bytes(1_500_000), (len(icc) + 1_500_000).to_bytes(4, "big") + icc[4:] + bytes(1_500_000)):
        made = shown(rendered(placed(chunk(b"iCCP", profile(large))), "PNG", 20).data)
        assert all(near(made.getpixel(place), want, 8) for place, want in zip(((5, 3), (5, 11)), corners, strict=True))


@pytest.mark.parametrize("colour", [0, 4])
def test_profile_for_colours_is_not_used_for_grey(colour: int) -> None:
    grey = Image.new("L" if colour == 0 else "LA", (8, 8), 100 if colour == 0 else (100, 200))
    data = saved(grey, "PNG")
    made = rendered(data[:33] + chunk(b"iCCP", profile()) + data[33:], "PNG")
    assert made.data == rendered(data, "PNG").data


@pytest.mark.parametrize(
    ("more", "code_points", "has_profile"),
    [
        ([chunk(b"cICP", bytes((12, 13, 0, 1)))], (12, 13, 0, 1), False),
        ([chunk(b"cICP", bytes((9, 16, 0, 0))), chunk(b"iCCP", profile())], None, True),
        ([chunk(b"cICP", bytes((9, 16, 0, 1)))], (9, 16, 0, 1), False),
        ([chunk(b"iCCP", profile()), chunk(b"cICP", bytes((1, 13, 0, 1)))], (1, 13, 0, 1), False),
        ([chunk(b"cICP", bytes((12, 13, 1, 1))), chunk(b"iCCP", profile())], None, True),
        ([chunk(b"cICP", bytes((12, 13, 0, 2))), chunk(b"iCCP", profile())], None, True),
        ([chunk(b"cICP", bytes((2, 2, 0, 1))), chunk(b"iCCP", profile())], None, True),
        ([chunk(b"cICP", bytes((12, 99, 0, 1))), chunk(b"iCCP", profile())], None, True),
        ([damaged(chunk(b"cICP", bytes((12, 13, 0, 1)))), chunk(b"iCCP", profile())], None, True),
        ([chunk(b"PLTE", bytes(6)), chunk(b"cICP", bytes((12, 13, 0, 1))), chunk(b"iCCP", profile())], None, False),
    ],
)
def test_code_points_precede_a_profile(
    more: list[bytes], code_points: tuple[int, ...] | None, has_profile: bool
) -> None:
    contents = read(placed(*more), 200)
    assert contents.code_points == code_points
    assert bool(contents.profile) == has_profile


def test_code_points_of_srgb_replace_the_profile() -> None:
    assert_as_clean(placed(chunk(b"cICP", bytes((1, 13, 0, 1))), chunk(b"iCCP", profile())))


CRITICAL = {
    "IHDR checksum": CLEAN[:29] + b"\0" + CLEAN[30:],
    "IHDR length": SIGNATURE + chunk(b"IHDR", CLEAN[16:29] + b"\0") + CLEAN[33:],
    "IHDR late": SIGNATURE + CLEAN[33:-12] + CLEAN[8:33] + CLEAN[-12:],
    "IHDR missing": SIGNATURE + CLEAN[33:],
    "no pixels": CLEAN[:33] + CLEAN[-12:],
    "an unknown chunk": placed(chunk(b"CgBI", bytes(4))),
    "an unknown chunk, late": placed(chunk(b"ABCD"), at="late"),
    "first, an unknown chunk": placed(chunk(b"CgBI", bytes(4)), at="first"),
    "first, a chunk that is damaged": placed(chunk(b"CgBI", bytes(4))[:-1] + b"\0", at="first"),
    "pixels that are damaged": CLEAN.replace(CLEAN[-20:-16], bytes(4)),
    "length beyond": placed(struct.pack(">I", 0x7FFFFFFF) + b"gAMA" + bytes(8)),
    "length beyond, negative": placed(struct.pack(">I", 0x80000001) + b"gAMA" + bytes(8)),
    "length beyond, late": placed(struct.pack(">I", 0x7FFFFFFF) + b"tEXt" + bytes(8), at="late"),
    "length beyond, of pixels": CLEAN[:33] + struct.pack(">I", 5_000) + CLEAN[37:],
    "length too long": placed(struct.pack(">I", 5) + chunk(b"gAMA", bytes(4))[4:]),
    "length too short": placed(struct.pack(">I", 3) + chunk(b"gAMA", bytes(4))[4:]),
    "length too long, late": placed(struct.pack(">I", 5) + chunk(b"tEXt", bytes(4))[4:], at="late"),
    "length of pixels too short": CLEAN[:33] + struct.pack(">I", len(CLEAN) - 33 - 12 - 13) + CLEAN[37:],
}


@pytest.mark.parametrize("name", CRITICAL)
def test_broken_critical_chunk_or_length_is_corrupt(name: str) -> None:
    unknown = name.endswith(("chunk", "chunk, late"))
    with pytest.raises(Unrenderable, match=r"PNG \((CgBI|ABCD)\)" if unknown else "corrupt"):
        rendered(CRITICAL[name], "PNG", 20)
    with pytest.raises(UnsupportedUpload if unknown else Unrenderable):
        admit(CRITICAL[name], Limits(), Encoding())


@pytest.mark.parametrize(
    "data",
    [CLEAN[:-12], CLEAN[:-4], CLEAN[:-8], CLEAN[:-14], CLEAN[:-12] + bytes(40), damaged(CLEAN), CLEAN + bytes(100),
     CLEAN[:-16] + bytes(4) + CLEAN[-12:], CLEAN[:-12] + struct.pack(">I", 0) + b"IEND"],
    ids=["no end", "an end without a checksum", "half an end", "half a checksum of the pixels", "zeros for an end",
         "a checksum of the end", "trailing bytes", "a checksum of the pixels", "an end in eight bytes"],
)  # fmt: skip
def test_png_with_complete_pixels_is_rendered(data: bytes) -> None:
    assert_as_clean(data)


def palette_png(*more: bytes, entries: int = 4, depth: int = 8) -> bytes:
    colours = b"".join(map(bytes, (RED, GREEN, BLUE, YELLOW)))
    plte = chunk(b"PLTE", colours[: 3 * entries].ljust(3 * entries, b"\0"))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, depth, 3, 0, 0, 0))
    rows = b"\0" + (bytes(range(4)) if depth == 8 else b"\x1b")
    return SIGNATURE + head + plte + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def opacity(data: bytes) -> list[int]:
    made = shown(rendered(data, "PNG").data).convert("RGBA")
    return [made.getpixel((x, 0))[3] for x in range(made.width)]


@pytest.mark.parametrize(
    ("content", "alphas"),
    [(b"\0\x80", [0, 128, 255, 255]), (b"\xff\0\xff\xff", [255, 0, 255, 255]), (bytes(4), [0] * 4), (b"", [255] * 4),
     (bytes(5), [255] * 4), (bytes(300), [255] * 4)],
)  # fmt: skip
def test_transparency_may_not_be_longer_than_the_palette(content: bytes, alphas: list[int]) -> None:
    data = palette_png(chunk(b"tRNS", content))
    assert opacity(data) == alphas
    assert peek(data).alpha == (len(content) in range(1, 5))


def test_palette_is_required_and_cut_to_the_bit_depth() -> None:
    assert opacity(palette_png(chunk(b"tRNS", b"\0"), entries=7, depth=2)) == [0, 255, 255, 255]
    good = palette_png()
    at = good.index(b"PLTE") - 4
    before, plte, after = good[:at], good[at : at + 24], good[at + 24 :]
    middles = b"", damaged(plte), plte * 2, chunk(b"PLTE"), chunk(b"PLTE", bytes(11))
    for broken in (*(before + middle + after for middle in middles), before + after[:-12] + plte + after[-12:]):
        with pytest.raises(Unrenderable, match="corrupt"):
            rendered(broken, "PNG")


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("content", [bytes(1), bytes(3), bytes(5), bytes(7), bytes(256), bytes(300)])
def test_transparency_of_a_wrong_length_or_with_alpha_is_passed_over(colour: int, content: bytes) -> None:
    alpha = {4: b"\0\xff", 6: b"\0\0\0\xff"}.get(colour, b"\0" * (1 if colour == 0 else 3))
    data = png(4, 1, chunk(b"tRNS", content), colour=colour, pixels=b"\0" + alpha * 4)
    assert opacity(data) == [255] * 4
    for length in (2, 6):
        if colour in (4, 6):
            with_both = png(4, 1, chunk(b"tRNS", bytes(length)), colour=colour, pixels=b"\0" + alpha * 4)
            assert opacity(with_both) == [255] * 4


def test_palette_of_a_true_colour_png_does_not_matter() -> None:
    assert_as_clean(placed(chunk(b"PLTE", bytes(4))))
    assert_as_clean(placed(damaged(chunk(b"PLTE", bytes(6)))))
    grey = png(4, 1, colour=0)
    assert rendered(grey[:33] + chunk(b"PLTE", bytes(6)) + grey[33:], "PNG").data == rendered(grey, "PNG").data


@pytest.mark.parametrize(("colour", "key"), [(0, b"\xff\x05"), (2, b"\xff\x05\x01\x06\x80\x07")])
def test_only_the_low_bits_of_a_transparent_colour_count(colour: int, key: bytes) -> None:
    pixels = b"\0" + (b"\5" if colour == 0 else b"\5\6\7") + bytes(1 if colour == 0 else 3)
    assert opacity(png(2, 1, chunk(b"tRNS", key), colour=colour, pixels=pixels)) == [0, 255]


def test_too_many_chunks_are_too_much_work() -> None:
    with pytest.raises(Unrenderable, match="work"):
        rendered(placed(chunk(b"abCd") * 40_000), "PNG")
