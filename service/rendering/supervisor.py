"""The render processes: which are idle, and replacements for those that die, grow or age."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from service.pictures.ports import Observer
from service.rendering.process import RenderProcess
from service.rendering.sandbox.layers import ALL, Layers, Mode, missing
from service.rendering.slots import RenderSlots, Slot

log = structlog.get_logger()

_RETRY = 1.0
"""Seconds before another try to start a process."""
_MAX_RENDERS = 5_000
"""Renders of one process before it is replaced, since codecs leak memory."""
_MAX_RESIDENT = 268_435_456
"""Bytes of resident memory that an idle process may have before it is replaced."""
_LOOK_AT_MEMORY = 8
"""Renders of one process between two looks at its memory. A look takes three system calls."""


class Supervisor:
    """*size* processes, each with at most *memory_bytes* of address space (0: no limit), and in a *sandbox*.

    *observer* gets the layers of the sandbox. With *slots*, a process holds one of them while it is at work.
    """

    def __init__(
        self, observer: Observer, size: int, memory_bytes: int, sandbox: Mode, slots: RenderSlots | None = None
    ) -> None:
        self._observer, self._size, self._slots = observer, size, slots
        self._memory_bytes, self._sandbox = memory_bytes, sandbox
        self._layers: Layers | None = None
        self._starting: set[RenderProcess] = set()
        self._ready: set[RenderProcess] = set()
        self._idle: list[RenderProcess] = []
        self._idle_count = asyncio.Semaphore(0)
        self._retiring: set[RenderProcess] = set()
        self._held_slots: dict[RenderProcess, Slot] = {}
        self._start_tasks: set[asyncio.Task[None]] = set()
        self._end_tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.waiting = 0

    def open(self) -> None:
        """Start the processes in the background."""
        for _ in range(self._size):
            self._start_one()

    @property
    def ready(self) -> bool:
        """Whether a process is idle or at work."""
        return bool(self._ready)

    @property
    def idle(self) -> bool:
        """Whether a process is idle."""
        return bool(self._idle)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are idle or at work."""
        return [process.pid for process in self._ready]

    async def take(self, timeout: float, key: str = "") -> RenderProcess:
        """Wait for an idle process and return it: one that keeps the mezzanine *key* decoded, if there is one.

        Raise TimeoutError after *timeout* seconds.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await self._idle_count.acquire()
                while not self._idle:  # the process that was counted has died, or was replaced
                    await self._idle_count.acquire()
                process = next((each for each in self._idle if key in each.mezzanines), self._idle[0])
                self._idle.remove(process)
                if self._slots is not None:
                    try:
                        self._held_slots[process] = await self._slots.take()
                    except BaseException:
                        self.release(process)
                        raise
                return process
        finally:
            self.waiting -= 1

    def release(self, process: RenderProcess) -> None:
        """Make *process* idle again. A worn process works on until its successor is ready."""
        self._release_slot(process)
        if process in self._retiring:
            self._remove(process)
            return
        self._idle.append(process)
        self._idle_count.release()
        if not process.worn and _is_worn(process):
            process.worn = True
            self._start_one(process)
            log.info("render.worker_worn", pid=process.pid, renders=process.renders, resident=process.resident)

    def replace(self, process: RenderProcess, *, died: bool) -> None:
        """Start another process in place of one that *died*, or end one that is late or not needed any more first."""
        if self._closing:
            return  # `close` ends it
        self._remove(process)
        if not process.worn:  # the successor of a worn process is already being started
            self._start_one()
        if died:
            self._observer.render_process_died()
        log.warning("render.worker_replaced", pid=process.pid, died=died)

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        for process in self._starting:
            process.kill()
        await asyncio.gather(*self._start_tasks, return_exceptions=True)  # a process not yet spawned is cancelled
        for process in list(self._ready):
            self._remove(process)
        await asyncio.gather(*self._end_tasks)

    def _start_one(self, worn: RenderProcess | None = None) -> None:
        """Start a process in the background, as the successor of *worn* if that is given."""
        if not self._closing:
            _run_task(self._start_until_ready(worn), self._start_tasks)

    async def _start_until_ready(self, worn: RenderProcess | None) -> None:
        while not self._closing:
            process: RenderProcess | None = None
            try:
                process = RenderProcess(self._memory_bytes, self._sandbox, self._on_end)
                self._starting.add(process)
                await process.start()
            except Exception as error:  # no descriptors, threads or memory at the moment
                if not self._closing:  # `close` kills processes that are starting
                    log.error("render.worker_not_started", reason=repr(error))
                if process is not None:
                    self._starting.discard(process)
                    self._end(process)
                if not self._closing:
                    await asyncio.sleep(_RETRY)
            else:
                self._starting.discard(process)
                self._report(process.layers)
                self._ready.add(process)
                if worn in self._idle:
                    self._idle.remove(worn)
                    self._remove(worn)
                elif worn in self._ready:
                    self._retiring.add(worn)
                self.release(process)
                return

    def _report(self, layers: Layers) -> None:
        """Report the sandbox of the first process, which is that of all: they have one kernel."""
        if self._layers is None:
            self._layers = layers
            self._observer.sandboxed(layers)
            if self._sandbox != "off" and (lacks := missing(layers, ALL)):
                log.warning("render.sandbox_incomplete", missing=lacks)

    def _on_end(self, process: RenderProcess) -> None:
        """Replace an idle process that ended. For a process at work, the caller of its job does so."""
        if process in self._idle:
            self._idle.remove(process)
            self.replace(process, died=True)

    def _remove(self, process: RenderProcess) -> None:
        self._ready.discard(process)
        self._retiring.discard(process)
        self._end(process)

    def _end(self, process: RenderProcess) -> None:
        process.kill()
        _run_task(self._wait_ended(process), self._end_tasks)  # its thread must end before the interpreter exits

    async def _wait_ended(self, process: RenderProcess) -> None:
        await process.wait_ended()
        self._release_slot(process)

    def _release_slot(self, process: RenderProcess) -> None:
        if slot := self._held_slots.pop(process, None):
            slot.release()


def _is_worn(process: RenderProcess) -> bool:
    if process.renders % _LOOK_AT_MEMORY == 0 and process.resident > _MAX_RESIDENT:
        return True
    return process.renders >= _MAX_RENDERS


def _run_task(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
    """Run *work* in a task that is in *tasks* until it is done."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
