"""Twenty renditions of one large picture, cold, with its mezzanine and without; and the SSIM between them."""

from __future__ import annotations

import io
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from PIL import Image

from service.formats import Format
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Limits, Order
from service.imaging.render import render, rendition
from service.imaging.source import Source
from tools.bench.instruments.figures import interleaved, ratios, show, spread
from tools.bench.instruments.likeness import luma, ssim
from tools.bench.instruments.photographs import originals
from tools.bench.instruments.processes import Server, get, service, valkey
from tools.pictures.corpus import CORPUS

_QUERIES = [f"w={width}&type={kind}" for width in range(32, 641, 64) for kind in ("JPEG", "WEBP")]
"""Queries for widths of 32, 96, … 608 pixels in two formats."""
_CLIENTS = 8
_PIXELS, _PHOTOGRAPH = 12_000_000, 300_000
_SAME_SCENE = tuple(f"_{number}" for number in range(2, 9))
"""Ends of the names of files that show the same picture with another orientation."""
_LANCZOS = Image.Resampling.LANCZOS
_CONTACT = "/api/v1/Contact/{}/Image?{}"


def run(options: Namespace) -> None:
    """Measure the rates over HTTP, each run with contacts of its own; then the SSIM of every picture."""
    _rates(options.runs)
    _likeness()


def _rates(runs: int) -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, valkey() as (url, _):
        images = Path(folder)
        original = originals()["12 MP JPEG"]
        for contact in range(4 * runs + 10):
            (images / f"{contact}.jpg").write_bytes(original)
        with _pair(images, url) as (ours, without):
            for clients in (1, _CLIENTS):
                contacts = iter(range(1 if clients == 1 else 2 * runs + 1, 10_000))
                firsts: dict[Server, list[float]] = {ours: [], without: []}

                def rate(
                    server: Server,
                    clients: int = clients,
                    contacts: Iterator[int] = contacts,
                    firsts: dict[Server, list[float]] = firsts,
                ) -> float:
                    return _twenty(server, next(contacts), clients, firsts[server])

                both = interleaved(runs, lambda: rate(ours), lambda: rate(without))
                rows.append(
                    [
                        f"{clients} at once",
                        *(spread(each, 1) for each in both),
                        spread(ratios(*both)),
                        "≥ 2.5",
                        spread(ratios(firsts[ours], firsts[without])),
                        "≤ 1.2",
                    ]
                )
    heads = ("", "renditions/s", "without it", "with / without", "target", "the first, with / without", "target")
    show(f"{len(_QUERIES)} renditions of a 12 MP JPEG of {len(original):,} bytes, cold, {runs} runs", heads, rows)


@contextmanager
def _pair(images: Path, url: str) -> Iterator[tuple[Server, Server]]:
    """Start the service with mezzanines and without, with separate cache entries, and render once in every process."""
    with (
        service(images, cache__url=url, cache__prefix="with") as ours,
        service(images, cache__url=url, cache__prefix="without", cache__mezzanine_for="0") as without,
    ):
        for server in (ours, without):
            for _ in range(4):  # so that both processes have rendered
                get(server.port, _CONTACT.format(1, f"w={int(time.monotonic() * 1000) % 1000 + 1}&type=GIF"))
        yield ours, without


def _twenty(server: Server, contact: int, clients: int, firsts: list[float]) -> float:
    """Return the renditions per second. Add the milliseconds of the first one to *firsts*."""

    def one(query: str) -> float:
        begun = time.perf_counter()
        status, headers, _ = get(server.port, _CONTACT.format(contact + 1, query))
        assert status == 200 and "fwd=miss" in headers["Cache-Status"], (status, headers)
        return 1000 * (time.perf_counter() - begun)

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        took = list(pool.map(one, _QUERIES))
    firsts.append(took[0])
    return len(_QUERIES) / (time.perf_counter() - begun)


def _likeness() -> None:
    rows = []
    pictures = list(_large_photographs())
    for share in (0.03, 0.06, 0.12, 0.2, 0.3, 0.4, 0.5, 0.57, 0.64, 0.7, 0.8):
        likes, sides = [], set()
        for data in pictures:
            source = Source(data, Limits())
            rendition(source, Order(Format.JPEG, width=64))
            made = source.mezzanine()
            assert made is not None
            kept = Mezzanine.decoded(made.encoded(), made.reduction)
            side = round(share * max(kept.image.size))
            order = Order(Format.PNG, width=side, height=side)
            sides.add(side)
            likes.append(ssim(luma(rendition(kept, order).data), luma(render(data, order).data)))
        used = "used" if kept.reduction.serves(order) else "from the original instead"
        rows.append(
            [f"{share:.2f}", f"{min(sides)} to {max(sides)} px", f"{median(likes):.4f}", f"{min(likes):.4f}", used]
        )
    heads = ("share of the mezzanine's side", "renditions", "SSIM, median", "worst", "")
    show(f"From the mezzanine and from the original, {len(pictures)} photographs", heads, rows)


def _large_photographs() -> Iterator[bytes]:
    """Yield the photographs of the corpus at 12 megapixels, or a drawn one when there is no corpus."""
    found = [path for each in ("valid", "exif", "color") for path in sorted((CORPUS / each).glob("*.jp*g"))]
    for path in found:
        with Image.open(path) as image:
            if image.mode != "RGB" or image.width * image.height < _PHOTOGRAPH or path.stem.endswith(_SAME_SCENE):
                continue
            scale = (_PIXELS / (image.width * image.height)) ** 0.5
            yield _saved(image.resize((round(image.width * scale), round(image.height * scale)), _LANCZOS))
    if not found:
        yield originals()["12 MP JPEG"]


def _saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()
