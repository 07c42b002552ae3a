"""RenderSlots among processes: never more than there are, and everybody gets one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.rendering.slots import RenderSlots

TAKES_TURNS = """
import asyncio, sys, time
from pathlib import Path
from service.rendering.slots import RenderSlots

async def main(folder, count, rounds):
    slots = RenderSlots(Path(folder), count)
    for _ in range(rounds):
        with await slots.take():
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            print(begun, time.monotonic(), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def takes(folder: Path, count: int, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TAKES_TURNS, str(folder), str(count), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("count", [1, 2])
def test_never_more_than_there_are_and_everybody_gets_one(tmp_path: Path, count: int) -> None:
    processes = [takes(tmp_path, count, 20) for _ in range(4)]
    spans = []
    for each in processes:
        lines = each.communicate(timeout=60)[0].splitlines()
        assert len(lines) == 20
        spans += [tuple(map(float, line.split())) for line in lines]
    at_once = most = 0
    for _, change in sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans]):
        at_once += change
        most = max(most, at_once)
    assert most <= count
    assert most == count or count > 1  # of two, one may always be late on a busy machine


async def test_the_dead_give_theirs_back(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", TAKES_TURNS.replace("0.01", "60"), str(tmp_path), "1", "1"], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "slot-0").exists():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        waiting = asyncio.create_task(RenderSlots(tmp_path, 1).take())
        await asyncio.wait((waiting,), timeout=0.3)
        assert not waiting.done()
        os.kill(holder.pid, signal.SIGKILL)
        (await asyncio.wait_for(waiting, 60)).release()
    finally:
        holder.kill()
        holder.wait()


async def test_one_who_waits_goes_before_one_who_has_just_had_it(tmp_path: Path) -> None:
    slots = RenderSlots(tmp_path, 1)
    mine = await slots.take()
    other = asyncio.create_task(RenderSlots(tmp_path, 1).take())
    await asyncio.sleep(0.05)
    mine.release()
    again = asyncio.create_task(slots.take())
    done, _ = await asyncio.wait((other, again), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert done == {other}
    other.result().release()
    (await asyncio.wait_for(again, 60)).release()


async def test_one_who_waits_no_longer_holds_nobody_up(tmp_path: Path) -> None:
    slots = RenderSlots(tmp_path, 1)
    mine = await slots.take()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.take(), 0.05)
    mine.release()
    (await asyncio.wait_for(slots.take(), 60)).release()
