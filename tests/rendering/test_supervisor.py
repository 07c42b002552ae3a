"""Mezzanines that processes keep decoded, and the replacement of processes."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from functools import cache
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.order import Limits, Order
from service.imaging.render import rendition
from service.imaging.source import Source
from service.pictures.trace import Trace
from service.pictures.values import MezzanineFile
from service.rendering import calls, decoded_mezzanines, supervisor
from service.rendering.pool import RenderPool
from service.rendering.process import Job, RenderProcess
from service.web.metrics import Metrics
from tests.pixels import shown
from tests.rendering.test_pool import ORDER, Pools, alive, metrics, pools, read, reading
from tests.waiting import until
from tools.pictures.drawing import large, quarters, saved

__all__ = ["metrics", "pools"]


@cache
def large_file() -> bytes:
    """Return a JPEG that is large enough for a mezzanine."""
    return saved(large(2000, 1500), "JPEG", quality=90)


class Receiver:
    """Receives a mezzanine. *waiting* says whether other requests wait for it."""

    key = "7:1"

    def __init__(self, waiting: bool = False) -> None:
        self.waiting = waiting
        self.received: asyncio.Queue[tuple[MezzanineFile | None, bool]] = asyncio.Queue()

    def is_awaited(self) -> bool:
        return self.waiting

    async def receive(self, mezzanine: MezzanineFile | None, *, impossible: bool) -> None:
        await self.received.put((mezzanine, impossible))


def mezzanines(count: int) -> list[MezzanineFile]:
    source = Source(large_file(), Limits())
    rendition(source, ORDER)
    made = source.mezzanine()
    assert made is not None
    return [MezzanineFile(f"{number}:1", made.encoded(), made.reduction) for number in range(count)]


async def killed(pid: int) -> None:
    """Kill a process, which may have ended already, and wait for its end."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    await until(lambda: not alive(pid))


def without_its_bytes(mezzanine: MezzanineFile) -> MezzanineFile:
    return MezzanineFile(mezzanine.key, b"invalid if it is sent", mezzanine.reduction)


async def test_mezzanine_is_sent_once_and_kept(pools: Pools) -> None:
    pool = await pools()
    (mezzanine,) = mezzanines(1)
    first = await pool.render_mezzanine(mezzanine, ORDER, Trace())
    second = await pool.render_mezzanine(without_its_bytes(mezzanine), ORDER, Trace())
    assert first.data == second.data
    assert shown(first.data).size == (16, 12)


async def test_process_that_made_a_mezzanine_keeps_it(pools: Pools) -> None:
    pool = await pools()
    receiver = Receiver()
    await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)
    mezzanine, _ = await receiver.received.get()
    assert mezzanine is not None
    assert (await pool.render_mezzanine(without_its_bytes(mezzanine), ORDER, Trace())).width == 16


async def test_process_that_keeps_the_mezzanine_is_preferred(pools: Pools) -> None:
    pool = await pools(workers=2)
    (mezzanine,) = mezzanines(1)
    await pool.render_mezzanine(mezzanine, ORDER, Trace())
    for _ in range(5):
        await pool.render_original(read, ORDER, Trace())  # so that the other process is idle for longer
        assert await pool.render_mezzanine(without_its_bytes(mezzanine), ORDER, Trace())


async def test_another_process_gets_the_mezzanine_while_the_first_is_at_work(pools: Pools) -> None:
    pool = await pools(workers=2, queue=16)
    (mezzanine,) = mezzanines(1)
    await pool.render_mezzanine(mezzanine, ORDER, Trace())
    results = await asyncio.gather(*(pool.render_mezzanine(mezzanine, ORDER, Trace()) for _ in range(12)))
    assert len({rendered.data for rendered in results}) == 1


async def test_number_of_kept_mezzanines_is_bounded(pools: Pools) -> None:
    pool = await pools()
    every = mezzanines(decoded_mezzanines.CAPACITY + 1)
    for mezzanine in every:
        await pool.render_mezzanine(mezzanine, ORDER, Trace())
    with pytest.raises(Unrenderable):
        await pool.render_mezzanine(without_its_bytes(every[0]), ORDER, Trace())
    for mezzanine in every[1:]:
        assert await pool.render_mezzanine(without_its_bytes(mezzanine), ORDER, Trace())


async def test_pool_and_process_agree_on_the_kept_mezzanines_after_a_failure(pools: Pools) -> None:
    pool = await pools()
    every = mezzanines(decoded_mezzanines.CAPACITY)
    for mezzanine in every:
        await pool.render_mezzanine(mezzanine, ORDER, Trace())
    impossible = Order(Format.PNG, width=4000, limits=Limits(max_dimension=1000))
    with pytest.raises(Exception, match="4000x3000"):
        await pool.render_mezzanine(every[0], impossible, Trace())
    extra = MezzanineFile("extra:1", every[0].data, every[0].reduction)
    # Without the failure, another mezzanine would be the least recently used.
    await pool.render_mezzanine(extra, ORDER, Trace())
    for mezzanine in (every[0], extra, *every[2:]):
        assert await pool.render_mezzanine(without_its_bytes(mezzanine), ORDER, Trace())


async def test_successor_of_a_dead_process_gets_the_mezzanine(pools: Pools) -> None:
    pool = await pools()
    (mezzanine,) = mezzanines(1)
    await pool.render_mezzanine(mezzanine, ORDER, Trace())
    await killed(pool.pids[0])
    assert await pool.render_mezzanine(mezzanine, ORDER, Trace())


class FailingLog:
    """A log whose disk is full."""

    def __getattr__(self, level: str) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_dead_process_is_replaced_although_the_log_fails(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools()
    monkeypatch.setattr(supervisor, "log", FailingLog())
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the failure of the log
    for at_work in (False, True):
        (before,) = pool.pids
        os.kill(before, signal.SIGSTOP)
        render = asyncio.create_task(pool.render_original(read, ORDER, Trace())) if at_work else None
        await asyncio.sleep(0.05 if at_work else 0)
        await killed(before)
        if render is not None:
            await asyncio.wait([render])
            render.exception()  # its process has died
        await until(lambda dead=before: pool.pids and dead not in pool.pids)
        assert shown((await pool.render_original(read, ORDER, Trace())).data).size == (16, 12)


async def test_worn_process_is_replaced_although_the_log_fails(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools()
    monkeypatch.setattr(supervisor, "log", FailingLog())
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 1)
    before = pool.pids
    with pytest.raises(OSError, match="No space"):
        await pool.render_original(read, ORDER, Trace())
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 5)
    await until(lambda: pool.pids and pool.pids != before and len(pool.pids) == 1)
    assert await pool.render_original(read, ORDER, Trace())


async def test_no_mezzanine_is_made_while_renders_wait_unless_it_is_awaited(pools: Pools) -> None:
    for waiting in (False, True):
        pool = await pools()
        receiver = Receiver(waiting)
        os.kill(pool.pids[0], signal.SIGSTOP)
        renders = [asyncio.create_task(pool.render_original(reading(large_file()), ORDER, Trace(), receiver))]
        await asyncio.sleep(0.05)  # so that it is the first
        renders += [asyncio.create_task(pool.render_original(read, ORDER, Trace())) for _ in range(6)]
        await asyncio.sleep(0.05)
        os.kill(pool.pids[0], signal.SIGCONT)
        await asyncio.gather(*renders)
        mezzanine, impossible = await receiver.received.get()
        assert (mezzanine is not None) is waiting
        assert impossible is False


async def test_picture_without_mezzanine_is_reported(pools: Pools) -> None:
    pool = await pools()
    for picture in (saved(quarters(64, 48), "PNG"), saved(large(2000, 1500).convert("RGBA").quantize(16), "PNG")):
        receiver = Receiver()
        await pool.render_original(reading(picture), ORDER, Trace(), receiver)
        assert await receiver.received.get() == (None, True)


async def test_process_that_dies_making_the_mezzanine_does_not_fail_the_render(pools: Pools) -> None:
    pool = await pools()
    (pid,) = pool.pids

    class Killer(Receiver):
        calls = 0

        def is_awaited(self) -> bool:
            self.calls += 1
            if self.calls == 2:  # the first call is before the render, the second after it
                os.kill(pid, signal.SIGKILL)
            return True

    receiver = Killer()
    assert (await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)).width == 16
    assert await receiver.received.get() == (None, False)
    assert await pool.render_original(read, ORDER, Trace())
    assert not alive(pid)


async def test_close_ends_everything_while_a_mezzanine_is_made(metrics: Metrics) -> None:
    pool = RenderPool(metrics, workers=1, queue=8, timeout=10.0, memory_bytes=0)
    pool.open()
    await until(lambda: len(pool.pids) == 1)
    (pid,) = pool.pids
    receiver = Receiver(waiting=True)
    await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)
    async with asyncio.timeout(60):
        await pool.close()
    await until(lambda: not alive(pid))
    assert pool.pids == []


@pytest.fixture
async def worn(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RenderPool]:
    """A pool of two processes that are worn after ten renders."""
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 10)
    pool = RenderPool(metrics, workers=2, queue=64, timeout=10.0, memory_bytes=0)
    pool.open()
    await until(lambda: len(pool.pids) == 2)
    yield pool
    await pool.close()


async def test_worn_process_works_until_its_successor_is_ready(worn: RenderPool) -> None:
    before = set(worn.pids)

    async def are_replaced() -> bool:
        """Render, since one process may do most of the work. Return whether both have successors."""
        assert len(await asyncio.gather(*(worn.render_original(read, ORDER, Trace()) for _ in range(15)))) == 15
        assert len(worn.pids) >= 2
        return not before & set(worn.pids)

    await until(are_replaced)
    await until(lambda: len(worn.pids) == 2)
    await until(lambda: not any(map(alive, before)))


async def test_worn_process_that_dies_has_one_successor(worn: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 1)
    for _ in range(6):
        await worn.render_original(read, ORDER, Trace())
        await killed(worn.pids[0])
    await until(lambda: len(worn.pids) == 2)
    await asyncio.sleep(0.5)
    assert len(worn.pids) == 2


async def test_process_with_much_memory_is_replaced(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools()
    (before,) = pool.pids
    await pool.render_original(read, ORDER, Trace())
    assert pool.pids == [before]
    monkeypatch.setattr(supervisor, "_MAX_RESIDENT", 1_000_000)
    monkeypatch.setattr(supervisor, "_LOOK_AT_MEMORY", 1)
    await pool.render_original(read, ORDER, Trace())
    monkeypatch.undo()
    await until(lambda: before not in pool.pids and len(pool.pids) == 1)


@pytest.mark.parametrize("number", calls.IGNORED)
async def test_signal_to_the_process_group_ends_no_starting_process(number: signal.Signals) -> None:
    process = RenderProcess(0)
    starting = asyncio.create_task(process.start())
    await until(lambda: process.child is not None)
    assert process.child is not None
    os.kill(process.child.pid, number)  # while it starts its interpreter
    await starting
    os.kill(process.pid, number)
    assert await process.perform(Job(calls.SANDBOX_LAYERS, ()), 10.0) == process.layers
    process.kill()
    await process.wait_ended()


async def test_supervisor_closed_while_it_starts_logs_nothing() -> None:
    closed_early = supervisor.Supervisor(Metrics(), 2, 0, "auto")
    with capture_logs() as lines:
        closed_early.open()
        await until(lambda: len([each for each in closed_early._starting if each.child is not None]) == 2)
        await closed_early.close()
    assert closed_early.pids == []
    assert lines == []
