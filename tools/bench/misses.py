"""Renders of a 12-megapixel JPEG to w=319.

One render is compared with Pillow without the service, and a pool of two workers with two processes that only render.
"""

from __future__ import annotations

import asyncio
import io
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from PIL import Image

from service.formats import Format
from service.imaging.order import Order, Rendered
from service.imaging.render import render
from service.pictures.trace import Trace
from service.rendering.pool import RenderPool
from service.web.metrics import Metrics
from tools.bench.instruments.figures import interleaved, ratios, show, spread
from tools.bench.instruments.pictures import photograph

_WIDTH = 319
_ORDER = Order(Format.JPEG, width=_WIDTH)
_QUALITY = _ORDER.encoding.jpeg_quality
_RENDERS = 5
"""Renders in one run of one measure."""
_WORKERS = 2
_IN_FLIGHT = 24
"""Renders at once in one run of the throughput."""


def bare(data: bytes) -> bytes:
    """Return a rendition by Pillow: decoded at a fraction of the size, at least twice the target, then Lanczos."""
    image: Image.Image = Image.open(io.BytesIO(data))
    size = _WIDTH, round(_WIDTH * image.height / image.width)
    image.draft(None, (2 * size[0], 2 * size[1]))
    return _saved(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))


def thumbnail(data: bytes) -> bytes:
    """Return a rendition by `Image.thumbnail`, as in most programs."""
    image = Image.open(io.BytesIO(data))
    image.thumbnail((_WIDTH, image.height))
    return _saved(image)


def several(call: Callable[[bytes], object], data: bytes, times: int) -> float:
    """Return the seconds of one *call* on *data*, the mean of *times* calls."""
    begun = time.perf_counter()
    for _ in range(times):
        call(data)
    return (time.perf_counter() - begun) / times


def run(options: Namespace) -> None:
    """Measure one process in milliseconds, then two in renders per second."""
    pictures = [photograph(3000, 4000, seed) for seed in range(_WORKERS)]
    data = pictures[0]
    print(f"original {len(data):,} bytes; rendition {len(render(data, _ORDER).data):,}, bare {len(bare(data)):,}")
    with asyncio.Runner() as runner, ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn")) as processes:
        alone, pair = (runner.run(_opened(workers)) for workers in (1, _WORKERS))
        try:
            ours, pooled, least, usual = interleaved(
                options.runs,
                lambda: 1000 * several(_rendered, data, _RENDERS),
                lambda: 1000 * runner.run(_one_by_one(alone, data)),
                lambda: 1000 * several(bare, data, _RENDERS),
                lambda: 1000 * several(thumbnail, data, _RENDERS),
            )
            both, two = interleaved(
                options.runs,
                lambda: runner.run(_at_once(pair, pictures)),
                lambda: _two_processes(processes, pictures),
            )
        finally:
            for pool in (alone, pair):
                runner.run(pool.close())
    rows = (
        ["render() in this process", spread(ours, 1), spread(ratios(ours, least)), "≤ 1.3"],
        ["RenderPool of one worker, with its pipe", spread(pooled, 1), spread(ratios(pooled, least)), "≤ 1.3"],
        ["bare draft, resize, save", spread(least, 1), "1", ""],
        ["thumbnail()", spread(usual, 1), spread(ratios(usual, least)), ""],
    )
    show(f"12 MP JPEG to w={_WIDTH}, {options.runs} runs of {_RENDERS}", ("", "ms", "/ bare", "target"), rows)
    row = [f"RenderPool of {_WORKERS}", spread(both, 1), spread(two, 1), spread(ratios(both, two)), "≥ 0.9"]
    heads = ("", "renders/s", "two processes of render() alone", "ours / theirs", "target")
    show(f"{_IN_FLIGHT} renders in flight, {options.runs} runs", heads, [row])


async def _opened(workers: int) -> RenderPool:
    """Return a pool whose workers have all started."""
    pool = RenderPool(Metrics(), workers=workers, queue=_IN_FLIGHT, timeout=30.0, memory_bytes=0)
    pool.open()
    while len(pool.pids) < workers:
        await pool.probe()
        await asyncio.sleep(0.01)
    return pool


async def _render(pool: RenderPool, data: bytes) -> None:
    async def read() -> bytes:
        return data

    await pool.render_original(read, _ORDER, Trace())


async def _one_by_one(pool: RenderPool, data: bytes) -> float:
    begun = time.perf_counter()
    for _ in range(_RENDERS):
        await _render(pool, data)
    return (time.perf_counter() - begun) / _RENDERS


async def _at_once(pool: RenderPool, pictures: list[bytes]) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(_render(pool, pictures[each % len(pictures)]) for each in range(_IN_FLIGHT)))
    return _IN_FLIGHT / (time.perf_counter() - begun)


def _two_processes(processes: ProcessPoolExecutor, pictures: list[bytes]) -> float:
    """Return the renders per second of processes that render in a loop. Their own clocks exclude the start."""
    each = _IN_FLIGHT // _WORKERS
    running = [processes.submit(several, _rendered, data, each) for data in pictures]
    return sum(1 / future.result() for future in running)


def _rendered(data: bytes) -> Rendered:
    return render(data, _ORDER)


def _saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
