"""Render slots in several processes."""

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

TAKE_SLOTS = """
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


def start_process(folder: Path, count: int, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TAKE_SLOTS, str(folder), str(count), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("count", [1, 2])
def test_number_of_taken_slots_is_bounded_and_every_process_gets_one(tmp_path: Path, count: int) -> None:
    processes = [start_process(tmp_path, count, 20) for _ in range(4)]
    spans = []
    for process in processes:
        lines = process.communicate(timeout=60)[0].splitlines()
        assert len(lines) == 20
        spans += [tuple(map(float, line.split())) for line in lines]
    taken = maximum = 0
    for _, change in sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans]):
        taken += change
        maximum = max(maximum, taken)
    assert maximum <= count
    assert maximum == count or count > 1  # on a busy machine the second may never be taken in time


async def test_slot_of_a_dead_process_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", TAKE_SLOTS.replace("0.01", "60"), str(tmp_path), "1", "1"], stdout=subprocess.DEVNULL
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


async def test_waiting_task_gets_the_slot_before_its_last_holder(tmp_path: Path) -> None:
    slots = RenderSlots(tmp_path, 1)
    slot = await slots.take()
    other = asyncio.create_task(RenderSlots(tmp_path, 1).take())
    await asyncio.sleep(0.05)
    slot.release()
    second = asyncio.create_task(slots.take())
    done, _ = await asyncio.wait((other, second), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert done == {other}
    other.result().release()
    (await asyncio.wait_for(second, 60)).release()


async def test_task_that_stops_waiting_delays_no_other(tmp_path: Path) -> None:
    slots = RenderSlots(tmp_path, 1)
    slot = await slots.take()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.take(), 0.05)
    slot.release()
    (await asyncio.wait_for(slots.take(), 60)).release()
