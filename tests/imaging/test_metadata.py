"""Renditions have no metadata, in any format, whatever the original has (docs/contract.md, section 3).

Renditions are parsed by their structure, since a decoder shows only the metadata that it knows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin

from service.formats import WRITABLE
from tests.pixels import rendered, shown
from tools.pictures.drawing import quarters, saved
from tools.pictures.png import chunk

SECRET = "Secret"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6">{SECRET}</x:xmpmeta>'.encode()
WRITERS = [each.name for each in WRITABLE]


def exif() -> bytes:
    """Return EXIF with an orientation, GPS, a maker note, a comment, and a thumbnail after the second directory."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = 6
    block[ExifTags.Base.Make] = SECRET
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = SECRET
    details = block.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.MakerNote] = details[ExifTags.Base.UserComment] = SECRET.encode()
    thumbnail = saved(Image.new("RGB", (8, 8), "red"), "JPEG", comment=SECRET)
    second = block.get_ifd(ExifTags.IFD.IFD1)
    second.update({ExifTags.Base.JpegIFOffset: 0, ExifTags.Base.JpegIFByteCount: len(thumbnail)})
    second[ExifTags.Base.JpegIFOffset] = len(block.tobytes()) - len(b"Exif\0\0")
    return block.tobytes() + thumbnail


def profile(size: int = 200_000) -> bytes:
    """Return an sRGB profile of *size* bytes, for which a JPEG needs several segments."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return struct.pack(">I", size) + (plain[4:] + SECRET.encode() * size)[: size - 4]


def jpeg() -> bytes:
    data = saved(quarters(), "JPEG", exif=exif(), xmp=XMP, comment=SECRET, icc_profile=profile(), dpi=(77, 77))

    def segment(marker: int, body: bytes) -> bytes:
        return b"\xff" + bytes((marker,)) + (len(body) + 2).to_bytes(2, "big") + body

    extension = segment(0xE0, b"JFXX\0\x13\x02\x02" + bytes(12) + SECRET.encode())
    iptc = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x78\0\x06" + SECRET.encode() + b"\0"
    return data[:20] + extension + segment(0xED, iptc) + segment(0xEC, SECRET.encode()) + data[20:]


def png(**options: object) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET)
    text.add_text("Author", SECRET, zip=True)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add(b"tIME", bytes((7, 230, 1, 1, 1, 1, 1)))
    text.add(b"gAMA", (45_455).to_bytes(4, "big"))
    data = saved(quarters(), "PNG", exif=exif(), pnginfo=text, icc_profile=profile(), dpi=(77, 77), **options)
    return data[:-12] + chunk(b"tEXt", b"Late\0" + SECRET.encode()) + data[-12:]


def gif(**options: object) -> bytes:
    data = saved(quarters(mode="P"), "GIF", comment=SECRET, **options)
    table = 13 + (3 << (data[10] & 7) + 1)

    def application(name: bytes, body: bytes) -> bytes:
        pieces = b"".join(bytes((len(part),)) + part for part in (body[i : i + 255] for i in range(0, len(body), 255)))
        return b"!\xff\x0b" + name + pieces + b"\0"

    return data[:table] + application(b"XMP DataXMP", XMP) + application(b"ICCRGBG1012", profile()) + data[table:]


def tiff(mode: str = "RGB", **options: object) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (270, 271, 305, 315, 33_432):
        tags[tag] = SECRET
    for tag in (700, 33_723, 34_377):
        tags[tag] = SECRET.encode()
        tags.tagtype[tag] = 7
    return saved(quarters(mode=mode), "TIFF", tiffinfo=tags, exif=exif(), dpi=(77, 77), **options)


def moving(kind: str) -> bytes:
    rest = {"save_all": True, "append_images": [quarters().rotate(180)], "duration": 100}
    if kind == "GIF":
        return gif(**rest)
    if kind == "PNG":
        return png(**rest)
    if kind == "WEBP":
        rest["exif"] = exif()  # Pillow 13 crashes when it writes several AVIF frames with an orientation
    return saved(quarters(), kind, xmp=XMP, icc_profile=profile(), **rest)


def originals() -> dict[str, bytes]:
    stills = {
        "JPEG": jpeg(), "PNG": png(),
        "palette PNG": saved(quarters(mode="P"), "PNG", exif=exif(), icc_profile=profile()),
        "GIF": gif(), "TIFF": tiff(icc_profile=profile()), "TIFF without profile": tiff(), "grey TIFF": tiff("L"),
        "BMP": saved(quarters(), "BMP", dpi=(77, 77)),
        "CMYK JPEG": saved(quarters(mode="CMYK"), "JPEG", exif=exif(), comment=SECRET),
    }  # fmt: skip
    stills |= {kind: saved(quarters(), kind, exif=exif(), xmp=XMP, icc_profile=profile()) for kind in ("WEBP", "AVIF")}
    return stills | {f"moving {kind}": moving(kind) for kind in ("GIF", "PNG", "WEBP", "AVIF")}


def segments(data: bytes) -> Iterator[str]:
    at = 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE0:
            assert data[at + 4 : at + 9] == b"JFIF\0" and length == 16 and data[at + 11 : at + 18] == b"\0\0\1\0\1\0\0"
        yield f"{data[at + 1]:X}"
        at += 2 + length
    yield "DA"


def chunks(data: bytes) -> Iterator[str]:
    at = 8
    while at < len(data):
        yield data[at + 4 : at + 8].decode()
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def riff(data: bytes) -> Iterator[str]:
    at = 12
    while at < len(data):
        kind, length = data[at : at + 4].decode(), int.from_bytes(data[at + 4 : at + 8], "little")
        yield kind
        if kind == "ANMF":
            yield from riff(bytes(12) + data[at + 24 : at + 8 + length])
        at += 8 + length + length % 2


def blocks(data: bytes) -> Iterator[str]:
    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    at = 13 + table(data[10])
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            yield "image"
            at += 11 + table(data[at + 9])
        else:
            yield f"{data[at + 1]:X}" if data[at + 1] != 0xFF else data[at + 3 : at + 14].decode()
            at += 2
        while data[at]:
            at += data[at] + 1
        at += 1


def tags(data: bytes) -> Iterator[str]:
    assert data[:4] == b"II*\0"
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    for each in range(at + 2, at + 2 + 12 * count, 12):
        yield str(int.from_bytes(data[each : each + 2], "little"))
    assert data[at + 2 + 12 * count :][:4] == bytes(4)  # no second directory


_CONTAINERS = {"meta", "iprp", "ipco", "moov", "trak", "mdia", "minf", "dinf", "stbl", "stsd", "av01", "iref", "iinf"}
_HEADS = {"meta": 4, "iinf": 6, "iref": 4, "stsd": 8, "av01": 78}


def boxes(data: bytes) -> Iterator[str]:
    at = 0
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8].decode()
        body = data[at + 8 : at + length]
        yield kind + (
            " " + body[:4].decode() if kind == "colr" else " " + body[8:12].decode() if kind == "infe" else ""
        )
        if kind in _CONTAINERS:
            yield from boxes(body[_HEADS.get(kind, 0) :])
        at += length


ALLOWED = {
    "JPEG": (segments, "E0 DB C0 C4 DA"),
    "PNG": (chunks, "IHDR PLTE tRNS IDAT IEND acTL fcTL fdAT"),
    "WEBP": (riff, "VP8X VP8L ALPH ANIM ANMF|VP8 "),
    "GIF": (blocks, "image F9 NETSCAPE2.0"),
    # size, depth, compression, colours, strips, resolution without a unit, planes, predictor, palette, alpha, format
    "TIFF": (tags, "256 257 258 259 262 273 277 278 279 284 317 320 338 339"),
    "AVIF": (boxes, "ftyp meta hdlr pitm iloc iinf iprp ipco ispe pixi av1C ipma mdat iref auxl auxC auxi moov mvhd "
             "trak tkhd mdia mdhd minf vmhd dinf dref stbl stsd av01 stts stsc stsz stco stss ccst edts tref btrt"
             "|infe av01|colr nclx"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("original", originals())
def test_renditions_have_no_metadata(original, kind):
    data = originals()[original]
    parts_of, words = ALLOWED[kind]
    allowed = {word for part in words.split("|")[:1] for word in part.split()} | set(words.split("|")[1:])
    for width in (None, 30):
        made = rendered(data, kind, width).data
        assert set(parts_of(made)) <= allowed
        assert SECRET.encode() not in made


@pytest.mark.parametrize("original", sorted(originals().keys() - {"BMP"}))
def test_originals_of_these_tests_have_metadata(original):
    data = originals()[original]
    assert SECRET.encode() in data
    assert {"exif", "xmp", "comment", "icc_profile"} & shown(data).info.keys()
