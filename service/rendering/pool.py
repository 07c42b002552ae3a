"""A pool of render processes: bounded waiting, a time limit that ends the process, a new one for each that dies.

One `ProcessPoolExecutor` of one process a slot: a process that dies breaks its own executor only, and is replaced.
(One executor of several breaks as a whole. `pebble` shares a pipe among its workers, breaks as a whole when an idle
one is killed, and takes up to three seconds to end one that does not listen.)
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

import structlog

from service.errors import N_, Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Blank, Order, Rendered
from service.pictures.ports import Observer, Outcome, Read
from service.pictures.trace import Trace
from service.rendering import worker

T = TypeVar("T")
log = structlog.get_logger()

_START_TIMEOUT = 30.0
"""Seconds in which a new process must report; a machine under full load takes several."""


_RECENT = 3.0
"""Seconds for which a render that succeeded proves that renders do."""


class _DiedIdle(Exception):
    """The process had died before it was given anything to do."""


class _Worker:
    """One render process behind an executor of its own."""

    def __init__(self, memory_bytes: int) -> None:
        self._executor = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=worker.begin, initargs=(memory_bytes,)
        )
        self.pid = 0

    async def start(self) -> None:
        """Return when the process is ready. Spawning blocks for milliseconds, so it is done in a thread."""
        future = await asyncio.to_thread(self._executor.submit, worker.identify)
        async with asyncio.timeout(_START_TIMEOUT):
            self.pid = await asyncio.wrap_future(future)

    async def run(self, timeout: float, call: Callable[..., T], *args: Any) -> T:
        """The result of *call* in the process, which is of no use after `RenderTimedOut`: it must be ended."""
        try:
            future = self._executor.submit(call, *args)
        except BrokenProcessPool as error:
            raise _DiedIdle from error
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise RenderTimedOut(
                N_("The picture took longer than %(seconds)s seconds to render."), {"seconds": f"{timeout:g}"}
            ) from error
        except BrokenProcessPool as error:
            raise RenderWorkerDied(N_("The render process ended unexpectedly.")) from error

    def end(self) -> None:
        """End the process at once, whatever it is doing."""
        try:
            self._executor.submit(worker.identify)
        except RuntimeError:
            pass  # it has died, and its id may be another process's by now
        else:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
        self._executor.shutdown(wait=False, cancel_futures=True)


class RenderPool:
    """A `Renderer` on *workers* processes; *queue* more renders may wait. Times are seconds, memory bytes."""

    def __init__(self, observer: Observer, *, workers: int, queue: int, timeout: float, memory_bytes: int) -> None:
        self._observer = observer
        self._workers, self._queue, self._timeout, self._memory_bytes = workers, queue, timeout, memory_bytes
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all: set[_Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._succeeded_at = -math.inf
        self._ahead = asyncio.Semaphore(workers + 1)  # one more than can run: the next original is read meanwhile
        self._closing = False

    def open(self) -> None:
        """Start the processes, in the background."""
        for _ in range(self._workers):
            self._replace(None)

    async def render(self, read: Read, order: Order, trace: Trace) -> Rendered:
        async with self._turn(trace):
            return await self._run(order, await read(), trace)  # type: ignore[return-value]

    async def draw(self, blank: Blank, trace: Trace) -> bytes:
        async with self._turn(trace):
            return await self._run(blank, b"", trace)  # type: ignore[return-value]

    async def probe(self) -> None:
        if time.monotonic() - self._succeeded_at > _RECENT:
            await self._on_worker(Trace(), lambda: None, worker.probe)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are ready or at work."""
        return [each.pid for each in self._all if each.pid]

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for each in list(self._all):
            each.end()

    @asynccontextmanager
    async def _turn(self, trace: Trace) -> AsyncIterator[None]:
        """A turn to read an original and have it rendered; `Overloaded` when too many wait already."""
        if self._waiting >= self._queue:
            raise Overloaded(N_("Too many pictures wait to be rendered. Try again soon."))
        self._count(+1)
        try:
            with trace.timed("queue"):
                async with asyncio.timeout(self._timeout):
                    await self._ahead.acquire()
        except TimeoutError as error:
            raise Overloaded(N_("Too many pictures wait to be rendered. Try again soon.")) from error
        finally:
            self._count(-1)
        try:
            yield
        finally:
            self._ahead.release()

    def _count(self, change: int) -> None:
        self._waiting += change
        self._observer.queued(self._waiting)

    async def _run(self, work: Order | Blank, data: bytes, trace: Trace) -> Rendered | bytes:
        outcome: Outcome | None = None

        def begun() -> None:
            nonlocal outcome
            outcome = "failed"  # until it ends otherwise
            self._observer.render_started()

        try:
            result = await self._on_worker(trace, begun, worker.carry_out, work, data)
            outcome = "finished"
            return result
        except RenderTimedOut:
            outcome = "timed_out"
            raise
        finally:
            if outcome is not None:
                self._observer.render_ended(outcome)

    async def _on_worker(self, trace: Trace, begun: Callable[[], None], call: Callable[..., T], *args: Any) -> T:
        """Run *call* on the next idle process, *begun* called first. Then that process, or a new one, is idle."""
        while True:
            with trace.timed("queue"):
                one = await self._next_idle()
            begun()
            try:
                with trace.timed("render"):
                    result = await one.run(self._timeout, call, *args)
            except _DiedIdle:
                self._replace(one)
                continue  # nothing had begun, so nothing is held against the picture
            except (RenderTimedOut, RenderWorkerDied, asyncio.CancelledError):
                self._replace(one)
                raise
            except BaseException:
                self._idle.put_nowait(one)
                raise
            self._idle.put_nowait(one)
            self._succeeded_at = time.monotonic()
            return result

    async def _next_idle(self) -> _Worker:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._idle.get()
        except TimeoutError as error:
            raise Overloaded(N_("Too many pictures wait to be rendered. Try again soon.")) from error

    def _replace(self, dead: _Worker | None) -> None:
        if dead is not None:
            self._all.discard(dead)
            dead.end()
            log.warning("render.worker_replaced", pid=dead.pid)
        if not self._closing:
            task = asyncio.create_task(self._start())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        while True:
            one = _Worker(self._memory_bytes)
            self._all.add(one)
            try:
                await one.start()
            except (OSError, BrokenProcessPool, TimeoutError) as error:
                log.error("render.worker_not_started", reason=f"{type(error).__name__}: {error}")
                self._all.discard(one)
                one.end()
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                one.end()
                raise
            else:
                self._idle.put_nowait(one)
                return
