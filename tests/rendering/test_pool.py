"""The render pool with real processes: bounds, deaths and time limits."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadParameter, Overloaded, RenderTimedOut, RenderWorkerDied, Unrenderable
from service.formats import Format, IfBlank
from service.imaging.order import Encoding, Limits, Order, Placeholder
from service.pictures.trace import Trace
from service.rendering import process as process_module
from service.rendering import supervisor as supervisor_module
from service.rendering.pool import RenderPool
from service.rendering.process import DiedIdle, RenderProcess
from service.rendering.sandbox.layers import Mode
from service.web.metrics import Metrics
from tests.deadly import Deadly, deadly
from tests.pixels import near, shown
from tests.waiting import until
from tools.pictures.drawing import RED, quarters, saved

__all__ = ["deadly"]

PICTURE = saved(quarters(64, 48), "PNG")
ORDER = Order(Format.PNG, width=16)
Pools = Callable[..., Awaitable[RenderPool]]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def pools(metrics: Metrics) -> AsyncIterator[Pools]:
    made: list[RenderPool] = []

    async def make(workers: int = 1, queue: int = 8, timeout: float = 10.0, sandbox: Mode = "auto") -> RenderPool:
        pool = RenderPool(metrics, workers=workers, queue=queue, timeout=timeout, memory_bytes=0, sandbox=sandbox)
        pool.open()
        made.append(pool)
        await until(lambda: len(pool.pids) == workers)
        return pool

    yield make
    for pool in made:
        await pool.close()


def value(metrics: Metrics, name: str) -> float:
    metrics.flush()
    return metrics.registry.get_sample_value(name) or 0.0


async def read() -> bytes:
    return PICTURE


def reading(data: bytes) -> Callable[[], Awaitable[bytes]]:
    async def whole() -> bytes:
        return data

    return whole


async def test_picture_is_rendered_in_another_process(pools: Pools) -> None:
    pool = await pools()
    rendered = await pool.render_original(read, ORDER, Trace())
    assert shown(rendered.data).size == (16, 12)
    assert near(shown(rendered.data).convert("RGB").getpixel((2, 2)), RED)
    assert pool.pids
    assert os.getpid() not in pool.pids


async def test_placeholder_is_drawn(pools: Pools) -> None:
    pool = await pools()
    drawn = await pool.draw(Placeholder(IfBlank.DEFAULT, 40, 30, Format.PNG, "", Encoding()), Trace())
    assert shown(drawn).size == (40, 30)


@pytest.mark.parametrize("data", [b"", b"no picture", PICTURE[:60]])
async def test_bad_picture_is_refused_and_ends_no_process(pools: Pools, data: bytes, metrics: Metrics) -> None:
    pool = await pools()
    before = pool.pids
    with pytest.raises(Unrenderable):
        await pool.render_original(reading(data), ORDER, Trace())
    assert shown((await pool.render_original(read, ORDER, Trace())).data).size == (16, 12)
    assert pool.pids == before
    assert value(metrics, "contact_image_renders_failed_total") == 1
    assert value(metrics, "contact_image_renders_finished_total") == 1


async def test_error_of_an_impossible_size_keeps_its_message(pools: Pools) -> None:
    pool = await pools()
    strip = saved(quarters(4, 4_000), "PNG")
    with pytest.raises(BadParameter) as refused:
        await pool.render_original(reading(strip), Order(Format.PNG, width=4_000), Trace())
    assert "4000000" in str(refused.value).replace(",", "")


async def test_process_that_dies_fails_no_render(pools: Pools, metrics: Metrics) -> None:
    pool = await pools(workers=2)
    stopped = pool.pids[:]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)  # so that two renders are in progress
    renders = [asyncio.create_task(pool.render_original(read, ORDER, Trace())) for _ in range(6)]
    await until(lambda: value(metrics, "contact_image_renders_started_total") == 2)
    os.kill(stopped[0], signal.SIGKILL)
    os.kill(stopped[1], signal.SIGCONT)
    assert [shown(rendered.data).size for rendered in await asyncio.gather(*renders)] == [(16, 12)] * 6


async def test_render_whose_process_dies_is_tried_once_more(pools: Pools, deadly: Deadly, metrics: Metrics) -> None:
    pool = await pools(timeout=60.0)
    rendered = await pool.render_original(reading(deadly(PICTURE, signal.SIGSEGV)), ORDER, Trace())
    assert shown(rendered.data).size == (16, 12)
    assert value(metrics, "contact_image_renders_started_total") == 2
    assert value(metrics, "contact_image_renders_failed_total") == 1
    assert value(metrics, "contact_image_renders_finished_total") == 1


async def test_render_is_tried_once_more_although_it_could_not_begin_any_more(pools: Pools, metrics: Metrics) -> None:
    pool, trace = await pools(timeout=60.0), Trace()
    os.kill(pool.pids[0], signal.SIGSTOP)
    trace.begin_by = time.monotonic() + 2
    render = asyncio.create_task(pool.render_original(read, ORDER, trace))
    await until(lambda: value(metrics, "contact_image_renders_started_total") == 1)
    await asyncio.sleep(2.1)
    os.kill(pool.pids[0], signal.SIGKILL)
    assert shown((await render).data).size == (16, 12)


async def test_render_that_ends_two_processes_fails_with_two_strikes(pools: Pools, deadly: Deadly) -> None:
    pool = await pools(timeout=60.0)
    picture = deadly(PICTURE, signal.SIGSEGV, signal.SIGSEGV)
    with pytest.raises(RenderWorkerDied) as died:
        await pool.render_original(reading(picture), ORDER, Trace())
    assert died.value.strikes == 2
    assert shown((await pool.render_original(reading(picture), ORDER, Trace())).data).size == (16, 12)


async def test_killed_processes_count_unless_that_of_another_picture_was_killed(pools: Pools, deadly: Deadly) -> None:
    """The kernel's OOM killer ends processes whatever they render."""
    pool = await pools(timeout=60.0)

    async def strikes(*signals: signal.Signals) -> int:
        with pytest.raises(RenderWorkerDied) as died:
            await pool.render_original(reading(deadly(PICTURE, *signals)), ORDER, Trace())
        return died.value.strikes

    assert await strikes(signal.SIGKILL, signal.SIGKILL) == 2
    assert await strikes(signal.SIGKILL, signal.SIGKILL) == 0
    assert await strikes(signal.SIGKILL, signal.SIGSEGV) == 1
    assert await strikes(signal.SIGSEGV, signal.SIGABRT) == 2


async def test_killed_processes_of_one_picture_count_at_every_size(pools: Pools, deadly: Deadly) -> None:
    pool = await pools(timeout=60.0)
    picture = deadly(PICTURE, *[signal.SIGKILL] * 4)
    for width in (16, 17):
        with pytest.raises(RenderWorkerDied) as died:
            await pool.render_original(reading(picture), Order(Format.PNG, width=width), Trace())
        assert died.value.strikes == 2


async def test_second_try_ends_when_the_time_of_the_first_is_over(pools: Pools, deadly: Deadly) -> None:
    pool = await pools(timeout=5.0)
    picture, tries = deadly(PICTURE, signal.SIGSEGV, signal.SIGSTOP), 0

    async def counted() -> bytes:
        nonlocal tries
        tries += 1
        return picture

    begun = time.perf_counter()
    with pytest.raises(RenderWorkerDied) as died:
        await pool.render_original(counted, ORDER, Trace())
    assert (died.value.strikes, tries) == (1, 2)
    assert time.perf_counter() - begun < 50


async def test_drawing_and_admission_are_tried_once_more(pools: Pools) -> None:
    """The processes are frozen and killed, so that each dies with a job or as it gets one."""
    pool = await pools(timeout=60.0)
    placeholder = Placeholder(IfBlank.DEFAULT, 40, 30, Format.PNG, "", Encoding())
    jobs: list[Callable[[], Awaitable[object]]] = [
        lambda: pool.draw(placeholder, Trace()),
        lambda: pool.admit(read, Limits(), None, Trace()),
        pool.probe,
    ]
    for job in jobs:
        await until(lambda: bool(pool.pids))
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        done = asyncio.ensure_future(job())
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        await done


async def test_process_killed_while_idle_fails_no_render(pools: Pools) -> None:
    pool = await pools()
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid))
    rendered = await pool.render_original(read, ORDER, Trace())
    assert shown(rendered.data).size == (16, 12)
    assert pool.pids
    assert pid not in pool.pids


async def test_failed_render_keeps_no_reference_to_its_original(pools: Pools) -> None:
    pool = await pools()
    original = b"no picture" * 10
    whole = reading(original)
    gc.disable()
    try:
        references = sys.getrefcount(original)
        with pytest.raises(Unrenderable):
            await pool.render_original(whole, ORDER, Trace())
        await until(lambda: sys.getrefcount(original) == references)  # the thread that has sent it drops its own late
    finally:
        gc.enable()


async def test_render_past_its_time_limit_ends_its_process(pools: Pools, metrics: Metrics) -> None:
    pool = await pools(timeout=5.0)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    begun = time.perf_counter()
    with pytest.raises(RenderTimedOut):
        await pool.render_original(read, ORDER, Trace())
    assert time.perf_counter() - begun < 50
    await until(lambda: not alive(pid) and bool(pool.pids))
    assert shown((await pool.render_original(read, ORDER, Trace())).data).size == (16, 12)
    assert value(metrics, "contact_image_renders_timed_out_total") == 1
    assert metrics.registry.get_sample_value("contact_image_process_restarts_total", {"process": "render"}) == 0


@pytest.mark.parametrize("on_processor", [False, True])
async def test_time_out_counts_if_the_process_was_on_a_processor(
    pools: Pools, on_processor: bool, request: pytest.FixtureRequest
) -> None:
    """A process that stands still, or waits for a processor, does not show a fault of its picture."""
    if on_processor:
        request.getfixturevalue("always_on_processor")
    pool = await pools(timeout=5.0)
    os.kill(pool.pids[0], signal.SIGSTOP)
    with pytest.raises(RenderTimedOut) as late:
        await pool.render_original(read, ORDER, Trace())
    assert late.value.strikes == int(on_processor)


async def test_processor_time_of_a_process_grows_with_its_renders(pools: Pools) -> None:
    pool = await pools()
    before = process_module._processor_seconds(pool.pids[0])
    await pool.render_original(reading(saved(quarters(2000, 1500), "PNG")), ORDER, Trace())
    assert before < process_module._processor_seconds(pool.pids[0])


async def test_one_more_than_may_wait_is_refused_before_its_original_is_read(pools: Pools, metrics: Metrics) -> None:
    pool = await pools(workers=1, queue=3)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    reads = 0

    async def counted() -> bytes:
        nonlocal reads
        reads += 1
        return PICTURE

    renders = [asyncio.create_task(pool.render_original(counted, ORDER, Trace())) for _ in range(20)]
    await until(lambda: sum(render.done() for render in renders) >= 20 - 2 - 3)
    done, waiting = await asyncio.wait(renders, timeout=0.1)
    assert len(waiting) == 2 + 3  # one is rendered, one is read, three wait in the queue
    assert all(isinstance(render.exception(), Overloaded) for render in done)
    assert reads == 2
    assert value(metrics, "contact_image_render_queue_depth") == 3
    os.kill(pid, signal.SIGCONT)
    assert len([await render for render in waiting]) == 5
    assert value(metrics, "contact_image_render_queue_depth") == 0


async def test_failed_read_makes_room_for_the_next_render(pools: Pools) -> None:
    pool = await pools(workers=1)

    async def broken() -> bytes:
        raise OSError("gone")

    for _ in range(5):
        with pytest.raises(OSError, match="gone"):
            await pool.render_original(broken, ORDER, Trace())
    assert (await pool.render_original(read, ORDER, Trace())).data


async def test_probe_accepts_a_recent_render(pools: Pools) -> None:
    pool = await pools()
    await pool.render_original(read, ORDER, Trace())
    os.kill(pool.pids[0], signal.SIGSTOP)
    async with asyncio.timeout(5):  # a render would wait until its time limit
        await pool.probe()
    os.kill(pool.pids[0], signal.SIGCONT)


async def test_close_ends_every_process(metrics: Metrics) -> None:
    pool = RenderPool(metrics, workers=2, queue=8, timeout=10.0, memory_bytes=0)
    pool.open()
    await until(lambda: len(pool.pids) == 2)
    pids = pool.pids
    os.kill(pids[0], signal.SIGSTOP)
    await pool.close()
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_render_process_loads_pillow_and_no_other_library(pools: Pools) -> None:
    pool = await pools(sandbox="off")  # in the sandbox, another process reads nothing of it
    maps = Path(f"/proc/{pool.pids[0]}/maps")
    if not maps.exists():
        pytest.skip("no /proc here")
    text = maps.read_text()
    assert "_imaging" in text
    assert not [name for name in ("aiohttp", "hiredis", "pydantic_core", "uvloop", "moka") if name in text]
    status = Path(f"/proc/{pool.pids[0]}/stat").read_text().rpartition(")")[2].split()
    assert int(status[16]) > os.nice(0)  # below the event loop


async def test_process_that_cannot_be_started_is_started_again(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = 0

    class FailsOnce(RenderProcess):
        def __init__(self, *args: Any) -> None:
            nonlocal starts
            starts += 1
            if starts == 1:
                raise RuntimeError("can't start new thread")
            super().__init__(*args)

    monkeypatch.setattr(supervisor_module, "RenderProcess", FailsOnce)
    monkeypatch.setattr(supervisor_module, "_RETRY", 0.01)
    pool = RenderPool(metrics, workers=1, queue=8, timeout=10.0, memory_bytes=0)
    pool.open()
    assert (await pool.render_original(read, ORDER, Trace())).data
    await pool.close()
    assert starts == 2


async def test_process_can_be_killed_while_it_starts() -> None:
    process = RenderProcess(0)
    starting = asyncio.create_task(process.start())
    await until(lambda: process.child is not None)
    assert process.child is not None
    process.kill()
    with pytest.raises((OSError, EOFError, DiedIdle, asyncio.CancelledError)):
        await starting
    await process.wait_ended()
    assert process.child.returncode == -signal.SIGKILL


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_process_that_was_never_spawned_leaves_no_socket_open() -> None:
    process = RenderProcess(0)
    process.kill()
    await process.wait_ended()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del process
        gc.collect()
    assert [each.message for each in warned if each.category is ResourceWarning] == []
