"""The memory of a render process: kept for the next render, or returned."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from service.formats import Format
from service.imaging.order import Order
from service.pictures.trace import Trace
from service.system.processes import resident
from tests.rendering.test_pool import Pools, metrics, pools, reading
from tools.pictures.drawing import quarters, saved

__all__ = ["metrics", "pools"]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of glibc"),
    pytest.mark.usefixtures("spawned_renderers"),
]


async def test_pages_of_a_decoded_photograph_are_kept(pools: Pools) -> None:
    pool = await pools(timeout=60.0)
    photograph, order = reading(saved(quarters(4000, 3000), "JPEG")), Order(Format.JPEG, 500)
    for _ in range(2):
        await pool.render_original(photograph, order, Trace())
    before = page_faults(pool.pids[0])
    await pool.render_original(photograph, order, Trace())
    assert page_faults(pool.pids[0]) - before < 1_000  # the pixels, decoded at half of the size, have 2,930 pages


async def test_pages_of_a_large_picture_are_returned(pools: Pools) -> None:
    pool = await pools(timeout=60.0)
    await pool.render_original(reading(saved(quarters(640, 480), "PNG")), Order(Format.JPEG, 319), Trace())
    before = resident(pool.pids[0])
    await pool.render_original(reading(saved(quarters(6000, 4000), "PNG")), Order(Format.JPEG, 319), Trace())
    assert resident(pool.pids[0]) - before < 64_000_000  # the pixels have 96 million bytes


def page_faults(pid: int) -> int:
    """Return how many pages the process *pid* has requested that were not read from a disk (proc(5): minflt)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
