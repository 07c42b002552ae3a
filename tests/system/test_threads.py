"""`Threads`: calls that hang are replaced up to a bound, and nothing waits for them."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from service.system.threads import Threads
from tests.waiting import until

HANGS_AFTER = 0.05


class Disk:
    """A place whose calls hang until it is mended."""

    def __init__(self) -> None:
        self.mended = threading.Event()

    def read(self) -> str:
        self.mended.wait()
        return "late"


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.mended.set()


def make(count: int = 2, spare: int = 3) -> Threads:
    return Threads(count, name="test", hangs_after=HANGS_AFTER, spare=spare)


def quick() -> str:
    return "quick"


async def test_call_is_answered_while_as_many_hang_as_there_are_threads(disk: Disk) -> None:
    threads = make()
    hanging = [threads.run(disk.read) for _ in range(2)]
    assert await threads.run(quick) == "quick"
    assert threads.hung == 2
    disk.mended.set()
    assert await asyncio.gather(*hanging) == ["late", "late"]
    assert threads.hung == 0
    threads.shutdown()


async def test_hung_threads_are_replaced_up_to_a_bound_and_then_calls_fail_at_once(disk: Disk) -> None:
    threads = make()
    hanging = [threads.run(disk.read) for _ in range(5)]
    await until(lambda: threads.hung == 5)
    assert isinstance(threads.submit(quick).exception(), TimeoutError)
    with pytest.raises(TimeoutError):
        await threads.run(quick)
    disk.mended.set()
    await asyncio.gather(*hanging)
    assert await threads.run(quick) == "quick"
    threads.shutdown()


async def test_threads_that_replaced_others_end_when_these_return(disk: Disk) -> None:
    before = threading.active_count()
    threads = make()
    hanging = [threads.run(disk.read) for _ in range(5)]
    await until(lambda: threads.hung == 5)
    disk.mended.set()
    await asyncio.gather(*hanging)
    await until(lambda: threading.active_count() <= before + 2)
    threads.shutdown()


async def test_place_whose_calls_hang_leaves_threads_for_others(disk: Disk) -> None:
    threads = make(count=3, spare=3)
    hanging = [threads.run(disk.read, "bad") for _ in range(4)]
    await until(lambda: threads.hung == 4)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            await threads.run(quick, "bad")
    assert await threads.run(quick, "good") == "quick"
    disk.mended.set()
    await asyncio.gather(*hanging)
    assert await threads.run(quick, "bad") == "quick"
    threads.shutdown()


async def test_calls_that_wait_for_a_place_that_hangs_fail_when_their_turn_comes(disk: Disk) -> None:
    threads = make(count=4, spare=1)
    calls = [threads.run(disk.read, "bad") for _ in range(20)]
    assert await threads.run(quick, "good") == "quick"
    assert sum(call.done() and isinstance(call.exception(), TimeoutError) for call in calls) == 16
    disk.mended.set()
    assert await asyncio.gather(*calls[:4]) == 4 * ["late"]
    threads.shutdown()


async def test_exceptions_reach_the_caller() -> None:
    threads = make()
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    assert await asyncio.get_running_loop().run_in_executor(threads, quick) == "quick"
    threads.shutdown()


async def test_idle_thread_keeps_no_result() -> None:
    class Result:
        pass

    threads = make(count=1)
    result = await threads.run(Result)
    kept = weakref.ref(result)
    del result
    gc.collect()
    await until(lambda: kept() is None)
    threads.shutdown()


async def test_shutdown_cancels_what_waits_and_ends_idle_threads(disk: Disk) -> None:
    before = threading.active_count()
    threads = make(spare=0)
    hanging = [threads.run(disk.read) for _ in range(2)]
    waiting = threads.run(quick)
    await until(lambda: threads.hung == 2)
    threads.shutdown(wait=True)
    await until(waiting.cancelled)
    with pytest.raises(RuntimeError):
        threads.run(quick)
    disk.mended.set()
    await asyncio.gather(*hanging)
    await until(lambda: threading.active_count() <= before)


def test_process_ends_while_calls_hang() -> None:
    code = """
import asyncio, threading
from service.system.threads import Threads

async def main():
    threads = Threads(2, name="test", hangs_after=0.05, spare=2)
    calls = [threads.run(threading.Event().wait) for _ in range(3)]
    await asyncio.sleep(0.1)

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
