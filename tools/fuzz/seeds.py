"""A small sound picture for every path through every reader, drawn by code."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageCms

from service.formats import Format
from service.imaging.reading.readers import READERS
from tools.pictures.drawing import saved
from tools.pictures.isobmff import cropped, grid, imir, irot, nclx, still
from tools.pictures.png import chunk, png

_SIZE = (24, 20)


def seeds() -> dict[str, bytes]:
    """Return the pictures by name."""
    made = dict(_made())
    if Format.HEIC in READERS:
        made |= dict(_heic())
    return made


def _made() -> Iterator[tuple[str, bytes]]:
    rgb, rgba, grey, cmyk = (_picture(mode) for mode in ("RGB", "RGBA", "L", "CMYK"))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[270] = 6, "words"
    metadata: dict[str, Any] = {"icc_profile": icc, "exif": exif.tobytes()}
    more: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(180), rgb.rotate(90)], "duration": 40}
    yield "jpeg", saved(rgb, "JPEG", **metadata, comment=b"words")
    yield "jpeg progressive", saved(rgb, "JPEG", progressive=True, restart_marker_blocks=2)
    yield "jpeg grey", saved(grey, "JPEG")
    yield "jpeg cmyk", saved(cmyk, "JPEG", subsampling=0)
    yield "png", saved(rgb, "PNG", **metadata)
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        yield f"png {mode}", saved(_picture(mode), "PNG")
    yield "png colour key", saved(rgb, "PNG", transparency=(1, 2, 3))
    yield "png palette with alpha", saved(_picture("P"), "PNG", transparency=bytes(range(64)))
    yield "png interlaced", _interlaced()
    yield "png colour key of 16 bits", png(8, 8, chunk(b"tRNS", bytes(6)), depth=16)
    yield "png of many chunks", _many_chunks()
    yield "apng", saved(rgba, "PNG", **more, disposal=1, blend=1)
    yield "gif", saved(rgb, "GIF", interlace=1)
    yield "gif animation", saved(_picture("P"), "GIF", **more, disposal=2, transparency=3, loop=0, comment=b"words")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff {compression}", saved(rgb, "TIFF", compression=compression, **metadata)
    for mode in ("RGBA", "CMYK", "LAB", "I;16", "I;16B", "F", "P", "I"):
        yield f"tiff {mode}", saved(_picture(mode), "TIFF", compression="tiff_adobe_deflate")
    yield "tiff fax", saved(_picture("1"), "TIFF", compression="group4")
    yield "bigtiff", saved(rgb, "TIFF", big_tiff=True)
    yield "tiff pages", saved(_picture("RGB"), "TIFF", save_all=True, append_images=[_picture("L")])
    yield "webp", saved(rgb, "WEBP", **metadata)
    yield "webp lossless", saved(rgba, "WEBP", lossless=True)
    yield "webp alpha", saved(rgba, "WEBP", quality=50)
    yield "webp animation", saved(rgba, "WEBP", **more)
    yield "avif", saved(rgb, "AVIF", **metadata, subsampling="4:2:0")
    yield "avif alpha", saved(rgba, "AVIF", subsampling="4:4:4")
    yield "avif grey", saved(grey, "AVIF")
    yield "avif animation", saved(rgb, "AVIF", **more)
    yield "avif aperture", still(rgb, cropped(_SIZE, (4, 2, 20, 15)), irot(1), imir(0), colour=nclx(9, 16))
    yield "avif grid", grid(_picture("RGB").resize((64, 64)), 2, 2, shared=True)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", saved(_picture(mode), "BMP")
    yield "bmp runs", _runs()


def _heic() -> Iterator[tuple[str, bytes]]:
    from pillow_heif import from_pillow

    for mode in ("RGB", "RGBA"):
        file = io.BytesIO()
        from_pillow(_picture(mode).resize((64, 64))).save(file, quality=50)
        yield f"heic {mode}", file.getvalue()


def _picture(mode: str) -> Image.Image:
    image = Image.merge("RGB", [Image.effect_noise(_SIZE, 60), *[Image.linear_gradient("L").resize(_SIZE)] * 2])
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.radial_gradient("L").resize(_SIZE))
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    if mode.startswith("I;"):
        return image.convert("I").convert("I;16").convert(mode) if mode != "I;16" else image.convert("L").convert(mode)
    return image.convert("L").convert(mode) if mode in ("I", "F") else image.convert(mode)


def _many_chunks() -> bytes:
    packed = zlib.compress(b"words")
    early = chunk(b"cICP", bytes((9, 16, 0, 1))) + chunk(b"iCCP", b"a\0\0" + packed) + chunk(b"gAMA", bytes(4))
    exif = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n8\n49492a0008000000"))
    return png(8, 8, early, exif, chunk(b"iTXt", b"a\0\1\0\0\0" + packed), chunk(b"eXIf", b"II*\0" + bytes(9)))


def _interlaced() -> bytes:
    """Return an interlaced PNG of 8x8 grey pixels, which Pillow cannot write."""
    rows = [1, 1, 2, *[2] * 2, *[4] * 2, *[4] * 4, *[8] * 4]
    body = zlib.compress(b"".join(b"\0" + bytes(range(0, 20 * wide, 20)) for wide in rows))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)), (b"IDAT", body), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _runs() -> bytes:
    """Return a BMP in RLE8 with runs, a delta, literal pixels and ends of lines."""
    body = (b"\x08\1\x10\2\0\0" + b"\0\2\4\1" + b"\0\4\1\2\3\4" + b"\x08\3\0\0") * 6 + b"\x18\5\0\0" * 2 + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, *_SIZE, 1, 8, 1, len(body), 0, 0, 16, 0)
    palette = bytes(value for index in range(16) for value in (index, 255 - index, 9 * index, 0))
    return b"BM" + struct.pack("<IHHI", 54 + 64 + len(body), 0, 0, 54 + 64) + head + palette + body
