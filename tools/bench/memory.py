"""The peak memory of a new render process that does one job.

The originals are made in code, and kept in a temporary folder. It needs Linux, where `VmHWM` is the peak of a process.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from struct import pack
from typing import Any

from PIL import Image

from service.drawings import portrait
from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format, IfBlank
from service.imaging.order import Order, Placeholder, Rendered
from service.imaging.reading.readers import READERS
from service.pictures.trace import Trace
from service.rendering.pool import RenderPool
from service.web.metrics import Metrics
from tools.bench.instruments.figures import show

_SIDE = 7000
"""Pixels of a side: 49 megapixels, the largest pictures of phones, are just below `max_pixels`."""
_LARGEST = 4096
_SMALL = Order(Format.JPEG, 1024, 1024)
_LARGE = Order(Format.PNG, _LARGEST, _LARGEST, Fit.FILL)
_ACCEPTED, _REFUSED, _PHOTOGRAPH = 512.0, 300.0, 150.0
"""MiB of a job at most: one that is done, one that is refused, and a JPEG of 12 megapixels to 1,024 pixels."""


@dataclass(frozen=True, slots=True)
class Job:
    """An order for an original, which *make* returns and *original* names; or a placeholder."""

    original: str
    make: Callable[[], bytes]
    order: Order | Placeholder
    most: float = _ACCEPTED


def run(options: Namespace) -> None:
    """Do every job, and print the table."""
    heads = ("original", "rendition", "outcome", "s", "MiB", "at most")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs():
            if options.only and options.only not in f"{job.original} {_name(job.order)}":
                continue
            data = _kept(Path(folder) / job.original.replace("/", "_"), job.make)
            peak, seconds, outcome = asyncio.run(_measured(data, job.order))
            most = _REFUSED if outcome.startswith("refused") else job.most
            size = f"{job.original}, {len(data) / 1e6:,.1f} MB" if data else job.original
            peaks = f"**{peak:,.0f}**" if peak >= most else f"{peak:,.0f}"
            rows.append((size, _name(job.order), outcome, f"{seconds:.1f}", peaks, f"< {most:.0f}"))
            if options.verbose:
                print(*rows[-1], sep=" | ", flush=True)
    show("Peak of a fresh render process that does one job", heads, rows)


def jobs() -> Iterator[Job]:
    """Yield the jobs: the largest originals, the largest renditions, the largest animations, and placeholders."""
    yield Job("JPEG 12 MP", lambda: _photograph(3000, 4000), _SMALL, _PHOTOGRAPH)
    yield Job("JPEG 12 MP", lambda: _photograph(3000, 4000), Order(Format.WEBP, 319), _PHOTOGRAPH)
    for name, make in _LARGE_ORIGINALS.items():
        for order in (_SMALL, _LARGE):
            yield Job(f"{name} 49 MP", make, order)
    for name, make in _LARGEST_ACCEPTED.items():
        yield Job(f"{name}, largest", make, _LARGE)
    for kind in (Format.JPEG, Format.PNG, Format.GIF, Format.TIFF, Format.WEBP, Format.AVIF):
        side = 4000 if kind is Format.AVIF else _LARGEST  # the limit of AVIF is lower
        for fit in Fit:
            yield Job("JPEG 12 MP", lambda: _photograph(3000, 4000), Order(kind, side, side, fit))
        yield Job("PNG RGBA 12 MP", lambda: _saved(_sheer(3000, 4000), "PNG"), Order(kind, side, side, Fit.FILL))
        for placeholder in IfBlank:
            if placeholder is not IfBlank.NULL:
                yield Job(placeholder.name, bytes, Placeholder(placeholder, _LARGEST, _LARGEST, kind, "NO PHOTO"))
    for kind in (Format.GIF, Format.PNG, Format.WEBP, Format.AVIF):
        for other in (Format.GIF, Format.PNG, Format.WEBP, Format.AVIF):
            side = 250 if other is Format.PNG else 353
            yield Job(f"{kind.name} animation", lambda kind=kind: _animation(kind), Order(other, side, side, Fit.FILL))  # type: ignore[misc]


def _name(order: Order | Placeholder) -> str:
    fit = "" if isinstance(order, Placeholder) else f" {order.fit.name.lower()}"
    return f"{order.format.name} {order.width}x{order.height or ''}{fit}"


async def _measured(data: bytes, order: Order | Placeholder) -> tuple[float, float, str]:
    """Return the MiB at the peak, the seconds, and the outcome."""
    pool = RenderPool(Metrics(), workers=1, queue=1, timeout=120.0, memory_bytes=0)
    pool.open()
    try:
        while not pool.pids:
            await asyncio.sleep(0.01)
        begun = time.perf_counter()
        try:
            outcome = _outcome(await _done(pool, data, order))
        except (Unrenderable, BadParameter) as error:
            outcome = f"refused: {error}"
        return _peak(pool.pids[0]), time.perf_counter() - begun, outcome
    finally:
        await pool.close()


async def _done(pool: RenderPool, data: bytes, order: Order | Placeholder) -> Rendered | bytes:
    async def read() -> bytes:
        return data

    return await (
        pool.draw(order, Trace()) if isinstance(order, Placeholder) else pool.render_original(read, order, Trace())
    )


def _outcome(made: Rendered | bytes) -> str:
    data, frames = (made, 1) if isinstance(made, bytes) else (made.data, made.frames)
    return f"{len(data) / 1e6:,.1f} MB" + (f", {frames} frames" if frames > 1 else "")


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        path.write_bytes(make())
    return path.read_bytes()


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _drawn(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return portrait(Random(1), 800).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def _photograph(width: int, height: int) -> bytes:
    grain = Image.effect_noise((width, height), 40).convert("RGB")
    return _saved(Image.blend(_drawn(width, height), grain, 0.1), "JPEG", quality=88)


def _sheer(width: int, height: int) -> Image.Image:
    image = _drawn(width, height)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def _animation(kind: Format) -> bytes:
    """Return an animation of 200 frames of a quarter of a megapixel, the limits of both."""
    frames = [_drawn(500, 500).rotate(number).quantize(64) for number in range(200)]
    if kind is not Format.GIF:
        frames = [frame.convert("RGB") for frame in frames]
    return _saved(frames[0], kind.name, save_all=True, append_images=frames[1:], duration=40)


def _png(
    size: int, depth: int, colour: int, rows: Iterable[bytes], *, interlaced: bool = False, key: bytes = b""
) -> bytes:
    """Return a black PNG in a mode that Pillow does not write. *key* is the content of tRNS."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + name + body + pack(">I", zlib.crc32(name + body))

    header = pack(">IIBBBBB", size, size, depth, colour, 0, 0, interlaced)
    packer = zlib.compressobj(1)
    body = b"".join(map(packer.compress, rows)) + packer.flush()
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (chunk(b"tRNS", key) if key else b"")
    return head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _interlaced() -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = (bytes(1 + 3 * -(-(_SIDE - x) // across)) for x, y, across, down in passes for _ in range(y, _SIDE, down))
    return _png(_SIDE, 8, 2, rows, interlaced=True)


def _deep_tiff() -> bytes:
    """Return a black TIFF of RGB in 16 bits and one strip."""
    strip = zlib.compress(bytes(_SIDE * 6 * _SIDE), 1)
    end = 8 + len(strip)
    tags = [(256, 4, 1, _SIDE), (257, 4, 1, _SIDE), (258, 3, 3, end), (259, 3, 1, 8), (262, 3, 1, 2), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 3), (278, 4, 1, _SIDE), (279, 4, 1, len(strip))]
    entries = b"".join(pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + pack("<I", end + 6) + strip + pack("<3H", 16, 16, 16) + pack("<H", len(tags)) + entries + bytes(4)


def _heic(image: Image.Image) -> bytes:
    from pillow_heif import from_pillow  # type: ignore[import-not-found, unused-ignore]

    file = io.BytesIO()
    from_pillow(image).save(file, quality=50)
    return file.getvalue()


def _noise(mode: str = "RGB") -> Image.Image:
    return Image.blend(_drawn(_SIDE, _SIDE), Image.effect_noise((_SIDE, _SIDE), 40).convert("RGB"), 0.1).convert(mode)


_LARGE_ORIGINALS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: _saved(_noise(), "JPEG", quality=85),
    "JPEG progressive": lambda: _saved(_noise(), "JPEG", quality=75, progressive=True),
    "JPEG 4:4:4": lambda: _saved(_noise(), "JPEG", quality=75, subsampling=0),
    "JPEG 4:4:4 progressive": lambda: _saved(_noise(), "JPEG", quality=75, subsampling=0, progressive=True),
    "JPEG CMYK": lambda: _saved(_noise("CMYK"), "JPEG", quality=75),
    "JPEG CMYK progressive": lambda: _saved(_noise("CMYK"), "JPEG", quality=60, progressive=True),
    "JPEG grey": lambda: _saved(_noise("L"), "JPEG", quality=85),
    "PNG RGB": lambda: _saved(_drawn(_SIDE, _SIDE), "PNG", compress_level=3),
    "PNG RGBA": lambda: _saved(_sheer(_SIDE, _SIDE), "PNG", compress_level=3),
    "PNG LA": lambda: _saved(_sheer(_SIDE, _SIDE).convert("LA"), "PNG", compress_level=3),
    "PNG palette": lambda: _saved(_drawn(_SIDE, _SIDE).quantize(256), "PNG", compress_level=3),
    "PNG RGB tRNS": lambda: _saved(_drawn(_SIDE, _SIDE), "PNG", compress_level=3, transparency=(1, 2, 3)),
    "PNG RGB 16 tRNS": lambda: _png(_SIDE, 16, 2, (bytes(6 * _SIDE + 1) for _ in range(_SIDE)), key=bytes(6)),
    "PNG grey 16": lambda: _saved(_drawn(_SIDE, _SIDE, "L").convert("I;16"), "PNG", compress_level=1),
    "PNG RGBA 16": lambda: _png(_SIDE, 16, 6, (bytes(8 * _SIDE + 1) for _ in range(_SIDE))),
    "PNG interlaced": _interlaced,
    "GIF": lambda: _saved(_drawn(_SIDE, _SIDE).quantize(64), "GIF"),
    "BMP 8": lambda: _saved(Image.new("L", (5700, 5700)), "BMP"),
    "WebP": lambda: _saved(_noise(), "WEBP", quality=60, method=0),
    "WebP lossless": lambda: _saved(_drawn(_SIDE, _SIDE), "WEBP", lossless=True, quality=0, method=0),
    "WebP alpha": lambda: _saved(_sheer(_SIDE, _SIDE), "WEBP", quality=60, method=0),
    "AVIF": lambda: _saved(_drawn(_SIDE, _SIDE), "AVIF", quality=60, speed=10),
    "AVIF 4:4:4": lambda: _saved(_drawn(_SIDE, _SIDE), "AVIF", quality=60, speed=10, subsampling="4:4:4"),
    "AVIF alpha": lambda: _saved(_sheer(_SIDE, _SIDE), "AVIF", quality=60, speed=10),
    "TIFF deflate": lambda: _saved(_drawn(_SIDE, _SIDE), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF RGBA": lambda: _saved(_sheer(_SIDE, _SIDE), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF CMYK": lambda: _saved(_drawn(_SIDE, _SIDE, "CMYK"), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF Lab": lambda: _saved(Image.new("LAB", (_SIDE, _SIDE)), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF float": lambda: _saved(_drawn(_SIDE, _SIDE, "L").convert("F"), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF RGB 16": _deep_tiff,
    "TIFF JPEG": lambda: _saved(_noise(), "TIFF", compression="jpeg", quality=75),
    "TIFF one strip": lambda: _saved(
        _drawn(_SIDE, _SIDE), "TIFF", compression="tiff_adobe_deflate", strip_size=3 * _SIDE * _SIDE
    ),
}
if Format.HEIC in READERS:
    _LARGE_ORIGINALS["HEIC"] = lambda: _heic(_drawn(_SIDE, _SIDE))
    _LARGE_ORIGINALS["HEIC alpha"] = lambda: _heic(_sheer(_SIDE, _SIDE))

_LARGEST_ACCEPTED: dict[str, Callable[[], bytes]] = {
    "WebP alpha 25 MP": lambda: _saved(_sheer(5000, 5000), "WEBP", quality=60, method=0),
    "WebP lossless 25 MP": lambda: _saved(_sheer(5000, 5000), "WEBP", lossless=True, quality=0, method=0),
    "AVIF alpha 4:4:4 25 MP": lambda: _saved(_sheer(5000, 5000), "AVIF", speed=10, subsampling="4:4:4"),
    "JPEG 4:4:4 progressive 39 MP": lambda: _saved(
        _noise().resize((6300, 6300)), "JPEG", quality=75, subsampling=0, progressive=True
    ),
}
