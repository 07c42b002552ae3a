"""Which process gets what: mezzanines that are kept decoded, and processes that are replaced in time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import cache

import pytest
from structlog.testing import capture_logs

from service.errors import Unrenderable
from service.formats import Format
from service.imaging.order import Limits, Order
from service.imaging.source import Source
from service.pictures.trace import Trace
from service.pictures.values import MezzanineFile
from service.rendering import decoded_mezzanines, supervisor, worker
from service.rendering.pool import RenderPool
from service.rendering.process import Job, RenderProcess
from service.web.metrics import Metrics
from tests.pictures_in_code import large, quarters, saved, shown
from tests.rendering.test_pool import ORDER, Pools, alive, metrics, pools, read, reading, until

__all__ = ["metrics", "pools"]


@cache
def large_file() -> bytes:
    """A JPEG that leaves a mezzanine."""
    return saved(large(2000, 1500), "JPEG", quality=90)


class Receiver:
    """Somebody who wants a mezzanine, as badly as *waiting* says."""

    key = "7:1"

    def __init__(self, waiting: bool = False) -> None:
        self.waiting = waiting
        self.came: asyncio.Queue[tuple[MezzanineFile | None, bool]] = asyncio.Queue()

    def is_awaited(self) -> bool:
        return self.waiting

    async def receive(self, master: MezzanineFile | None, *, impossible: bool) -> None:
        await self.came.put((master, impossible))


def masters(count: int) -> list[MezzanineFile]:
    source = Source(large_file(), Limits())
    source.render(ORDER)
    made = source.mezzanine()
    assert made is not None
    return [MezzanineFile(f"{number}:1", made.encoded(), made.reduction) for number in range(count)]


async def killed(pid: int) -> None:
    """Kill a process unless it has just ended by itself, and wait for its end."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    await until(lambda: not alive(pid))


def without_its_bytes(master: MezzanineFile) -> MezzanineFile:
    return MezzanineFile(master.key, b"not sent, or else this fails", master.reduction)


async def test_a_mezzanine_is_sent_once_and_then_kept(pools: Pools) -> None:
    pool = await pools()
    (master,) = masters(1)
    first = await pool.render_mezzanine(master, ORDER, Trace())
    again = await pool.render_mezzanine(without_its_bytes(master), ORDER, Trace())
    assert first.data == again.data
    assert shown(first.data).size == (16, 12)


async def test_the_process_that_made_it_keeps_it(pools: Pools) -> None:
    pool = await pools()
    receiver = Receiver()
    await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)
    master, _ = await receiver.came.get()
    assert master is not None
    assert (await pool.render_mezzanine(without_its_bytes(master), ORDER, Trace())).width == 16


async def test_the_process_that_keeps_it_is_preferred(pools: Pools) -> None:
    pool = await pools(workers=2)
    (master,) = masters(1)
    await pool.render_mezzanine(master, ORDER, Trace())
    for _ in range(5):
        await pool.render_original(read, ORDER, Trace())  # so that the processes change places
        assert await pool.render_mezzanine(without_its_bytes(master), ORDER, Trace())


async def test_another_is_given_it_while_that_one_is_at_work(pools: Pools) -> None:
    pool = await pools(workers=2, queue=16)
    (master,) = masters(1)
    await pool.render_mezzanine(master, ORDER, Trace())
    results = await asyncio.gather(*(pool.render_mezzanine(master, ORDER, Trace()) for _ in range(12)))
    assert len({each.data for each in results}) == 1


async def test_only_a_few_are_kept(pools: Pools) -> None:
    pool = await pools()
    every = masters(decoded_mezzanines.CAPACITY + 1)
    for master in every:
        await pool.render_mezzanine(master, ORDER, Trace())
    with pytest.raises(Unrenderable):
        await pool.render_mezzanine(without_its_bytes(every[0]), ORDER, Trace())
    for master in every[1:]:
        assert await pool.render_mezzanine(without_its_bytes(master), ORDER, Trace())


async def test_a_failure_leaves_both_ends_agreed_on_what_is_kept(pools: Pools) -> None:
    pool = await pools()
    every = masters(decoded_mezzanines.CAPACITY)
    for master in every:
        await pool.render_mezzanine(master, ORDER, Trace())
    impossible = Order(Format.PNG, width=4000, limits=Limits(max_dimension=1000))
    with pytest.raises(Exception, match="4000x3000"):
        await pool.render_mezzanine(every[0], impossible, Trace())
    extra = MezzanineFile("extra:1", every[0].data, every[0].reduction)
    await pool.render_mezzanine(extra, ORDER, Trace())  # the least recently used is another than it would have been
    for master in (every[0], extra, *every[2:]):
        assert await pool.render_mezzanine(without_its_bytes(master), ORDER, Trace())


async def test_one_who_takes_the_place_of_a_dead_one_is_given_it_anew(pools: Pools) -> None:
    pool = await pools()
    (master,) = masters(1)
    await pool.render_mezzanine(master, ORDER, Trace())
    await killed(pool.pids[0])
    assert await pool.render_mezzanine(master, ORDER, Trace())


async def test_none_is_made_while_others_wait_for_the_process_unless_it_is_wanted(pools: Pools) -> None:
    for waiting in (False, True):
        pool = await pools()
        receiver = Receiver(waiting)
        os.kill(pool.pids[0], signal.SIGSTOP)
        renders = [asyncio.create_task(pool.render_original(reading(large_file()), ORDER, Trace(), receiver))]
        await asyncio.sleep(0.05)  # it is the first
        renders += [asyncio.create_task(pool.render_original(read, ORDER, Trace())) for _ in range(6)]
        await asyncio.sleep(0.05)
        os.kill(pool.pids[0], signal.SIGCONT)
        await asyncio.gather(*renders)
        master, impossible = await receiver.came.get()
        assert (master is not None) is waiting
        assert impossible is False


async def test_a_picture_that_leaves_none_is_told(pools: Pools) -> None:
    pool = await pools()
    for picture in (saved(quarters(64, 48), "PNG"), saved(large(2000, 1500).convert("RGBA").quantize(16), "PNG")):
        receiver = Receiver()
        await pool.render_original(reading(picture), ORDER, Trace(), receiver)
        assert await receiver.came.get() == (None, True)


async def test_a_process_that_dies_over_the_mezzanine_costs_the_rendition_nothing(pools: Pools) -> None:
    pool = await pools()
    (pid,) = pool.pids

    class Deadly(Receiver):
        asked = 0

        def is_awaited(self) -> bool:
            self.asked += 1
            if self.asked == 2:  # before the render, and after it
                os.kill(pid, signal.SIGKILL)
            return True

    receiver = Deadly()
    assert (await pool.render_original(reading(large_file()), ORDER, Trace(), receiver)).width == 16
    assert await receiver.came.get() == (None, False)
    assert await pool.render_original(read, ORDER, Trace())
    assert not alive(pid)


async def test_closing_while_a_mezzanine_is_made_ends_everything(metrics: Metrics) -> None:
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
    """A pool of two whose processes are worn after ten renders."""
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 10)
    pool = RenderPool(metrics, workers=2, queue=64, timeout=10.0, memory_bytes=0)
    pool.open()
    await until(lambda: len(pool.pids) == 2)
    yield pool
    await pool.close()


async def test_a_worn_process_works_on_until_its_successor_is_there(worn: RenderPool) -> None:
    before = set(worn.pids)
    for _ in range(4):
        assert len(await asyncio.gather(*(worn.render_original(read, ORDER, Trace()) for _ in range(15)))) == 15
        assert len(worn.pids) >= 2
    await until(lambda: len(worn.pids) == 2 and not before & set(worn.pids))
    await until(lambda: not any(map(alive, before)))


async def test_a_worn_process_that_dies_has_one_successor(worn: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_MAX_RENDERS", 1)
    for _ in range(6):
        await worn.render_original(read, ORDER, Trace())
        await killed(worn.pids[0])
    await until(lambda: len(worn.pids) == 2)
    await asyncio.sleep(0.5)
    assert len(worn.pids) == 2


async def test_a_process_that_has_grown_is_replaced(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools()
    (before,) = pool.pids
    await pool.render_original(read, ORDER, Trace())
    assert pool.pids == [before]
    monkeypatch.setattr(supervisor, "_MAX_RESIDENT", 1_000_000)
    await pool.render_original(read, ORDER, Trace())
    monkeypatch.undo()
    await until(lambda: before not in pool.pids and len(pool.pids) == 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_group_ends_no_process_that_starts(number: signal.Signals) -> None:
    one = RenderProcess(0)
    starting = asyncio.create_task(one.start())
    await until(lambda: one.child.pid is not None)
    assert one.child.pid is not None
    os.kill(one.child.pid, number)  # while it starts its interpreter
    await starting
    os.kill(one.pid, number)
    assert await one.perform(Job(worker.identify, ()), 10.0) == one.child.pid
    one.kill()
    await one.wait_ended()


async def test_a_crew_that_is_closed_while_it_starts_says_nothing() -> None:
    starting = supervisor.Supervisor(2, 0)
    with capture_logs() as lines:
        starting.open()
        await until(lambda: len([each for each in starting._starting if each.child.pid is not None]) == 2)
        await starting.close()
    assert starting.pids == []
    assert lines == []
