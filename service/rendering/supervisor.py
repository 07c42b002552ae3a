"""The render processes: who is idle, a new one for each that dies, and one in time for each that has grown or aged."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from service.rendering.process import RenderProcess
from service.rendering.slots import RenderSlots, Slot

log = structlog.get_logger()

_RETRY = 1.0
"""Seconds before another try to start a process."""
_MOST_RENDERS = 5_000
"""Renders of one process, before a new one takes its place: codecs leak."""
_MOST_RESIDENT = 268_435_456
"""Bytes of memory that a process may have at rest."""


class Supervisor:
    """*size* processes, each with at most *memory_bytes* of address space (0: no limit).

    With *slots*, each has one while it is at work.
    """

    def __init__(self, size: int, memory_bytes: int, slots: RenderSlots | None = None) -> None:
        self._size, self._memory_bytes, self._slots = size, memory_bytes, slots
        self._held: dict[RenderProcess, Slot] = {}
        self._all: set[RenderProcess] = set()
        self._idle: list[RenderProcess] = []
        self._freed = asyncio.Semaphore(0)
        self._new: set[RenderProcess] = set()
        self._outgoing: set[RenderProcess] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closing = False
        self.waiting = 0

    def open(self) -> None:
        """Start the processes, in the background."""
        for _ in range(self._size):
            self._recruit(None)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are ready or at work."""
        return [each.pid for each in self._all]

    async def take(self, timeout: float, key: str = "") -> RenderProcess:
        """An idle process, that keeps the mezzanine *key* if there is one. Raises TimeoutError."""
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self._freed.acquire()
                    if self._idle:  # or else the one that was freed has been dismissed
                        break
                one = next((each for each in self._idle if key in each.kept), self._idle[0])
                self._idle.remove(one)
                if self._slots is not None:
                    try:
                        self._held[one] = await self._slots.take()
                    except BaseException:
                        self.release(one)
                        raise
                return one
        finally:
            self.waiting -= 1

    def release(self, one: RenderProcess) -> None:
        """It is idle again. One that is worn goes on until its successor is there."""
        self._give_slot(one)
        if one in self._outgoing:
            self._dismiss(one)
            return
        if not one.worn and (one.renders >= _MOST_RENDERS or one.resident > _MOST_RESIDENT):
            one.worn = True
            log.info("render.worker_worn", pid=one.pid, renders=one.renders, resident=one.resident)
            self._recruit(one)
        self._idle.append(one)
        self._freed.release()

    def replace(self, dead: RenderProcess) -> None:
        """End a process that has died, or whose work nobody waits for any more; a new one takes its place."""
        if self._closing:
            return  # it has been dismissed already
        self._dismiss(dead)
        log.warning("render.worker_replaced", pid=dead.pid)
        if not dead.worn:  # its successor is on the way
            self._recruit(None)

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        for each in self._new:
            each.kill()
        await asyncio.gather(*self._starting, return_exceptions=True)  # one is cancelled that was not even spawned
        for each in list(self._all):
            self._dismiss(each)
        await asyncio.gather(*self._ending)

    def _died(self, one: RenderProcess) -> None:
        """Replace one that was idle; whoever waits for one at work learns of it, and has it replaced."""
        asyncio.get_running_loop().remove_reader(one.child.sentinel)
        if one in self._idle:
            self._idle.remove(one)
            self.replace(one)

    def _dismiss(self, one: RenderProcess) -> None:
        asyncio.get_running_loop().remove_reader(one.child.sentinel)
        self._all.discard(one)
        self._outgoing.discard(one)
        self._end(one)

    def _end(self, one: RenderProcess) -> None:
        one.kill()
        self._follow(self._see_off(one), self._ending)  # its thread must not meet the interpreter's own end

    async def _see_off(self, one: RenderProcess) -> None:
        await one.gone()
        self._give_slot(one)

    def _give_slot(self, one: RenderProcess) -> None:
        if slot := self._held.pop(one, None):
            slot.give()

    def _recruit(self, worn: RenderProcess | None) -> None:
        """Start a process, in the place of a *worn* one if there is any."""
        if not self._closing:
            self._follow(self._start(worn), self._starting)

    def _follow(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _start(self, worn: RenderProcess | None) -> None:
        while not self._closing:
            one: RenderProcess | None = None
            try:
                one = RenderProcess(self._memory_bytes)
                self._new.add(one)
                await one.start()
            except Exception as error:  # no descriptors, no threads, no memory: whatever it is, it may pass
                if not self._closing:  # closing ends those that start
                    log.error("render.worker_not_started", reason=repr(error))
                if one is not None:
                    self._new.discard(one)
                    self._end(one)
                if not self._closing:
                    await asyncio.sleep(_RETRY)
            else:
                self._new.discard(one)
                asyncio.get_running_loop().add_reader(one.child.sentinel, self._died, one)
                self._all.add(one)
                if worn in self._idle:
                    self._idle.remove(worn)
                    self._dismiss(worn)
                elif worn in self._all:
                    self._outgoing.add(worn)
                self.release(one)
                return
